package enricher

import (
	"cmp"
	"encoding/json"

	"kubescribe/schemas"
)

// decodeObservation is schemas.DecodeObservation in a quarter of the time. What it does not understand at once it leaves
// to that function: escaped or repeated names, names in other cases, odd numbers, every error. The payload is not copied:
// it is valid as long as b.
func decodeObservation(b []byte) (*schemas.Observation, error) {
	o := new(schemas.Observation)
	s := scanner{b: b}
	s.observation(o)
	if s.end() && o.Validate() == nil {
		return o, nil
	}
	return schemas.DecodeObservation(b)
}

// decodeEvent is json.Unmarshal in the same way.
func decodeEvent(b []byte) (*event, error) {
	e := new(event)
	s := scanner{b: b}
	s.event(e)
	if s.end() {
		return e, nil
	}
	e = new(event)
	err := json.Unmarshal(b, e)
	return e, err
}

func (s *scanner) observation(o *schemas.Observation) {
	s.object(func(name []byte) {
		switch string(name) {
		case "id":
			s.text(&o.ID)
		case "type":
			s.text((*string)(&o.Type))
		case "cluster":
			s.object(func(name []byte) {
				switch string(name) {
				case "name":
					s.text(&o.Cluster.Name)
				case "uid":
					s.text(&o.Cluster.UID)
				default:
					s.other(name)
				}
			})
		case "source":
			s.text((*string)(&o.Source))
		case "subject":
			s.subject(&o.Subject)
		case "time":
			s.time(&o.Time)
		case "timeAdjusted":
			o.TimeAdjusted = s.literal("true")
			s.bad = s.bad || !o.TimeAdjusted && !s.literal("false")
		case "observedAt":
			s.time(&o.ObservedAt)
		case "occurrences":
			if s.literal("null") {
				o.Occurrences = nil
			} else {
				o.Occurrences = new(int64)
				s.integer(o.Occurrences)
			}
		case "payload":
			from := s.i
			s.skip(0)
			if !s.bad {
				o.Payload = s.b[from:s.i]
			}
		default:
			s.other(name)
		}
	})
}

func (s *scanner) subject(o *schemas.Subject) {
	s.object(func(name []byte) {
		switch string(name) {
		case "apiVersion":
			s.text(&o.APIVersion)
		case "kind":
			s.text(&o.Kind)
		case "namespace":
			s.text(&o.Namespace)
		case "name":
			s.text(&o.Name)
		case "uid":
			s.text(&o.UID)
		case "resourceVersion":
			s.text(&o.ResourceVersion)
		case "fieldPath":
			s.text(&o.FieldPath)
		default:
			s.other(name)
		}
	})
}

func (s *scanner) event(e *event) {
	s.object(func(name []byte) {
		switch string(name) {
		case "metadata":
			s.metadata(e)
		case "related":
			if s.literal("null") {
				e.Related = nil
			} else {
				e.Related = cmp.Or(e.Related, new(schemas.Subject))
				s.subject(e.Related)
			}
		case "reason":
			s.text(&e.Reason)
		case "message":
			s.text(&e.Message)
		case "type":
			s.text(&e.Type)
		case "source":
			s.object(func(name []byte) {
				switch string(name) {
				case "component":
					s.text(&e.Source.Component)
				case "host":
					s.text(&e.Source.Host)
				default:
					s.other(name)
				}
			})
		case "reportingComponent":
			s.text(&e.ReportingComponent)
		case "firstTimestamp":
			s.time(&e.FirstTimestamp)
		case "lastTimestamp":
			s.time(&e.LastTimestamp)
		case "eventTime":
			s.time(&e.EventTime)
		case "count":
			s.integer(&e.Count)
		case "series":
			if s.literal("null") {
				e.Series = nil
			} else {
				e.Series = cmp.Or(e.Series, new(series))
				s.series(e.Series)
			}
		default:
			s.other(name)
		}
	})
}

func (s *scanner) metadata(e *event) {
	s.object(func(name []byte) {
		switch string(name) {
		case "name":
			s.text(&e.Metadata.Name)
		case "namespace":
			s.text(&e.Metadata.Namespace)
		case "uid":
			s.text(&e.Metadata.UID)
		case "resourceVersion":
			s.text(&e.Metadata.ResourceVersion)
		case "creationTimestamp":
			s.time(&e.Metadata.CreationTimestamp)
		default:
			s.other(name)
		}
	})
}

func (s *scanner) series(e *series) {
	s.object(func(name []byte) {
		switch string(name) {
		case "count":
			s.integer(&e.Count)
		case "lastObservedTime":
			s.time(&e.LastObservedTime)
		default:
			s.other(name)
		}
	})
}
