package producer

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

// appendPayload appends a plain Event as schemas.Encode writes the typed one, byte for byte.
func (e *wireEvent) appendPayload(b []byte) []byte {
	b = append(b, `{"kind":"Event","apiVersion":"v1","metadata":{`...)
	j := members{b: b, first: true}
	j.text("name", e.name)
	j.text("generateName", e.generateName)
	j.text("namespace", e.namespace)
	j.text("selfLink", e.selfLink)
	j.text("uid", e.uid)
	j.text("resourceVersion", e.rv)
	j.number("generation", e.generation)
	if !e.created.IsZero() {
		j.time("creationTimestamp", e.created.Time, time.RFC3339)
	}
	j.b = append(j.b, `},"involvedObject":`...)
	j.reference(&e.involved)
	j.first = false
	j.text("reason", e.reason)
	j.text("message", e.message)
	j.b = append(j.b, `,"source":{`...)
	j.first = true
	j.text("component", e.component)
	j.text("host", e.host)
	j.b = append(j.b, '}')
	j.first = false
	j.time("firstTimestamp", e.first.Time, time.RFC3339)
	j.time("lastTimestamp", e.last.Time, time.RFC3339)
	j.number("count", int64(e.count))
	j.text("type", e.kind)
	j.time("eventTime", e.at.Time, metav1.RFC3339Micro)
	if e.hasSeries {
		j.b = append(j.b, `,"series":{`...)
		j.first = true
		j.number("count", int64(e.seriesCount))
		j.time("lastObservedTime", e.seriesLast.Time, metav1.RFC3339Micro)
		j.b = append(j.b, '}')
		j.first = false
	}
	j.text("action", e.action)
	if e.hasRelated {
		j.b = append(j.b, `,"related":`...)
		j.reference(&e.related)
		j.first = false
	}
	j.b = append(j.b, `,"reportingComponent":`...)
	j.b = appendText(j.b, e.controller)
	j.b = append(j.b, `,"reportingInstance":`...)
	j.b = appendText(j.b, e.instance)
	return append(j.b, '}')
}

// members writes the members of JSON objects; the empty ones are left out.
type members struct {
	b     []byte
	first bool
}

func (j *members) name(name string) {
	if !j.first {
		j.b = append(j.b, ',')
	}
	j.first = false
	j.b = append(j.b, '"')
	j.b = append(j.b, name...)
	j.b = append(j.b, '"', ':')
}

func (j *members) text(name string, value []byte) {
	if len(value) > 0 {
		j.name(name)
		j.b = appendText(j.b, value)
	}
}

func (j *members) number(name string, n int64) {
	if n != 0 {
		j.name(name)
		j.b = strconv.AppendInt(j.b, n, 10)
	}
}

// time writes null for no time: those members are never left out.
func (j *members) time(name string, t time.Time, layout string) {
	j.name(name)
	if t.IsZero() {
		j.b = append(j.b, "null"...)
		return
	}
	j.b = append(j.b, '"')
	j.b = t.AppendFormat(j.b, layout)
	j.b = append(j.b, '"')
}

func (j *members) reference(r *wireReference) {
	j.b = append(j.b, '{')
	j.first = true
	j.text("kind", r.kind)
	j.text("namespace", r.namespace)
	j.text("name", r.name)
	j.text("uid", r.uid)
	j.text("apiVersion", r.apiVersion)
	j.text("resourceVersion", r.rv)
	j.text("fieldPath", r.fieldPath)
	j.b = append(j.b, '}')
}

// appendSubject appends the involved object as a schemas.Subject.
func (e *wireEvent) appendSubject(b []byte) []byte {
	j := members{b: append(b, '{'), first: true}
	r := &e.involved
	j.text("apiVersion", r.apiVersion)
	j.text("kind", r.kind)
	j.text("namespace", r.namespace)
	j.text("name", r.name)
	j.text("uid", r.uid)
	j.text("resourceVersion", r.rv)
	j.text("fieldPath", r.fieldPath)
	return append(j.b, '}')
}

// appendKey appends the record's key: Subject.Key of the involved object.
func (e *wireEvent) appendKey(b []byte) []byte {
	r := &e.involved
	if group, _, found := bytes.Cut(r.apiVersion, []byte("/")); found {
		b = append(b, group...)
	}
	for _, part := range [...][]byte{r.kind, r.namespace, r.name} {
		b = append(append(b, '/'), part...)
	}
	return b
}

// appendObservation appends o as schemas.Encode writes it, but for id, subject and payload, which come from e.
func (e *wireEvent) appendObservation(b []byte, o *schemas.Observation, id []byte) []byte {
	b = append(b, `{"id":`...)
	b = appendText(b, id)
	b = append(b, `,"type":"event","cluster":{"name":`...)
	b = appendText(b, o.Cluster.Name)
	b = append(b, `,"uid":`...)
	b = appendText(b, o.Cluster.UID)
	b = append(b, `},"source":"events","subject":`...)
	b = e.appendSubject(b)
	b = append(b, `,"time":"`...)
	b = o.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if o.TimeAdjusted {
		b = append(b, `,"timeAdjusted":true`...)
	}
	b = append(b, `,"observedAt":"`...)
	b = o.ObservedAt.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if o.Occurrences != nil {
		b = append(b, `,"occurrences":`...)
		b = strconv.AppendInt(b, *o.Occurrences, 10)
	}
	b = append(b, `,"payload":`...)
	b = e.appendPayload(b)
	return append(b, '}')
}

const hexDigits = "0123456789abcdef"

// appendText appends s as encoding/json does without its escapes for HTML.
func appendText[T []byte | string](b []byte, s T) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, `\b`...)
			case '\f':
				b = append(b, `\f`...)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, `\u00`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, s[from:i]...)
			b = append(b, `\ufffd`...)
			from = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(b, s[from:i]...)
			b = append(b, `\u202`...)
			b = append(b, hexDigits[r&15])
			from = i + size
		}
		i += size
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
