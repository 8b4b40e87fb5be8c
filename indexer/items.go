package indexer

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// The reasons of poison, as the dead letter and the metrics have them.
const (
	reasonHeaders  = "bad_headers"
	reasonDocument = "rejected_document"
)

// entry is one record on its way to the store.
type entry struct {
	item   store.Item
	record *kgo.Record
}

// plan sorts the records of a batch: what to store, what can never be, and how many are past their retention.
func plan(records []*kgo.Record, deletedAt func(class string, t time.Time) time.Time, now time.Time) (entries []entry, poison []stream.Poison, expired int) {
	entries = make([]entry, 0, len(records))
	for _, r := range records {
		item, err := ItemOf(r)
		if err != nil {
			poison = append(poison, stream.Poison{Record: r, Reason: reasonHeaders, Err: err})
			continue
		}
		if end := deletedAt(item.Class, item.Time); !end.IsZero() && now.After(end) {
			expired++
			continue
		}
		entries = append(entries, entry{item, r})
	}
	return entries, poison, expired
}

// ItemOf is the document of a record of enriched.<c>, made of its headers; the value is taken as it is. An error is final.
func ItemOf(r *kgo.Record) (store.Item, error) {
	event, err := schemas.ParseHeaders(func(yield func(string, []byte) bool) {
		for _, h := range r.Headers {
			if !yield(h.Key, h.Value) {
				return
			}
		}
	})
	if err != nil {
		return store.Item{}, err
	}
	if event.Class == "" {
		return store.Item{}, errors.New("header " + schemas.HeaderClass + " is missing")
	}
	return store.Item{ID: event.ID, Class: event.Class, Time: event.Time, Body: r.Value}, nil
}

// actionBytes is about what an item adds to a bulk request beside its body.
const actionBytes = 128

// split cuts entries into bulk requests of at most maxRecords and maxBytes each, in order. A larger entry is alone in its own.
func split(entries []entry, maxRecords, maxBytes int) [][]entry {
	var chunks [][]entry
	start, bytes := 0, 0
	for i, e := range entries {
		size := len(e.item.Body) + len(e.item.ID) + actionBytes
		if i > start && (i-start == maxRecords || bytes+size > maxBytes) {
			chunks = append(chunks, entries[start:i])
			start, bytes = i, 0
		}
		bytes += size
	}
	if start < len(entries) {
		chunks = append(chunks, entries[start:])
	}
	return chunks
}
