package producer

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// line is what can be in a recording: a watch event, an object, or a list.
type line struct {
	Type   string          `json:"type"`   // of a watch event
	Object json.RawMessage `json:"object"` // of a watch event
	// ObservedAt is when a watch event arrived, if whoever recorded it noted that.
	ObservedAt time.Time `json:"observedAt"`

	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Involved   json.RawMessage   `json:"involvedObject"`
	Items      []json.RawMessage `json:"items"`
}

// revision is an Event or a Pod of a recording before its conversion.
type revision struct {
	raw        json.RawMessage
	observedAt time.Time
	pod        bool
	gone       bool // a pod's deletion; that of an Event is no revision
}

// revisions are the Events and Pods that an entry of a recording holds: mostly one, none for what is no revision or of another kind
// (ignored counts those), many for a list on one line.
func revisions(raw json.RawMessage) (found []revision, ignored int64, err error) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, 0, fmt.Errorf("decoding: %w", err)
	}
	switch {
	case l.Object != nil:
		return ofWatch(l)
	case l.Kind == "List" || l.Kind == "EventList":
		for i, item := range l.Items {
			r, n, err := revisions(item)
			if err != nil {
				return nil, 0, fmt.Errorf("item %d: %w", i, err)
			}
			found, ignored = append(found, r...), ignored+n
		}
		return found, ignored, nil
	case l.Kind == "Event", l.Kind == "" && l.Involved != nil: // items of an EventList don't repeat their kind
		if l.APIVersion == eventsV1 {
			raw, err = fromEventsV1(raw)
		}
		return []revision{{raw: raw}}, 0, err
	case l.Kind == "Pod" && l.APIVersion == "v1":
		return []revision{{raw: raw, pod: true}}, 0, nil
	case l.Kind != "":
		return nil, 1, nil
	}
	return nil, 0, fmt.Errorf("neither a watch event (type and object), nor an object (kind), nor a list")
}

func ofWatch(l line) (found []revision, ignored int64, err error) {
	switch watch.EventType(l.Type) {
	case watch.Added, watch.Modified, watch.Deleted:
	case watch.Bookmark, watch.Error:
		return nil, 0, nil
	default:
		return nil, 0, fmt.Errorf("type: %q is none of ADDED, MODIFIED, DELETED, BOOKMARK and ERROR", l.Type)
	}
	found, ignored, err = revisions(l.Object)
	if l.Type == string(watch.Deleted) {
		found, ignored = slices.DeleteFunc(found, func(r revision) bool { return !r.pod }), 0
	}
	for i := range found {
		found[i].observedAt, found[i].gone = l.ObservedAt, l.Type == string(watch.Deleted)
	}
	return found, ignored, err
}

// eventsV1 is the newer face of the same objects in the API server.
const eventsV1 = "events.k8s.io/v1"

// coreNames are the fields that core/v1 calls otherwise.
var coreNames = map[string]string{
	"regarding": "involvedObject", "note": "message", "reportingController": "reportingComponent",
	"deprecatedSource": "source", "deprecatedCount": "count",
	"deprecatedFirstTimestamp": "firstTimestamp", "deprecatedLastTimestamp": "lastTimestamp",
}

// fromEventsV1 writes an Event of events.k8s.io/v1 as core/v1 has it. Both are one object with one uid and resourceVersion.
func fromEventsV1(raw json.RawMessage) (json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	for from, to := range coreNames {
		if v, ok := object[from]; ok {
			object[to] = v
			delete(object, from)
		}
	}
	return json.Marshal(object)
}
