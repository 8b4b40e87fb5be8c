package enricher

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// The limits of a document, in bytes. With every byte escaped as six the sum stays below MaxDocumentBytes.
const (
	// MaxDocumentBytes is above the largest encoded document.
	MaxDocumentBytes = 3 << 20
	// MaxMessageBytes bounds message.
	MaxMessageBytes = 256 << 10
	// MaxOriginalBytes bounds event.original.
	MaxOriginalBytes = 64 << 10
	// MaxLabelsBytes bounds the keys and values of labels, and of annotations, each.
	MaxLabelsBytes = 64 << 10
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
	total, fits := 0, true
	for k, v := range m {
		total += len(k) + len(v)
		fits = fits && len(k)+len(v) <= MaxLabelBytes && len(k) <= MaxNameBytes && utf8.ValidString(k) && utf8.ValidString(v)
	}
	if fits && total <= MaxLabelsBytes {
		return m
	}
	out := make(map[string]string, min(len(m), 1024))
	left := MaxLabelsBytes
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
