package producer

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"kubescribe/internal/stream"
	"kubescribe/producer/selection"
	"kubescribe/schemas"
)

// SelectionConfig says what of a cluster is written down. By default everything is. What the API server can leave out never reaches
// the producer; the rest it drops and counts. Either way the checkpoint moves on.
type SelectionConfig struct {
	// Namespaces are the only ones to watch; empty: all. With one, the API server is asked for that one, and the account needs no
	// permission on others; with more, all are watched and the others dropped.
	Namespaces []string `koanf:"namespaces"`
	// ExcludeNamespaces are left out by the API server.
	ExcludeNamespaces []string `koanf:"exclude_namespaces"`
	// Events and Pods are selectors that the API server applies to Events and to the pods whose containers are watched.
	Events SelectorConfig `koanf:"events"`
	Pods   SelectorConfig `koanf:"pods"`
	// Drop are rules for what to leave out. Each is counted by its name.
	Drop []selection.Rule `koanf:"drop"`
}

// SelectorConfig is a field selector and a label selector in the notation of kubectl.
type SelectorConfig struct {
	// FieldSelector is for example type=Warning or spec.nodeName=node-1. Choose what an object keeps: one that leaves the
	// selection looks deleted, and new when it comes back.
	FieldSelector string `koanf:"field_selector"`
	// LabelSelector is for example tier!=dev. Events have no labels as a rule.
	LabelSelector string `koanf:"label_selector"`
}

func (c SelectionConfig) problems(check func(ok bool, format string, args ...any)) {
	for _, list := range []struct {
		key   string
		names []string
	}{{"namespaces", c.Namespaces}, {"exclude_namespaces", c.ExcludeNamespaces}} {
		for _, n := range list.names {
			check(len(validation.IsDNS1123Label(n)) == 0, "selection.%s: %q is no namespace; name each one, without patterns", list.key, n)
			check(list.key != "exclude_namespaces" || !slices.Contains(c.Namespaces, n), "selection.exclude_namespaces: %q is in selection.namespaces too", n)
		}
	}
	for _, s := range []struct {
		key string
		SelectorConfig
	}{{"events", c.Events}, {"pods", c.Pods}} {
		_, err := fields.ParseSelector(s.FieldSelector)
		check(err == nil, "selection.%s.field_selector: %v; use for example metadata.namespace!=dev", s.key, err)
		_, err = labels.Parse(s.LabelSelector)
		check(err == nil, "selection.%s.label_selector: %v; use for example tier!=dev", s.key, err)
	}
	if _, err := selection.Compile(c.Drop); err != nil {
		for problem := range strings.SplitSeq(err.Error(), "\n") {
			check(false, "selection.%s", problem)
		}
	}
}

// namespace is the one that the API server is asked for; "" for all.
func (c SelectionConfig) namespace() string {
	if len(c.Namespaces) == 1 {
		return c.Namespaces[0]
	}
	return ""
}

// selector is the selection of one source; nil selects all. It may be used by one goroutine, but for in and options.
type selector struct {
	namespace string // that the server is asked for; "" for all
	fields    string
	labels    string
	within    []string // namespaces to compare with here; empty for all
	rules     *selection.Rules

	log     *slog.Logger
	dropped *prometheus.CounterVec
	failed  *prometheus.CounterVec
	told    map[string]bool // rules whose failure was logged
}

// outside is the name under which drops by namespace are counted; no rule can have it.
const outside = "(namespaces)"

func newSelector(c SelectionConfig, source schemas.Source, d stream.Deps) (*selector, error) {
	rules, err := selection.Compile(c.Drop)
	if err != nil {
		return nil, err
	}
	own := c.Events
	if source == schemas.SourceContainers {
		own = c.Pods
	}
	s := &selector{namespace: c.namespace(), fields: own.FieldSelector, labels: own.LabelSelector, rules: rules, log: d.Log, told: map[string]bool{}}
	if len(c.Namespaces) > 1 {
		s.within = c.Namespaces
	}
	for _, n := range c.ExcludeNamespaces {
		if s.fields != "" {
			s.fields += ","
		}
		s.fields += "metadata.namespace!=" + n
	}
	counters := func(name, help string) *prometheus.CounterVec {
		return register(prometheus.WrapRegistererWith(prometheus.Labels{"source": string(source)}, d.Metrics), prometheus.NewCounterVec(
			prometheus.CounterOpts{Namespace: "kubescribe", Subsystem: "producer", Name: name, Help: help}, []string{"rule"}))
	}
	s.dropped = counters("dropped_total", "Facts that the selection dropped, by rule; (namespaces) counts what is outside selection.namespaces.")
	s.failed = counters("drop_failures_total", "Evaluations of drop rules that failed, by rule; such a rule drops nothing.")
	for _, rule := range rules.Names() {
		s.dropped.WithLabelValues(rule)
	}
	return s, nil
}

// options adds the selectors to those of a list or a watch.
func (s *selector) options(o metav1.ListOptions) metav1.ListOptions {
	if s == nil {
		return o
	}
	o.FieldSelector, o.LabelSelector = s.fields, s.labels
	return o
}

// in is the namespace to ask for; "" for all.
func (s *selector) in() string {
	if s == nil {
		return ""
	}
	return s.namespace
}

// holds reports whether objects of the namespace are selected, and counts those that are not.
func (s *selector) holds(namespace []byte) bool {
	if s == nil || len(s.within) == 0 {
		return true
	}
	for _, n := range s.within {
		if n == string(namespace) {
			return true
		}
	}
	s.dropped.WithLabelValues(outside).Inc()
	return false
}

// drops reports whether a rule drops the fact, and counts it. fact is called only when there are rules.
func (s *selector) drops(fact func() *selection.Fact) bool {
	if s == nil || s.rules.Empty() {
		return false
	}
	rule, failed, err := s.rules.Dropped(fact())
	if err != nil {
		s.failed.WithLabelValues(failed).Inc()
		if !s.told[failed] {
			s.told[failed] = true
			s.log.Warn("a drop rule failed and dropped nothing; later failures are only counted", "rule", failed, "err", err)
		}
	}
	if rule == "" {
		return false
	}
	s.dropped.WithLabelValues(rule).Inc()
	return true
}

// eventFact is an Event as rules see it.
func eventFact(e *wireEvent) *selection.Fact {
	f := &selection.Fact{
		EventType: string(schemas.TypeEvent), Namespace: string(e.involved.namespace), Kind: string(e.involved.kind), Name: string(e.involved.name),
		Reason: string(e.reason), Type: string(e.kind), Message: string(e.message), Component: string(e.component), Node: string(e.host),
		Count: int(e.times()),
	}
	f.Object = f.Kind + "/" + f.Name
	if f.Component == "" {
		f.Component = string(e.controller)
	}
	return f
}

// containerFact is a transition as rules see it.
func containerFact(o *schemas.Observation) *selection.Fact {
	f := &selection.Fact{
		EventType: string(o.Type), Namespace: o.Subject.Namespace, Kind: o.Subject.Kind, Name: o.Subject.Name,
		Object: o.Subject.Kind + "/" + o.Subject.Name, Type: "Warning", Component: "kubelet", Count: 1,
	}
	c, err := schemas.DecodeContainerTransition(o.Payload)
	if err != nil {
		return f // it was encoded a moment ago
	}
	f.Reason, f.Message, f.Node, f.Container, f.Image = c.Reason, c.Message, c.Node, c.Container, c.Image
	f.Restarts, f.Labels = int(c.RestartCount), c.Labels
	if c.ExitCode != nil {
		f.ErrorCode = fmt.Sprint(*c.ExitCode)
	}
	return f
}
