package producer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// pending is an encoded revision.
type pending struct {
	rv     uint64
	record *kgo.Record
	fact   fact
}

// encoder turns Events on the wire into records. It hands out memory in large pieces, because a revision is small and there are
// many; a piece lives as long as the youngest record in it. It belongs to one goroutine.
type encoder struct {
	topic   string
	cluster schemas.Cluster

	epoch  int64
	prefix []byte // of ids: cluster UID / epoch /
	source []byte
	chunk  []byte
	slab   []recordSlot
}

const (
	chunkBytes = 128 << 10
	slabSlots  = 128
)

// recordSlot is a record with room for the headers of an observation.
type recordSlot struct {
	record  kgo.Record
	headers [6]kgo.RecordHeader
}

var (
	headerSpecVersion = []byte("1.0")
	headerType        = []byte(schemas.TypePrefix + string(schemas.TypeEvent))
	headerContentType = []byte("application/json")
)

// event is the record of one revision, seen at observedAt. A plain Event of a usual size goes the short way; the others are decoded
// in full. An error is final for these bytes.
func (enc *encoder) event(e *wireEvent, epoch int64, observedAt time.Time, occurrences *int64) (p pending, shrunk bool, err error) {
	rv, err := parseRV(string(e.rv))
	if err != nil {
		return p, false, err
	}
	t := e.happened()
	if y := t.Year(); !e.plain || len(e.raw) > maxRecordBytes/8 || y < 0 || y > 9999 {
		return enc.typed(e, rv, epoch, observedAt, occurrences)
	}
	if err := checkIdentity(e.uid, e.rv); err != nil {
		return p, false, err
	}
	enc.prepare(epoch, 2*len(e.raw)+2048)
	id := enc.piece(func(b []byte) []byte {
		b = append(append(b, enc.prefix...), e.uid...)
		return append(append(b, '/'), e.rv...)
	})
	if len(id) > schemas.MaxIDBytes {
		return p, false, fmt.Errorf("the id has %d bytes, at most %d are allowed", len(id), schemas.MaxIDBytes)
	}
	o := schemas.Observation{Cluster: enc.cluster, Occurrences: occurrences}
	o.SetTime(t, observedAt)
	value := enc.piece(func(b []byte) []byte { return e.appendObservation(b, &o, id) })
	key := enc.piece(e.appendKey)
	when := enc.piece(func(b []byte) []byte { return o.Time.AppendFormat(b, time.RFC3339Nano) })
	return pending{rv: rv, record: enc.record(id, when, key, value), fact: fact{kind: schemas.TypeEvent, time: o.Time}}, false, nil
}

// typed is the long way.
func (enc *encoder) typed(e *wireEvent, rv uint64, epoch int64, observedAt time.Time, occurrences *int64) (p pending, shrunk bool, err error) {
	ev, err := e.decode()
	if err != nil {
		return p, false, err
	}
	o, err := FromEvent(ev, enc.cluster, epoch, observedAt)
	if err != nil {
		return p, false, err
	}
	o.Occurrences = occurrences
	r, shrunk, err := eventRecord(enc.topic, o)
	return pending{rv: rv, record: r, fact: fact{kind: schemas.TypeEvent, time: o.Time}}, shrunk, err
}

// prepare makes room for a record of about so many bytes.
func (enc *encoder) prepare(epoch int64, size int) {
	if enc.prefix == nil || enc.epoch != epoch {
		enc.epoch = epoch
		enc.prefix = []byte(enc.cluster.UID + "/" + strconv.FormatInt(epoch, 10) + "/")
		enc.source = []byte("/clusters/" + enc.cluster.Name + "/" + string(schemas.SourceEvents))
	}
	if cap(enc.chunk)-len(enc.chunk) < size {
		enc.chunk = make([]byte, 0, max(chunkBytes, size))
	}
}

// piece is what fill appends, in memory of its own.
func (enc *encoder) piece(fill func([]byte) []byte) []byte {
	from := len(enc.chunk)
	enc.chunk = fill(enc.chunk)
	return slices.Clip(enc.chunk[from:])
}

func (enc *encoder) record(id, when, key, value []byte) *kgo.Record {
	if len(enc.slab) == 0 {
		enc.slab = make([]recordSlot, slabSlots)
	}
	s := &enc.slab[0]
	enc.slab = enc.slab[1:]
	s.headers = [6]kgo.RecordHeader{
		{Key: schemas.HeaderSpecVersion, Value: headerSpecVersion},
		{Key: schemas.HeaderID, Value: id},
		{Key: schemas.HeaderSource, Value: enc.source},
		{Key: schemas.HeaderType, Value: headerType},
		{Key: schemas.HeaderTime, Value: when},
		{Key: schemas.HeaderContentType, Value: headerContentType},
	}
	s.record.Topic, s.record.Key, s.record.Value, s.record.Headers = enc.topic, key, value, s.headers[:]
	return &s.record
}

// checkIdentity refuses what can't be part of an id.
func checkIdentity[T []byte | string](uid, rv T) error {
	switch {
	case len(uid) == 0 || slices.Contains([]byte(uid), '/'):
		return fmt.Errorf("metadata.uid: %q is no UID", uid)
	case len(rv) == 0 || slices.Contains([]byte(rv), '/'):
		return fmt.Errorf("metadata.resourceVersion: %q is no resourceVersion", rv)
	}
	return nil
}

var errNoTime = errors.New("the event has no time: none of series.lastObservedTime, lastTimestamp, eventTime and metadata.creationTimestamp is set")
