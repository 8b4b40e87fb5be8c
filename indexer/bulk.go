package indexer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

// What the store wants later is sent again here, alone, for some seconds. After that the loop takes over: it shows the reason
// as unreadiness and lets a revoke or a stop through.
const (
	tries     = 6
	firstWait = 50 * time.Millisecond
	maxWait   = 2 * time.Second
)

// bulk is one bulk request and what has become of it.
type bulk struct {
	poison []stream.Poison
	left   []entry // with err only: what is neither durable nor poison
	err    error
}

// index stores the entries and returns when each is durable or poison, or with an error when some are neither. It blocks for as
// long as other bulk requests take all of cfg.BulkRequests.
func (x *indexer) index(ctx context.Context, entries []entry) (b bulk) {
	defer func() {
		if b.err != nil {
			b.left = entries
		}
	}()
	wait := firstWait
	for try := 1; ; try++ {
		var later string
		entries, later = x.once(ctx, entries, &b)
		switch {
		case b.err != nil && (ctx.Err() != nil || store.IsRefused(b.err) || isRefusedDocument(b.err) || try == tries):
			return b
		case b.err == nil && len(entries) == 0:
			return b
		case try == tries:
			b.err = fmt.Errorf("the store puts off %d documents: %s", len(entries), later)
			return b
		case b.err != nil:
			x.m.retries.WithLabelValues("request").Inc()
		default:
			x.m.retries.WithLabelValues("document").Add(float64(len(entries)))
		}
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			b.err = ctx.Err()
			return b
		}
		b.err = nil
		wait = min(2*wait, maxWait)
	}
}

// refusedDocument is the refusal of single documents by configuration.
type refusedDocument struct{ reason string }

func (e *refusedDocument) Error() string { return "the store refuses documents: " + e.reason }

func isRefusedDocument(err error) bool {
	var r *refusedDocument
	return errors.As(err, &r)
}

// once sends the entries once and gives back those that are to be sent again, and the reason of one of them.
func (x *indexer) once(ctx context.Context, entries []entry, b *bulk) (again []entry, reason string) {
	items := make([]store.Item, len(entries))
	bytes := 0
	for i, e := range entries {
		items[i] = e.item
		bytes += len(e.item.Body)
	}
	select {
	case x.slots <- struct{}{}:
	case <-ctx.Done():
		b.err = ctx.Err()
		return entries, ""
	}
	start := time.Now()
	out, err := x.store.Index(ctx, items)
	<-x.slots
	x.m.bulk.WithLabelValues(result(err)).Observe(time.Since(start).Seconds())
	x.m.bytes.Add(float64(bytes))
	if err != nil {
		b.err = err
		return entries, ""
	}
	now := x.now()
	created, existed := 0, 0
	for i, o := range out {
		switch o.Verdict {
		case store.Done:
			if o.Existed {
				existed++
				continue
			}
			created++
			x.m.latency.Observe(max(0, now.Sub(entries[i].item.Time).Seconds()))
		case store.Retry:
			again, reason = append(again, entries[i]), o.Reason
		case store.Poison:
			b.poison = append(b.poison, stream.Poison{Record: entries[i].record, Reason: reasonDocument, Err: errors.New(o.Reason)})
		case store.Refused:
			again = append(again, entries[i])
			b.err = &refusedDocument{o.Reason}
		}
	}
	x.m.documents.WithLabelValues(outcomeCreated).Add(float64(created))
	x.m.documents.WithLabelValues(outcomeExisted).Add(float64(existed))
	return again, reason
}

func result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case store.IsRefused(err):
		return "refused"
	}
	return "transient"
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
