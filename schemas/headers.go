package schemas

import (
	"fmt"
	"time"
)

// Header is one header of a Kafka record. It has the shape of franz-go's, so that one converts into the other.
type Header struct {
	Key   string
	Value []byte
}

// The headers of every record: the CloudEvents Kafka binding in binary mode, and the retention class.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderSource      = "ce_source"
	HeaderType        = "ce_type"
	HeaderTime        = "ce_time"
	HeaderContentType = "content-type"
	HeaderClass       = "class" // only in enriched.<c>: the retention class
	HeaderTraceParent = "traceparent"
)

// TypePrefix comes before the Type of a fact in the ce_type header.
const TypePrefix = "kubescribe.observation."

// CloudEvent is what the headers of a record say.
type CloudEvent struct {
	ID     string
	Source string
	Type   string
	Time   time.Time
	// Class is the retention class; "" before the enricher has fixed it.
	Class string
}

// Event is the CloudEvent of o.
func (o *Observation) Event() CloudEvent {
	return CloudEvent{ID: o.ID, Source: "/clusters/" + o.Cluster.Name + "/" + string(o.Source), Type: TypePrefix + string(o.Type), Time: o.Time}
}

// Values that are the same in every record. Nobody writes into them.
var specVersion, contentType = []byte("1.0"), []byte("application/json")

// Headers are the headers of a record that carries e. Their values are not to be changed.
func (e CloudEvent) Headers() []Header {
	// One piece of memory holds all values that differ.
	b := make([]byte, 0, len(e.ID)+len(e.Source)+len(e.Type)+len(time.RFC3339Nano)+len(e.Class))
	value := func(add func([]byte) []byte) []byte {
		from := len(b)
		b = add(b)
		return b[from:len(b):len(b)]
	}
	text := func(s string) []byte { return value(func(b []byte) []byte { return append(b, s...) }) }
	h := make([]Header, 0, 7)
	h = append(h,
		Header{HeaderSpecVersion, specVersion},
		Header{HeaderID, text(e.ID)},
		Header{HeaderSource, text(e.Source)},
		Header{HeaderType, text(e.Type)},
		Header{HeaderTime, value(func(b []byte) []byte { return e.Time.UTC().AppendFormat(b, time.RFC3339Nano) })},
		Header{HeaderContentType, contentType},
	)
	if e.Class != "" {
		h = append(h, Header{HeaderClass, text(e.Class)})
	}
	return h
}

// ParseHeaders reads the CloudEvent of a record; headers yields each header's key and value. ID, type and time are required;
// a class, where there is one, must be valid, because it becomes part of an index's name. An error is final for these headers.
func ParseHeaders(headers func(yield func(key string, value []byte) bool)) (CloudEvent, error) {
	var e CloudEvent
	var when string
	for k, v := range headers {
		switch k {
		case HeaderID:
			e.ID = string(v)
		case HeaderSource:
			e.Source = string(v)
		case HeaderType:
			e.Type = string(v)
		case HeaderTime:
			when = string(v)
		case HeaderClass:
			e.Class = string(v)
		}
	}
	for _, h := range []struct{ name, value string }{{HeaderID, e.ID}, {HeaderType, e.Type}, {HeaderTime, when}} {
		if h.value == "" {
			return e, fmt.Errorf("header %s is missing", h.name)
		}
	}
	if len(e.ID) > MaxIDBytes {
		return e, fmt.Errorf("header %s has %d bytes, at most %d are allowed", HeaderID, len(e.ID), MaxIDBytes)
	}
	t, err := time.Parse(time.RFC3339Nano, when)
	if err != nil {
		return e, fmt.Errorf("header %s: %w", HeaderTime, err)
	}
	e.Time = t.UTC()
	if e.Class != "" {
		if err := ValidateClass(e.Class); err != nil {
			return e, fmt.Errorf("header %s: %w", HeaderClass, err)
		}
	}
	return e, nil
}
