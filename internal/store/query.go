package store

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kubescribe/schemas"
)

// The limits of a query.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	maxText      = 1024
	maxValues    = 100
)

// Query says which documents to find. The zero Query finds the newest of all.
type Query struct {
	// From is inclusive, To exclusive; a zero time is no bound.
	From, To time.Time
	// Filters must all hold.
	Filters []Filter
	// Text is free text: the message must have all of its words, in any order and in upper or lower case.
	Text string
	// Where must hold, too.
	Where Expression
	// Limit is the greatest number of hits of a page: 1 to MaxLimit; 0 is DefaultLimit.
	Limit int
	// After is the Next of the page before.
	After string
}

// Filter holds for a document whose field has one of the values.
type Filter struct {
	Field  string
	Values []string
}

// QueryError says what is wrong with one part of a query.
type QueryError struct {
	// Field is the part: from, to, q, limit, after or a filter's field.
	Field  string
	Reason string
}

func (e *QueryError) Error() string { return e.Field + ": " + e.Reason }

// Validate reports every problem of q at once, each as a *QueryError.
func (q Query) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &QueryError{field, fmt.Sprintf(format, args...)})
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		bad("from", "%s is not before to (%s)", q.From.UTC().Format(time.RFC3339Nano), q.To.UTC().Format(time.RFC3339Nano))
	}
	for _, f := range q.Filters {
		if _, ok := fieldByName(f.Field); !ok {
			bad(f.Field, "is no field to filter on: use one of %s", fieldNames())
		}
		if len(f.Values) == 0 || len(f.Values) > maxValues {
			bad(f.Field, "has %d values, 1 to %d are allowed", len(f.Values), maxValues)
		}
		for _, v := range f.Values {
			if v == "" || len(v) > schemas.MaxIDBytes {
				bad(f.Field, "a value has %d bytes, 1 to %d are allowed", len(v), schemas.MaxIDBytes)
				break
			}
		}
	}
	if len(q.Text) > maxText {
		bad("q", "has %d bytes, at most %d are allowed", len(q.Text), maxText)
	} else if q.Text != "" && len(words(q.Text)) == 0 {
		bad("q", "has no word to look for")
	}
	if q.Limit < 0 || q.Limit > MaxLimit {
		bad("limit", "%d is not between 1 and %d", q.Limit, MaxLimit)
	}
	if _, err := parseCursor(q.After); err != nil {
		bad("after", "%s", err)
	}
	return errors.Join(errs...)
}

func fieldNames() string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

func (q Query) limit() int {
	if q.Limit == 0 {
		return DefaultLimit
	}
	return q.Limit
}

// bounds gives From and To within the times that a store can hold; a nil bound is none.
func (q Query) bounds() (from, to *time.Time) {
	if q.From.After(minTime) {
		t := minOf(q.From, maxTime)
		from = &t
	}
	if !q.To.IsZero() && q.To.Before(maxTime) {
		t := q.To
		if t.Before(minTime) {
			t = minTime
		}
		to = &t
	}
	return from, to
}

func minOf(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// value is what a filter on f compares with.
func (f Field) value(v string) string {
	if f.Lower {
		return strings.ToLower(v)
	}
	return v
}

// cursor is the sort key of the last hit of a page.
type cursor struct {
	nanos int64
	id    string
}

// String is the cursor as a page's Next.
func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.nanos, 10) + " " + c.id))
}

// parseCursor reads what String has written; nil for an empty s.
func parseCursor(s string) (*cursor, error) {
	if s == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("is no cursor: use the next of a page as it is")
	}
	nanos, id, ok := strings.Cut(string(b), " ")
	n, err := strconv.ParseInt(nanos, 10, 64)
	if !ok || err != nil || n < 0 || id == "" || len(id) > schemas.MaxIDBytes {
		return nil, errors.New("is no cursor: use the next of a page as it is")
	}
	return &cursor{n, id}, nil
}
