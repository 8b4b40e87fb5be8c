package producer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// wireEvent is one Event as protobuf brought it: parts of the bytes that came, and valid as long as those. Decoding into the typed
// Event and encoding that by reflection is four fifths of what a revision costs, managedFields included, which nobody wants.
type wireEvent struct {
	raw []byte
	// plain: every field that is set is one of those below. An Event with others, such as labels, is decoded in full.
	plain bool
	// meta is the metadata, and managed the part of it that is managedFields, where they are.
	meta    []byte
	managed [2]int

	name, generateName, namespace, selfLink, uid, rv []byte
	generation                                       int64
	created                                          wireTime
	involved, related                                wireReference
	hasRelated, hasSeries                            bool
	reason, message, component, host, kind, action   []byte
	controller, instance                             []byte
	first, last, at, seriesLast                      wireTime
	count, seriesCount                               int32
}

type wireReference struct {
	kind, namespace, name, uid, apiVersion, rv, fieldPath []byte
}

// wireTime is a time as Kubernetes' own decoder reads it: seconds for a Time, microseconds for a MicroTime.
type wireTime struct{ time.Time }

// cursor reads the fields of a protobuf message. After the first fault it is at its end, with bad set.
type cursor struct {
	b   []byte
	bad bool
}

const (
	wireVarint = 0
	wireBytes  = 2
)

// next reads a field that is a varint or has a length; others are faults, because Events have none.
func (c *cursor) next() (field int, kind int, number uint64, value []byte, more bool) {
	if len(c.b) == 0 || c.bad {
		return 0, 0, 0, nil, false
	}
	tag := c.varint()
	field, kind = int(tag>>3), int(tag&7) //nolint:gosec // a field's number has 29 bits
	switch kind {
	case wireVarint:
		number = c.varint()
	case wireBytes:
		n := c.varint()
		if c.bad || n > uint64(len(c.b)) {
			c.bad = true
			break
		}
		value, c.b = c.b[:n], c.b[n:]
	default:
		c.bad = true
	}
	return field, kind, number, value, !c.bad
}

func (c *cursor) varint() uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := uint64(c.b[0])
		c.b = c.b[1:]
		return v
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

// scanEvent reads the fields of an Event. It finds no faults: an Event with one is not plain, and the full decoder judges it.
func scanEvent(raw []byte) wireEvent {
	e := wireEvent{raw: raw, plain: true}
	c := cursor{b: raw}
	var seen uint32
	for {
		field, kind, number, value, more := c.next()
		if !more {
			break
		}
		text := kind == wireBytes
		if field > 15 || text == (field == 8) || seen&(1<<field) != 0 {
			e.plain = false // unknown, of another type, or there twice
			continue
		}
		seen |= 1 << field
		switch field {
		case 1:
			e.meta = value
			e.scanMeta(value)
		case 2:
			e.plain = e.involved.scan(value) && e.plain
		case 3:
			e.reason = value
		case 4:
			e.message = value
		case 5:
			e.scanSource(value)
		case 6:
			e.plain = e.first.scan(value, time.Second) && e.plain
		case 7:
			e.plain = e.last.scan(value, time.Second) && e.plain
		case 8:
			e.count = int32(number) //nolint:gosec // as the generated decoder does
		case 9:
			e.kind = value
		case 10:
			e.plain = e.at.scan(value, time.Microsecond) && e.plain
		case 11:
			e.hasSeries = true
			e.scanSeries(value)
		case 12:
			e.action = value
		case 13:
			e.hasRelated = true
			e.plain = e.related.scan(value) && e.plain
		case 14:
			e.controller = value
		case 15:
			e.instance = value
		default:
			e.plain = false
		}
	}
	e.plain = e.plain && !c.bad
	return e
}

const fieldManagedFields = 17

func (e *wireEvent) scanMeta(b []byte) {
	c := cursor{b: b}
	var seen uint32
	for {
		from := len(b) - len(c.b)
		field, kind, number, value, more := c.next()
		if !more {
			break
		}
		if field == fieldManagedFields && kind == wireBytes {
			e.manages(from, len(b)-len(c.b))
			continue
		}
		if field > 8 || (kind == wireVarint) != (field == 7) || seen&(1<<field) != 0 {
			e.plain = false
			continue
		}
		seen |= 1 << field
		switch field {
		case 1:
			e.name = value
		case 2:
			e.generateName = value
		case 3:
			e.namespace = value
		case 4:
			e.selfLink = value
		case 5:
			e.uid = value
		case 6:
			e.rv = value
		case 7:
			e.generation = int64(number) //nolint:gosec // as the generated decoder does
		case 8:
			e.plain = e.created.scan(value, time.Second) && e.plain
		default:
			e.plain = false
		}
	}
	e.plain = e.plain && !c.bad
}

// manages notes that a part of the metadata is managedFields. They are one piece, or none is noted.
func (e *wireEvent) manages(from, to int) {
	switch e.managed {
	case [2]int{}:
		e.managed = [2]int{from, to}
	case [2]int{e.managed[0], from}:
		e.managed[1] = to
	}
}

// appendLean appends the Event's protobuf without managedFields, which are half of it. One that is not plain stays as it is.
func (e *wireEvent) appendLean(b []byte) []byte {
	rest, first := bytes.CutPrefix(e.raw, []byte{1<<3 | wireBytes})
	if !e.plain || !first || e.managed[1] == 0 {
		return append(b, e.raw...)
	}
	_, n := binary.Uvarint(rest)
	b = append(b, 1<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(e.meta)-(e.managed[1]-e.managed[0]))) //nolint:gosec // a part of the whole
	b = append(b, e.meta[:e.managed[0]]...)
	b = append(b, e.meta[e.managed[1]:]...)
	return append(b, rest[n+len(e.meta):]...)
}

func (e *wireEvent) scanSource(b []byte) {
	c := cursor{b: b}
	for {
		field, kind, _, value, more := c.next()
		if !more {
			break
		}
		switch {
		case field == 1 && kind == wireBytes:
			e.component = value
		case field == 2 && kind == wireBytes:
			e.host = value
		default:
			e.plain = false
		}
	}
	e.plain = e.plain && !c.bad
}

func (e *wireEvent) scanSeries(b []byte) {
	c := cursor{b: b}
	for {
		field, kind, number, value, more := c.next()
		if !more {
			break
		}
		switch {
		case field == 1 && kind == wireVarint:
			e.seriesCount = int32(number) //nolint:gosec // as the generated decoder does
		case field == 2 && kind == wireBytes:
			e.plain = e.seriesLast.scan(value, time.Microsecond) && e.plain
		default:
			e.plain = false
		}
	}
	e.plain = e.plain && !c.bad
}

func (r *wireReference) scan(b []byte) (plain bool) {
	c := cursor{b: b}
	fields := [...]*[]byte{1: &r.kind, 2: &r.namespace, 3: &r.name, 4: &r.uid, 5: &r.apiVersion, 6: &r.rv, 7: &r.fieldPath}
	plain = true
	for {
		field, kind, _, value, more := c.next()
		if !more {
			return plain && !c.bad
		}
		if field < 1 || field > 7 || kind != wireBytes {
			plain = false
			continue
		}
		*fields[field] = value
	}
}

func (t *wireTime) scan(b []byte, unit time.Duration) (plain bool) {
	t.Time = time.Time{}
	if len(b) == 0 {
		return true
	}
	c := cursor{b: b}
	var seconds int64
	var nanos int32
	plain = true
	for {
		field, kind, number, _, more := c.next()
		if !more {
			break
		}
		switch {
		case field == 1 && kind == wireVarint:
			seconds = int64(number) //nolint:gosec // as the generated decoder does
		case field == 2 && kind == wireVarint:
			nanos = int32(number) //nolint:gosec // as the generated decoder does
		default:
			plain = false
		}
	}
	if unit == time.Second {
		nanos = 0
	}
	t.Time = time.Unix(seconds, int64(time.Duration(nanos).Truncate(unit))).UTC()
	return plain && !c.bad
}

// happened is EventTime of what is on the wire.
func (e *wireEvent) happened() time.Time {
	switch {
	case e.hasSeries && !e.seriesLast.IsZero():
		return e.seriesLast.Time
	case !e.last.IsZero():
		return e.last.Time
	case !e.at.IsZero():
		return e.at.Time
	}
	return e.created.Time
}

// times is how often it has happened, by its own count.
func (e *wireEvent) times() int64 {
	if e.hasSeries {
		return max(int64(e.seriesCount), int64(e.count))
	}
	return int64(e.count)
}

// decode is the whole Event.
func (e *wireEvent) decode() (*corev1.Event, error) {
	ev := new(corev1.Event)
	if err := ev.Unmarshal(e.raw); err != nil {
		return nil, fmt.Errorf("decoding event: %w", err)
	}
	return ev, nil
}
