package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// alerting is one installation of the alerter: topics of some clusters under a prefix of its own, rules, and receivers.
type alerting struct {
	*Env
	topics   schemas.Topics
	clusters []string
	file     string
	hooks    map[string]*pager
}

// startAlerterKafka starts the only thing that an alerter needs.
func (e *Env) startAlerterKafka(ctx context.Context) (err error) {
	if err := stack.Prepare(ctx, stack.PartKafka); err != nil {
		return err
	}
	if e.kafka, err = stack.StartKafka(ctx, e.path("kafka")); err != nil {
		return err
	}
	e.onClose(func() { _ = e.kafka.Stop() })
	if e.broker, err = newBroker(e.kafka.Bootstrap); err != nil {
		return err
	}
	e.onClose(e.broker.close)
	e.logf("kafka is up: %s", e.kafka.Bootstrap)
	return nil
}

// installAlerter writes rules and a configuration whose receivers are the named hooks, all of them notified by default, and creates
// the topics. A prefix sets topics, groups and transactions apart, so that several installations share the broker.
func (e *Env) installAlerter(ctx context.Context, prefix, rules string, clusters []string, hooks ...string) (*alerting, error) {
	a := &alerting{Env: e, topics: schemas.Topics{Prefix: prefix}, clusters: clusters, hooks: map[string]*pager{}}
	var receivers strings.Builder
	for _, name := range hooks {
		p, err := newPager()
		if err != nil {
			return nil, err
		}
		e.onClose(p.close)
		a.hooks[name] = p
		fmt.Fprintf(&receivers, "  - {name: %s, type: webhook, url: %q}\n", name, p.URL)
	}
	dir := e.path(prefix + "rules")
	a.file = e.path(prefix + "yaml")
	err := errors.Join(
		os.MkdirAll(dir, 0o750),
		os.WriteFile(dir+"/rules.yaml", []byte(rules), 0o600),
		os.WriteFile(a.file, fmt.Appendf(nil, `
log: {level: info, format: text}
kafka: {brokers: [%q], topic_prefix: %q}
topics: {partitions: 6, replication: 1}
alerter:
  rules: %q
  tick_interval: 500ms
  default_receivers: [%s]
  receivers:
%s`, e.kafka.Bootstrap, prefix, dir, strings.Join(hooks, ", "), receivers.String()), 0o600),
	)
	if err != nil {
		return nil, err
	}
	e.configFile = a.file
	return a, e.command(ctx, "topics", "apply", "--cluster", strings.Join(clusters, ","))
}

// instance prepares an alerter with a stable name.
func (a *alerting) instance(name string) (*process, error) {
	p, err := a.service("alerter")
	if err != nil {
		return nil, err
	}
	p.name, p.logs, p.args = name, a.path(a.topics.Prefix+name+".log"), []string{"alerter", "--config", a.file}
	p.env = append(p.env, "KUBESCRIBE_ALERTER_INSTANCE="+name)
	return p, nil
}

// produce writes documents as the enricher does.
func (a *alerting) produce(ctx context.Context, docs ...*schemas.Document) error {
	records := make([]*kgo.Record, len(docs))
	for i, d := range docs {
		value, err := d.Encode()
		if err != nil {
			return err
		}
		records[i] = &kgo.Record{
			Topic: a.topics.Enriched(d.Orchestrator.Cluster.Name), Key: []byte(d.Kubernetes.Event.InvolvedObject.Key()), Value: value,
		}
		for _, h := range d.Headers() {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader(h))
		}
	}
	return a.broker.client.ProduceSync(ctx, records...).FirstErr()
}

// enriched are the topics that the alerter reads.
func (a *alerting) enriched() []string {
	var all []string
	for _, c := range a.clusters {
		all = append(all, a.topics.Enriched(c))
	}
	return all
}

// backlog is how much the matchers and the deciders have not committed of what was there at mark: the ends of their topics.
func (a *alerting) victim(p *process) victim {
	type marks struct{ enriched, matches any }
	matcher, decider := a.group(p, a.topics.Prefix+"kubescribe-matcher", a.enriched()...), a.group(p, a.topics.Prefix+"kubescribe-decider", a.topics.Matches())
	return victim{
		process: p,
		mark: func(ctx context.Context) (any, error) {
			e, err := matcher.mark(ctx)
			if err != nil {
				return nil, err
			}
			m, err := decider.mark(ctx)
			return marks{e, m}, err
		},
		backlog: func(ctx context.Context, mark any) (int64, error) {
			e, err := matcher.backlog(ctx, mark.(marks).enriched)
			if err != nil {
				return 0, err
			}
			m, err := decider.backlog(ctx, mark.(marks).matches)
			return e + m, err
		},
	}
}

// alerts are those on the topic, by id; an id that is there twice is an error.
func (a *alerting) alerts(ctx context.Context) (map[string]schemas.Alert, error) {
	all := map[string]schemas.Alert{}
	err := a.broker.read(ctx, func(r *kgo.Record) error {
		v, err := schemas.DecodeAlert(r.Value)
		if err != nil {
			return err
		}
		if _, twice := all[v.ID]; twice {
			return fmt.Errorf("alert %s is on the topic twice", v.ID)
		}
		all[v.ID] = *v
		return nil
	}, a.topics.Alerts())
	return all, err
}

// states are what the deciders know, without what depends on the wall clock.
func (a *alerting) states(ctx context.Context) (map[string]schemas.AlertState, error) {
	all := map[string]schemas.AlertState{}
	err := a.broker.read(ctx, func(r *kgo.Record) error {
		if r.Value == nil {
			delete(all, string(r.Key))
			return nil
		}
		s, err := schemas.DecodeAlertState(r.Value)
		if err != nil {
			return err
		}
		s.LastSeen, s.AnnounceAt = time.Time{}, time.Time{}
		all[string(r.Key)] = *s
		return nil
	}, a.topics.AlertState())
	return all, err
}

// pages are the ids of the alerts that a receiver must get.
func pages(alerts map[string]schemas.Alert, name string) map[string]bool {
	ids := map[string]bool{}
	for id, a := range alerts {
		if slices.Contains(a.Receivers, name) {
			ids[id] = true
		}
	}
	return ids
}

// pager is a receiver that can be out of order.
type pager struct {
	*receiver
	down    atomic.Bool
	refused atomic.Int64
}

func newPager() (*pager, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pager{receiver: &receiver{URL: "http://" + l.Addr().String() + "/hook", pages: map[string]int{}, alerts: map[string]schemas.Alert{}}}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve)} //nolint:gosec // loopback, for a test
	go func() { _ = p.server.Serve(l) }()
	return p, nil
}

func (p *pager) serve(w http.ResponseWriter, r *http.Request) {
	if p.down.Load() {
		p.refused.Add(1)
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	}
	p.ServeHTTP(w, r)
}

// compare says which of the expected pages have not come, how many came that nobody expects, and how many came again.
func (p *pager) compare(want map[string]bool) (missing, extra, repeats int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range want {
		if p.pages[id] == 0 {
			missing++
		}
	}
	for id, n := range p.pages {
		if !want[id] {
			extra++
		}
		repeats += n - 1
	}
	return missing, extra, repeats
}

// podDocument is a document about a pod, as the enricher writes it.
func podDocument(cluster, id, reason, pod, node string, at time.Time) *schemas.Document {
	d := &schemas.Document{Timestamp: at, Message: reason + " of " + pod}
	d.ECS.Version = schemas.ECSVersion
	d.Event.ID, d.Event.Action, d.Event.Created = id, reason, at
	d.Orchestrator.Cluster.Name = cluster
	d.Kubernetes.Namespace = "shop"
	d.Kubernetes.Event = &schemas.KubernetesEvent{Type: "Warning", Reason: reason, InvolvedObject: schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: pod}}
	if node != "" {
		d.Kubernetes.Node = &schemas.KubernetesName{Name: node}
	}
	d.Kubescribe.Type, d.Kubescribe.Source, d.Kubescribe.Class = schemas.TypeEvent, schemas.SourceEvents, schemas.ClassWarning
	return d
}

// until polls until done says so, or the time is up; what says what was waited for.
func until(ctx context.Context, patience time.Duration, what string, done func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("waited %s in vain for %s", patience, what)
		}
	}
}
