package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Type says what kind of fact a record states. It is the last part of the ce_type header.
type Type string

// The types of facts. Those below TypeGap are reserved: no service writes them yet, and a reader must pass over types
// that it does not know.
const (
	TypeEvent        Type = "event"        // one revision of a core/v1 Event
	TypeContainer    Type = "container"    // one transition of a container: terminated, or stuck waiting
	TypeGap          Type = "gap"          // a stretch of time in which revisions may have been missed
	TypeAvailability Type = "availability" // reserved: a service's ready endpoints went to or from zero
	TypeRisk         Type = "risk"         // reserved: a risky setting in a pod's configuration
	TypeHealth       Type = "health"       // reserved: the outcome of a health check
	TypeUsage        Type = "usage"        // reserved: a sample of resource usage
)

// Types lists every known type, reserved ones included.
func Types() []Type {
	return []Type{TypeEvent, TypeContainer, TypeGap, TypeAvailability, TypeRisk, TypeHealth, TypeUsage}
}

// Source names where the producer read a fact. It is part of checkpoint keys and transactional ids.
type Source string

// The sources.
const (
	SourceEvents     Source = "events"     // log source: core/v1 Events, every revision is a fact
	SourceContainers Source = "containers" // state source: pods' containers, a transition is a fact
)

// Subject is the object that a fact is about; for an Event its involvedObject. Fields that the API server did not give are empty.
type Subject struct {
	APIVersion      string `json:"apiVersion,omitempty"`
	Kind            string `json:"kind,omitempty"`
	Namespace       string `json:"namespace,omitempty"`
	Name            string `json:"name,omitempty"`
	UID             string `json:"uid,omitempty"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
	FieldPath       string `json:"fieldPath,omitempty"`
}

// Observation is one fact as the producer saw it: the value of the topic events.<c>.
type Observation struct {
	// ID is the fact's identity (ids.go).
	ID      string  `json:"id" jsonschema:"minLength=1,maxLength=512"`
	Type    Type    `json:"type"`
	Cluster Cluster `json:"cluster"`
	Source  Source  `json:"source"`
	Subject Subject `json:"subject"`
	// Time is when it happened; for an Event series.lastObservedTime, else lastTimestamp, else eventTime, else
	// creationTimestamp. A time that is missing or more than an hour after ObservedAt is replaced by it, and TimeAdjusted is set.
	Time         time.Time `json:"time"`
	TimeAdjusted bool      `json:"timeAdjusted,omitempty"`
	// ObservedAt is when the producer saw it, by the producer's clock.
	ObservedAt time.Time `json:"observedAt"`
	// Occurrences is how often it happened since the previous revision that was observed; nil when that is unknown.
	Occurrences *int64 `json:"occurrences,omitempty" jsonschema:"minimum=0"`
	// Payload is the object as the API server gave it, without managedFields, or the source's own fact (Gap,
	// ContainerTransition).
	Payload json.RawMessage `json:"payload" jsonschema:"type=object"`
}

// MaxFuture is how far a fact's time may lie after the time it was observed before it is not believed.
const MaxFuture = time.Hour

// SetTime sets Time and ObservedAt, and replaces a time that is missing or too far in the future by observedAt.
func (o *Observation) SetTime(t, observedAt time.Time) {
	o.Time, o.ObservedAt, o.TimeAdjusted = t.UTC(), observedAt.UTC(), false
	if t.IsZero() || t.Sub(observedAt) > MaxFuture {
		o.Time, o.TimeAdjusted = o.ObservedAt, true
	}
}

// Validate reports every problem of o at once.
func (o *Observation) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.ID != "", "id: is missing")
	check(len(o.ID) <= MaxIDBytes, "id: has %d bytes, at most %d are allowed", len(o.ID), MaxIDBytes)
	check(o.Type != "", "type: is missing")
	check(o.Source != "", "source: is missing")
	check(!o.Time.IsZero(), "time: is missing")
	check(!o.ObservedAt.IsZero(), "observedAt: is missing")
	check(o.Occurrences == nil || *o.Occurrences >= 0, "occurrences: is negative")
	check(len(o.Payload) > 0 && o.Payload[0] == '{', "payload: is not a JSON object")
	if err := o.Cluster.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// DecodeObservation decodes and validates a value of events.<c>. An error is final for these bytes.
func DecodeObservation(b []byte) (*Observation, error) { return decode[Observation](b, "observation") }
