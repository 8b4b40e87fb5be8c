package reload

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"kubescribe/internal/store"
	"kubescribe/schemas"
)

// maxLine bounds one document of a file.
const maxLine = 16 << 20

// LineError says which line of a file is no document.
type LineError struct {
	Name string
	Line int64
	Err  error
}

// Error is in one line.
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, oneLine(e.Err)) }

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// Unwrap is the cause.
func (e *LineError) Unwrap() error { return e.Err }

// FromFile stores the documents of r, one in each line, gzip or not: documents as they are in the store, or hits with _id and
// _source as dumps of Elasticsearch have them. Empty lines are passed over. name identifies the file in the state and in errors.
// A line that is no document is a *LineError, unless Options.SkipBad.
func FromFile(ctx context.Context, o Options, name string, r io.Reader, since time.Time, st store.Store) (Result, error) {
	l := newLoader(o, st, time.Now)
	lines, err := open(r)
	if err != nil {
		return l.measured(), fmt.Errorf("reading %s: %w", name, err)
	}
	done, line := o.State.lines(name), int64(0)
	l.save = func() error {
		o.State.setLines(name, line)
		return o.State.save()
	}
	for lines.Scan() {
		line++
		l.result.Read++
		text := bytes.TrimSpace(lines.Bytes())
		if line <= done {
			l.result.Early++
			continue
		}
		if len(text) == 0 {
			continue
		}
		at := line
		item, err := itemOf(bytes.Clone(text))
		switch {
		case err != nil && !o.SkipBad:
			line-- // not done
			err = errors.Join(&LineError{name, at, err}, l.flush(ctx))
			return l.measured(), err
		case err != nil:
			l.refuse(Refusal{At: fmt.Sprintf("%s:%d", name, at), Reason: oneLine(err)})
			continue
		case item.Time.Before(since):
			l.result.Early++
			continue
		}
		if err := l.add(ctx, item, func() string { return fmt.Sprintf("%s:%d", name, at) }); err != nil {
			return l.measured(), err
		}
	}
	if err = lines.Err(); err != nil {
		err = &LineError{name, line + 1, err}
	}
	err = errors.Join(err, l.flush(ctx))
	return l.measured(), err
}

// open looks at the beginning to see whether r is compressed.
func open(r io.Reader) (*bufio.Scanner, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		r = z
	} else {
		r = b
	}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLine)
	return s, nil
}

// itemOf reads one line. The document's bytes stay as they are.
func itemOf(line []byte) (store.Item, error) {
	var hit struct {
		ID     string          `json:"_id"`
		Source json.RawMessage `json:"_source"`
	}
	if err := json.Unmarshal(line, &hit); err != nil {
		return store.Item{}, fmt.Errorf("decoding the line: %w", err)
	}
	body := []byte(hit.Source)
	if body == nil {
		body = line
	}
	var d struct {
		Timestamp time.Time `json:"@timestamp"`
		Event     struct {
			ID string `json:"id"`
		} `json:"event"`
		Kubescribe struct {
			Class string `json:"class"`
		} `json:"kubescribe"`
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return store.Item{}, fmt.Errorf("decoding the document: %w", err)
	}
	var errs []error
	if d.Timestamp.IsZero() {
		errs = append(errs, errors.New("@timestamp is missing"))
	}
	if d.Event.ID == "" {
		errs = append(errs, errors.New("event.id is missing"))
	}
	if hit.ID != "" && d.Event.ID != "" && hit.ID != d.Event.ID {
		errs = append(errs, fmt.Errorf("_id is %q and event.id is %q: they must be the same", hit.ID, d.Event.ID))
	}
	if err := schemas.ValidateClass(d.Kubescribe.Class); err != nil {
		errs = append(errs, fmt.Errorf("kubescribe.class: %w", err))
	}
	return store.Item{ID: d.Event.ID, Class: d.Kubescribe.Class, Time: d.Timestamp.UTC(), Body: body}, errors.Join(errs...)
}
