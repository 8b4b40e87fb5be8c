package reload

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kubescribe/indexer"
	"kubescribe/internal/store"
)

// Options say how documents are put into the store.
type Options struct {
	// FlushRecords and FlushBytes bound one request, Requests is how many are on their way at once.
	FlushRecords, FlushBytes, Requests int
	// State is where it is noted how far the run is; nil for nowhere.
	State *State
	// SkipBad counts lines of a file that are no documents, and goes on.
	SkipBad bool
	// Listed is how many refusals the result names.
	Listed int
	// Progress is told after each group of requests. It must return at once.
	Progress func(Result)
}

// Result is what has become of the documents.
type Result struct {
	// Read are the records or lines that this run has read; Of is about how many there are, 0 when nobody knows.
	Read int64 `json:"read"`
	Of   int64 `json:"of,omitempty"`
	// Stored were not there before, Existed were.
	Stored  int64 `json:"stored"`
	Existed int64 `json:"existed"`
	// Expired were left out: their index is past its retention.
	Expired int64 `json:"expired"`
	// Early are records from before the time asked for, and in a file those that an earlier run has stored.
	Early int64 `json:"early"`
	// Refused can never be stored, or are no documents.
	Refused  int64     `json:"refused"`
	Refusals []Refusal `json:"refusals"`
	Seconds  float64   `json:"seconds"`
	// Rate is documents stored or found there, per second.
	Rate float64 `json:"rate"`
}

// Refusal is a document that was not stored.
type Refusal struct {
	// At is TOPIC/PARTITION/OFFSET or FILE:LINE.
	At     string `json:"at"`
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

// loader collects documents and stores them in groups of requests.
type loader struct {
	Options
	store  store.Store
	now    func() time.Time
	began  time.Time
	result Result
	items  []entry
	bytes  int
	// save notes how far the source is; everything that was added before is durable.
	save func() error
}

type entry struct {
	item store.Item
	at   func() string
}

func newLoader(o Options, st store.Store, now func() time.Time) *loader {
	return &loader{Options: o, store: st, now: now, began: now(), result: Result{Refusals: []Refusal{}}, save: func() error { return nil }}
}

// add takes one document; it blocks while a group is stored.
func (l *loader) add(ctx context.Context, it store.Item, at func() string) error {
	if end := l.store.DeletedAt(it.Class, it.Time); !end.IsZero() && l.now().After(end) {
		l.result.Expired++
		return nil
	}
	l.items, l.bytes = append(l.items, entry{it, at}), l.bytes+len(it.Body)
	if len(l.items) < l.FlushRecords*l.Requests && l.bytes < l.FlushBytes*l.Requests {
		return nil
	}
	return l.flush(ctx)
}

// flush stores what was collected, side by side, which ids make safe, and notes how far it is.
func (l *loader) flush(ctx context.Context) error {
	type part struct {
		entries []entry
		reasons []string
		existed int
		err     error
	}
	var parts []*part
	for left := l.items; len(left) > 0; {
		n, bytes := 0, 0
		for n < len(left) && n < l.FlushRecords && (n == 0 || bytes+len(left[n].item.Body) <= l.FlushBytes) {
			bytes += len(left[n].item.Body)
			n++
		}
		parts = append(parts, &part{entries: left[:n]})
		left = left[n:]
	}
	slots := make(chan struct{}, max(l.Requests, 1))
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			items := make([]store.Item, len(p.entries))
			for i, e := range p.entries {
				items[i] = e.item
			}
			p.reasons, p.existed, p.err = indexer.Put(ctx, l.store, items)
		})
	}
	all.Wait()
	for _, p := range parts {
		if p.err != nil {
			return p.err
		}
		stored := int64(len(p.entries) - p.existed)
		for i, reason := range p.reasons {
			if reason != "" {
				stored--
				l.refuse(Refusal{At: p.entries[i].at(), ID: p.entries[i].item.ID, Reason: reason})
			}
		}
		l.result.Stored += stored
		l.result.Existed += int64(p.existed)
	}
	l.items, l.bytes = nil, 0
	if err := l.save(); err != nil {
		return fmt.Errorf("noting how far it is: %w", err)
	}
	if l.Progress != nil {
		l.Progress(l.measured())
	}
	return nil
}

func (l *loader) refuse(r Refusal) {
	l.result.Refused++
	if len(l.result.Refusals) < l.Listed {
		l.result.Refusals = append(l.result.Refusals, r)
	}
}

// measured is the result with its times.
func (l *loader) measured() Result {
	r := l.result
	r.Seconds = l.now().Sub(l.began).Seconds()
	if r.Seconds > 0 {
		r.Rate = float64(r.Stored+r.Existed) / r.Seconds
	}
	return r
}
