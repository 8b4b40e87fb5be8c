package producer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"kubescribe/schemas"
)

// FromEvent is the observation of one revision of an Event, seen at observedAt. It is pure; the payload is a new encoding of
// ev, and ev loses its managedFields.
func FromEvent(ev *corev1.Event, cluster schemas.Cluster, epoch int64, observedAt time.Time) (*schemas.Observation, error) {
	ev.APIVersion, ev.Kind = "v1", "Event" // typed objects from protobuf have neither
	ev.ManagedFields = nil
	o, err := observe(ev, cluster, epoch, observedAt)
	if err != nil {
		return nil, err
	}
	if o.Payload, err = schemas.Encode(ev); err != nil {
		return nil, fmt.Errorf("encoding event: %w", err)
	}
	return o, nil
}

// FromJSON is the observation of one revision of an Event in JSON, as a recording has it. The payload keeps fields that this
// build doesn't know. A zero observedAt means that nobody noted when it arrived: then it is the Event's own time, so that the
// same recording gives the same observation whenever it is played.
func FromJSON(raw []byte, cluster schemas.Cluster, epoch int64, observedAt time.Time) (*schemas.Observation, error) {
	o, err := observeJSON(raw, cluster, epoch, observedAt)
	if err != nil {
		return nil, err
	}
	o.Payload, err = cleanPayload(raw)
	return o, err
}

// observeJSON is everything but the payload, and finds all that can be wrong.
func observeJSON(raw []byte, cluster schemas.Cluster, epoch int64, observedAt time.Time) (*schemas.Observation, error) {
	ev, err := decodeEvent(raw)
	if err != nil {
		return nil, err
	}
	if observedAt.IsZero() {
		observedAt = EventTime(ev)
	}
	return observe(ev, cluster, epoch, observedAt)
}

// EventTime is when ev happened last: series.lastObservedTime, else lastTimestamp, else eventTime, else creationTimestamp. It
// is zero when ev has none of them.
func EventTime(ev *corev1.Event) time.Time {
	switch {
	case ev.Series != nil && !ev.Series.LastObservedTime.IsZero():
		return ev.Series.LastObservedTime.UTC()
	case !ev.LastTimestamp.IsZero():
		return ev.LastTimestamp.UTC()
	case !ev.EventTime.IsZero():
		return ev.EventTime.UTC()
	}
	return ev.CreationTimestamp.UTC()
}

// observe is everything but the payload.
func observe(ev *corev1.Event, cluster schemas.Cluster, epoch int64, observedAt time.Time) (*schemas.Observation, error) {
	if err := checkIdentity(string(ev.UID), ev.ResourceVersion); err != nil {
		return nil, err
	}
	if observedAt.IsZero() {
		return nil, errNoTime
	}
	o := &schemas.Observation{
		ID:      schemas.EventID(cluster.UID, epoch, string(ev.UID), ev.ResourceVersion),
		Type:    schemas.TypeEvent,
		Cluster: cluster,
		Source:  schemas.SourceEvents,
		Subject: schemas.Subject{
			APIVersion: ev.InvolvedObject.APIVersion, Kind: ev.InvolvedObject.Kind,
			Namespace: ev.InvolvedObject.Namespace, Name: ev.InvolvedObject.Name,
			UID: string(ev.InvolvedObject.UID), ResourceVersion: ev.InvolvedObject.ResourceVersion,
			FieldPath: ev.InvolvedObject.FieldPath,
		},
	}
	if len(o.ID) > schemas.MaxIDBytes {
		return nil, fmt.Errorf("the id has %d bytes, at most %d are allowed", len(o.ID), schemas.MaxIDBytes)
	}
	o.SetTime(EventTime(ev), observedAt)
	return o, nil
}

func decodeEvent(raw []byte) (*corev1.Event, error) {
	ev := new(corev1.Event)
	if err := kjson.Unmarshal(raw, ev); err != nil {
		return nil, fmt.Errorf("decoding event: %w", err)
	}
	return ev, nil
}

// cleanPayload leaves out managedFields, and names the version and kind that items of a list don't repeat.
func cleanPayload(raw []byte) (json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("decoding event: %w", err)
	}
	if m := object["metadata"]; bytes.Contains(m, []byte(`"managedFields"`)) {
		var metadata map[string]json.RawMessage
		if err := json.Unmarshal(m, &metadata); err != nil {
			return nil, fmt.Errorf("decoding event: metadata: %w", err)
		}
		delete(metadata, "managedFields")
		clean, err := schemas.Encode(metadata)
		if err != nil {
			return nil, fmt.Errorf("encoding event: metadata: %w", err)
		}
		object["metadata"] = clean
	}
	object["apiVersion"], object["kind"] = json.RawMessage(`"v1"`), json.RawMessage(`"Event"`)
	payload, err := schemas.Encode(object)
	if err != nil {
		return nil, fmt.Errorf("encoding event: %w", err)
	}
	return payload, nil
}
