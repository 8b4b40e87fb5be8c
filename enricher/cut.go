package enricher

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"kubescribe/schemas"
)

// The limits of a document, in bytes. Their sum stays below MaxDocumentBytes; where a text needs so many escapes that the
// document does not, fit cuts it again.
const (
	// MaxDocumentBytes is above the largest encoded document.
	MaxDocumentBytes = 3 << 20
	// MaxMessageBytes bounds message.
	MaxMessageBytes = 256 << 10
	// MaxOriginalBytes bounds event.original.
	MaxOriginalBytes = 64 << 10
	// MaxLabelsBytes bounds the keys and values of labels, and of annotations, each.
	MaxLabelsBytes = 64 << 10
	// MaxNamespaceLabelsBytes bounds those of the namespace.
	MaxNamespaceLabelsBytes = 16 << 10
	// MaxErrorBytes bounds error.message.
	MaxErrorBytes = 16 << 10
	// MaxLabelBytes bounds one key and its value together. It is below Elasticsearch's ignore_above of 8191 characters,
	// and so far below the 32,766 bytes of a term.
	MaxLabelBytes = 8191
	// MaxNameBytes bounds every other string: names, kinds, reasons, components.
	MaxNameBytes = 1024
)

// cutter bounds strings and remembers which fields it cut.
type cutter struct{ fields []string }

// mark notes that a field was cut.
func (c *cutter) mark(field string) {
	if !slices.Contains(c.fields, field) {
		c.fields = append(c.fields, field)
	}
}

// text returns s, valid as UTF-8 and no longer than limit bytes.
func (c *cutter) text(field, s string, limit int) string {
	if len(s) > limit {
		c.mark(field)
		end := limit
		for end > max(0, limit-utf8.UTFMax) && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	if utf8.ValidString(s) {
		return s
	}
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) > limit { // each replacement may lengthen s by two bytes
		return c.text(field, s, limit)
	}
	return s
}

func (c *cutter) name(field, s string) string { return c.text(field, s, MaxNameBytes) }

// labels returns m with each entry and the whole bounded; entries are dropped from the end of the alphabet, so that the
// same labels always give the same document. It returns m itself when nothing has to change.
func (c *cutter) labels(field string, m map[string]string) map[string]string {
	return c.labelsWithin(field, m, MaxLabelsBytes)
}

// labelsWithin is labels with a limit for the whole.
func (c *cutter) labelsWithin(field string, m map[string]string, limit int) map[string]string {
	total, fits := 0, true
	for k, v := range m {
		total += len(k) + len(v)
		fits = fits && len(k)+len(v) <= MaxLabelBytes && len(k) <= MaxNameBytes && utf8.ValidString(k) && utf8.ValidString(v)
	}
	if fits && total <= limit {
		return m
	}
	out := make(map[string]string, min(len(m), 1024))
	left := limit
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(k) > MaxNameBytes || len(k) > left || !utf8.ValidString(k) {
			c.mark(field)
			continue
		}
		v := c.text(field, m[k], min(MaxLabelBytes, left)-len(k))
		out[k] = v
		left -= len(k) + len(v)
	}
	return out
}

// fit makes d smaller after it was encoded beyond MaxDocumentBytes, which takes a text of control characters; what is left
// is below it however it is encoded.
func fit(d *schemas.Document) {
	c := cutter{fields: slices.Clone(d.Kubescribe.Truncated)}
	drop := func(field string, there bool, drop func()) {
		if there {
			c.mark(field)
			drop()
		}
	}
	drop("event.original", d.Event.Original != "", func() { d.Event.Original = "" })
	drop("kubernetes.annotations", len(d.Kubernetes.Annotations) > 0, func() { d.Kubernetes.Annotations = nil })
	drop("kubernetes.namespace_labels", len(d.Kubernetes.NamespaceLabels) > 0, func() { d.Kubernetes.NamespaceLabels = nil })
	d.Message = c.text("message", d.Message, MaxMessageBytes/4)
	if d.Error != nil {
		e := *d.Error
		e.StackTrace = c.text("error.stack_trace", e.StackTrace, MaxMessageBytes/8)
		d.Error = &e
	}
	d.Kubescribe.Truncated = c.fields
}
