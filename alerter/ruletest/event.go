package ruletest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kubescribe/internal/message"
	"kubescribe/schemas"
)

// event is something that happens on the timeline. Its fields are those that expressions see.
type event struct {
	// At is when it is seen. Time is when it happened, if that was earlier: a late event.
	At   string `yaml:"at"`
	Time string `yaml:"time"`
	// Every and Times make more of it.
	Every string `yaml:"every"`
	Times int    `yaml:"times"`
	// ID is its identity; two with one id are one record that came twice. By default each is itself.
	ID string `yaml:"id"`
	// Cluster is the case's unless it is given.
	Cluster string `yaml:"cluster"`

	EventType   string `yaml:"event_type"`
	Class       string `yaml:"class"`
	Namespace   string `yaml:"namespace"`
	Object      string `yaml:"object"` // Kind/name
	Reason      string `yaml:"reason"`
	Type        string `yaml:"type"`
	Message     string `yaml:"message"`
	MessageHash string `yaml:"message_hash"`
	Component   string `yaml:"component"`
	Count       int64  `yaml:"count"`
	Occurrences *int64 `yaml:"occurrences"`

	Workload    string            `yaml:"workload"` // Kind/name
	Owners      []string          `yaml:"owners"`
	Service     string            `yaml:"service"`
	Node        string            `yaml:"node"`
	Container   string            `yaml:"container"`
	Image       string            `yaml:"image"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
	// NamespaceLabels are those of the namespace.
	NamespaceLabels map[string]string `yaml:"namespace_labels"`
	Enrichment      string            `yaml:"enrichment"`
	Rollout         *rollout          `yaml:"rollout"`
	Restarts        int64             `yaml:"restarts"`
	Gap             *gap              `yaml:"gap"`
	ErrorCode       string            `yaml:"error_code"`
	Log             string            `yaml:"log"`

	// Document is a whole document, as it is stored, in place of the fields above but at, every, times and id.
	Document map[string]any `yaml:"document"`
}

type rollout struct {
	Revision       int64    `yaml:"revision"`
	PodRevision    int64    `yaml:"pod_revision"`
	Age            string   `yaml:"age"`
	Images         []string `yaml:"images"`
	PreviousImages []string `yaml:"previous_images"`
}

type gap struct {
	Certainty string `yaml:"certainty"`
	Cause     string `yaml:"cause"`
	Source    string `yaml:"source"`
	// Lasts is how long it was; it ends with the event.
	Lasts string `yaml:"lasts"`
}

// document is what the enricher would have written of e, seen at at and happened at when.
func (e *event) document(id, cluster string, when, at time.Time) (*schemas.Document, error) {
	d := &schemas.Document{}
	if e.Document != nil {
		b, err := json.Marshal(e.Document)
		if err != nil {
			return nil, fmt.Errorf("encoding document: %w", err)
		}
		if err := json.Unmarshal(b, d); err != nil {
			return nil, fmt.Errorf("decoding document: %w", err)
		}
	} else if err := e.fill(d, when); err != nil {
		return nil, err
	}
	d.Timestamp, d.Event.ID, d.Event.Created = when, id, at
	if d.Orchestrator.Cluster.Name == "" {
		d.Orchestrator.Cluster.Name = cluster
	}
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	return d, nil
}

func (e *event) fill(d *schemas.Document, when time.Time) error {
	kind, name, err := e.object()
	if err != nil {
		return err
	}
	d.Orchestrator.Cluster.Name = e.Cluster
	d.Message, d.Event.Action, d.Event.Provider = e.Message, e.Reason, e.Component
	d.Log = &schemas.LogInfo{Level: "info"}
	if e.warning() {
		d.Log.Level = "warning"
	}
	d.Kubescribe.Type, d.Kubescribe.Class = e.types()
	d.Kubescribe.MessageHash, d.Kubescribe.Occurrences = e.MessageHash, e.Occurrences
	if e.MessageHash == "" {
		d.Kubescribe.MessageHash = message.Hash(e.Message)
	}
	d.Kubernetes.NamespaceLabels = e.NamespaceLabels
	d.Kubernetes.Namespace, d.Kubernetes.Labels, d.Kubernetes.Annotations = e.Namespace, e.Labels, e.Annotations
	d.Kubernetes.Node, d.Kubernetes.Container = named(e.Node), named(e.Container)
	if kind == "Pod" {
		d.Kubernetes.Pod = named(name)
	}
	if d.Kubescribe.Type == schemas.TypeEvent {
		typ := "Normal"
		if e.warning() {
			typ = "Warning"
		}
		d.Kubernetes.Event = &schemas.KubernetesEvent{
			Type: typ, Reason: e.Reason, Count: e.Count,
			InvolvedObject: schemas.Subject{Kind: kind, Namespace: e.Namespace, Name: name},
		}
	}
	if e.Service != "" {
		d.Service = &schemas.Service{Name: e.Service}
	}
	if e.Container != "" || e.Image != "" {
		d.Container = &schemas.Container{Name: e.Container}
		if e.Image != "" {
			d.Container.Image = &schemas.ContainerImage{Name: e.Image}
		}
	}
	if e.ErrorCode != "" || e.Log != "" {
		d.Error = &schemas.ErrorInfo{Code: e.ErrorCode, StackTrace: e.Log}
	}
	if e.Enrichment != "" {
		d.Kubescribe.Enrichment = &schemas.Enrichment{Status: e.Enrichment}
	}
	return e.context(d, when)
}

// context adds owners and the gap.
func (e *event) context(d *schemas.Document, when time.Time) error {
	for _, o := range e.Owners {
		kind, name, ok := strings.Cut(o, "/")
		if !ok {
			return fmt.Errorf("owners: %q is no Kind/name", o)
		}
		d.Kubescribe.Owners = append(d.Kubescribe.Owners, schemas.Owner{Kind: kind, Name: name})
	}
	if e.Workload != "" {
		kind, name, ok := strings.Cut(e.Workload, "/")
		if !ok {
			return fmt.Errorf("workload: %q is no Kind/name", e.Workload)
		}
		d.Kubescribe.Workload = &schemas.Owner{Kind: kind, Name: name}
	}
	if e.Restarts > 0 {
		d.Kubescribe.Container = &schemas.ContainerFact{State: schemas.StateTerminated, RestartCount: e.Restarts}
	}
	if r := e.Rollout; r != nil {
		age, err := duration(r.Age)
		if err != nil {
			return fmt.Errorf("rollout.age: %w", err)
		}
		d.Kubescribe.Rollout = &schemas.Rollout{
			Revision: r.Revision, PodRevision: r.PodRevision, Images: r.Images, PreviousImages: r.PreviousImages,
			ChangedAt: when.Add(-age), AgeSeconds: int64(age.Seconds()),
		}
	}
	if e.Gap == nil {
		return nil
	}
	lasts, err := duration(e.Gap.Lasts)
	if err != nil {
		return fmt.Errorf("gap.lasts: %w", err)
	}
	d.Event.Action, d.Event.Provider, d.Log.Level = "gap", "kubescribe", "warning"
	d.Kubescribe.Gap = &schemas.GapInfo{
		Certainty: schemas.Certainty(e.Gap.Certainty), Cause: schemas.GapCause(e.Gap.Cause), Source: schemas.Source(e.Gap.Source),
		From: when.Add(-lasts), To: when,
	}
	return nil
}

func (e *event) object() (kind, name string, err error) {
	if e.Object == "" {
		return "", "", nil
	}
	kind, name, ok := strings.Cut(e.Object, "/")
	if !ok || kind == "" || name == "" {
		return "", "", fmt.Errorf("object: %q is no Kind/name", e.Object)
	}
	return kind, name, nil
}

func (e *event) warning() bool { return e.Type == "Warning" || e.Type == "" && e.EventType != "" }

// types are the type of fact and its class: gap with a gap, else what is given, else event.
func (e *event) types() (schemas.Type, string) {
	typ, class := schemas.Type(e.EventType), e.Class
	switch {
	case typ != "":
	case e.Gap != nil:
		typ = schemas.TypeGap
	default:
		typ = schemas.TypeEvent
	}
	switch {
	case class != "":
	case typ == schemas.TypeGap:
		class = schemas.ClassGap
	case typ == schemas.TypeContainer:
		class = schemas.ClassCrash
	case e.warning():
		class = schemas.ClassWarning
	default:
		class = schemas.ClassNormal
	}
	return typ, class
}

func named(name string) *schemas.KubernetesName {
	if name == "" {
		return nil
	}
	return &schemas.KubernetesName{Name: name}
}

// duration reads a duration as rule files have it; empty is 0.
func duration(s string) (time.Duration, error) {
	if s == "" || s == "0" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && fmt.Sprint(n) == days {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration: write it like 30s, 5m, 1h30m or 1d", s)
	}
	return d, nil
}
