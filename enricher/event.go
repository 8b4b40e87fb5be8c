package enricher

import (
	"fmt"
	"time"

	"kubescribe/schemas"
)

// event is what a document needs of a core/v1 Event. Every part of it can be missing or null.
type event struct {
	Metadata struct {
		Name              string    `json:"name"`
		Namespace         string    `json:"namespace"`
		UID               string    `json:"uid"`
		ResourceVersion   string    `json:"resourceVersion"`
		CreationTimestamp time.Time `json:"creationTimestamp"`
	} `json:"metadata"`
	Related *schemas.Subject `json:"related"`
	Reason  string           `json:"reason"`
	Message string           `json:"message"`
	Type    string           `json:"type"`
	Source  struct {
		Component string `json:"component"`
		Host      string `json:"host"`
	} `json:"source"`
	ReportingComponent string    `json:"reportingComponent"`
	FirstTimestamp     time.Time `json:"firstTimestamp"`
	LastTimestamp      time.Time `json:"lastTimestamp"`
	EventTime          time.Time `json:"eventTime"`
	Count              int64     `json:"count"`
	Series             *series   `json:"series"`
}

// series counts the repeats of an Event that was written through events.k8s.io.
type series struct {
	Count            int64     `json:"count"`
	LastObservedTime time.Time `json:"lastObservedTime"`
}

// addEvent adds what a core/v1 Event says.
func addEvent(d *schemas.Document, c *cutter, s schemas.Subject, payload []byte) error {
	e, err := decodeEvent(payload)
	if err != nil {
		return fmt.Errorf("decoding event: %w", err)
	}
	first, last, count := e.FirstTimestamp, e.LastTimestamp, e.Count
	if e.Series != nil {
		last = or(e.Series.LastObservedTime, last)
		if count == 0 {
			count = e.Series.Count
		}
	}
	first, last = or(first, e.EventTime, e.Metadata.CreationTimestamp), or(last, e.EventTime, e.Metadata.CreationTimestamp)

	d.Message = c.text("message", e.Message, MaxMessageBytes)
	reason := c.name("event.action", e.Reason)
	d.Event.Action = reason
	component := e.Source.Component
	if component == "" {
		component = e.ReportingComponent
	}
	component, host := c.name("event.provider", component), c.name("kubernetes.event.source", e.Source.Host)
	d.Event.Provider = component
	d.Event.Start = first
	if e.Type == "Warning" {
		d.Event.Type[0], d.Log.Level, d.Kubescribe.Class = "error", "warning", schemas.ClassWarning
	}

	const meta = "kubernetes.event.metadata"
	k := &schemas.KubernetesEvent{
		Type: c.name("kubernetes.event.type", e.Type), Reason: reason, Count: count, InvolvedObject: s,
		Metadata: schemas.EventMetadata{
			Name: c.name(meta, e.Metadata.Name), Namespace: c.name(meta, e.Metadata.Namespace),
			UID: c.name(meta, e.Metadata.UID), ResourceVersion: c.name(meta, e.Metadata.ResourceVersion),
		},
	}
	if !first.IsZero() || !last.IsZero() {
		k.Timestamp = &schemas.EventTimestamp{FirstOccurrence: first, LastOccurrence: last}
	}
	if component != "" || host != "" {
		k.Source = &schemas.EventSource{Component: component, Host: host}
	}
	if e.Related != nil {
		r := subject(c, *e.Related)
		k.Related = &r
	}
	d.Kubernetes.Event = k
	if d.Kubernetes.Node == nil && host != "" {
		d.Kubernetes.Node = &schemas.KubernetesName{Name: host}
	}
	return nil
}

// or is the first time that is set, in UTC.
func or(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t.UTC()
		}
	}
	return time.Time{}
}
