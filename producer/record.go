package producer

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// observationRecord is o as a record of the topic, with the key given.
func observationRecord(topic, key string, o *schemas.Observation) (*kgo.Record, error) {
	value, err := schemas.Encode(o)
	if err != nil {
		return nil, fmt.Errorf("encoding observation %s: %w", o.ID, err)
	}
	headers := o.Event().Headers()
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: value, Headers: make([]kgo.RecordHeader, len(headers))}
	for i, h := range headers {
		r.Headers[i] = kgo.RecordHeader(h)
	}
	return r, nil
}

// eventRecord is the observation of an Event as a record; it always fits.
func eventRecord(topic string, o *schemas.Observation) (r *kgo.Record, shrunk bool, err error) {
	r, err = observationRecord(topic, o.Subject.Key(), o)
	if err != nil || recordSize(r) <= maxRecordBytes {
		return r, false, err
	}
	if err := shrink(o); err != nil {
		return nil, false, err
	}
	r, err = observationRecord(topic, o.Subject.Key(), o)
	return r, true, err
}

// checkpointRecord is c under the key given.
func checkpointRecord(topic, key string, c schemas.Checkpoint) (*kgo.Record, error) {
	value, err := schemas.Encode(c)
	if err != nil {
		return nil, fmt.Errorf("encoding checkpoint: %w", err)
	}
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: value}, nil
}

// recordSize is about what r costs in memory and on the wire.
func recordSize(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}
