package indexer

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/stream"
)

// assignment handles one partition for as long as it is assigned. Its batches come one after the other.
type assignment struct {
	*indexer
	pending pending
}

// pending is what is left of a batch that some documents could not be stored of.
type pending struct {
	first   *kgo.Record
	records int
	entries []entry // neither durable nor poison yet
	poison  []stream.Poison
	expired int
}

// handle is the stream.Handler. Its bulk requests run side by side, which ids make safe; it returns when all have ended, and nil
// only if every document is durable. When some are not, it remembers which: the batch comes again, and only they are sent again.
func (a *assignment) handle(ctx context.Context, b stream.Batch) error {
	p := a.resume(b)
	chunks := split(p.entries, a.cfg.FlushRecords, a.cfg.FlushBytes)
	bulks := make([]bulk, len(chunks))
	var all sync.WaitGroup
	for i, chunk := range chunks {
		all.Go(func() { bulks[i] = a.index(ctx, chunk) })
	}
	all.Wait()
	p.entries = nil
	var failed error
	for _, b := range bulks {
		p.poison = append(p.poison, b.poison...)
		p.entries = append(p.entries, b.left...)
		if b.err != nil && (failed == nil || refused(b.err)) {
			failed = b.err
		}
	}
	if failed != nil {
		if refused(failed) {
			return &stream.RefusedError{Err: failed}
		}
		return failed
	}
	expired, poison := p.expired, p.poison
	a.pending = pending{}
	a.m.documents.WithLabelValues(outcomeExpired).Add(float64(expired))
	if len(poison) > 0 {
		a.m.documents.WithLabelValues(outcomePoison).Add(float64(len(poison)))
		return &stream.PoisonError{Poison: poison}
	}
	return nil
}

// resume gives what is left of b: all of it at first.
func (a *assignment) resume(b stream.Batch) *pending {
	p := &a.pending
	if p.first != b.Records[0] || p.records != len(b.Records) {
		*p = pending{first: b.Records[0], records: len(b.Records)}
		p.entries, p.poison, p.expired = plan(b.Records, a.store.DeletedAt, a.now())
	}
	return p
}
