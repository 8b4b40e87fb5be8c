package reconciliation

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

// The records that are looked up, and repaired, at once.
const (
	batchRecords = 500
	batchBytes   = 4 << 20
)

// lookUpAll looks up every record of the buckets.
func (c *comparison) lookUpAll(ctx context.Context, of []bucket) error {
	if len(of) == 0 {
		return nil
	}
	mine := map[bucket]bool{}
	for _, b := range of {
		mine[b] = true
	}
	missing := map[hash]bool{} // so that a record that is there twice is missing once
	return c.lookUp(ctx, spans(c.extents, c.tallies, of), func(it store.Item, _ place) bool {
		if !mine[bucketOf(it.Class, it.Time)] {
			return false
		}
		h := hashOf(it.ID)
		if missing[h] {
			return false
		}
		if int64(len(missing)) < c.Held {
			missing[h] = true
		}
		return true
	})
}

// lookUp reads the store by id for the records of the spans that wanted picks, and judges those that it does not have.
func (c *comparison) lookUp(ctx context.Context, where []stream.Span, wanted func(store.Item, place) bool) error {
	b := batch{c: c}
	err := c.read(ctx, "looking up", where, func(r *kgo.Record, part int) error {
		item, err := indexer.ItemOf(r)
		p := place{int32(part), r.Offset}
		if err != nil || item.Time.Before(c.Since) || c.expired(item.Class, item.Time) || !wanted(item, p) {
			return nil //nolint:nilerr // judged when it was counted
		}
		return b.add(ctx, item, p)
	})
	if err != nil {
		return err
	}
	return b.flush(ctx)
}

// batch are records on their way to be looked up.
type batch struct {
	c      *comparison
	items  []store.Item
	places []place
	bytes  int
}

func (b *batch) add(ctx context.Context, it store.Item, p place) error {
	b.items, b.places, b.bytes = append(b.items, it), append(b.places, p), b.bytes+len(it.Body)
	if len(b.items) < batchRecords && b.bytes < batchBytes {
		return nil
	}
	return b.flush(ctx)
}

func (b *batch) flush(ctx context.Context) error {
	if len(b.items) == 0 {
		return nil
	}
	have, err := b.c.store.Have(ctx, b.items)
	if err != nil {
		return err
	}
	var missing []store.Item
	var at []place
	for i, it := range b.items {
		if have[i] {
			continue
		}
		excused, err := b.c.excuse(ctx, it, b.places[i])
		if err != nil {
			return err
		}
		if !excused {
			missing, at = append(missing, it), append(at, b.places[i])
		}
	}
	b.items, b.places, b.bytes = b.items[:0], b.places[:0], 0
	return b.c.miss(ctx, missing, at)
}

// excuse says whether there is a reason why a record has no document, and counts it.
func (c *comparison) excuse(ctx context.Context, it store.Item, p place) (bool, error) {
	e := c.extents[p.part]
	if p.offset >= e.Committed {
		c.found.Pending++
		return true, nil
	}
	if c.Kept != nil && c.now.After(c.Kept(it.Class, it.Time)) {
		c.found.Expired++
		return true, nil
	}
	if err := c.readLetters(ctx); err != nil {
		return false, err
	}
	reason, dead := c.letters.of(p, it.ID)
	if dead {
		c.found.DeadLettered++
		c.found.note(c.Listed, Difference{Kind: KindDeadLettered, ID: it.ID, Class: it.Class, Time: it.Time, Record: c.name(p), Reason: reason})
	}
	return dead, nil
}

// miss notes what is missing, and repairs it when that is asked for.
func (c *comparison) miss(ctx context.Context, items []store.Item, at []place) error {
	if len(items) == 0 {
		return nil
	}
	reasons := make([]string, len(items))
	var failed error
	if c.Repair {
		failed = c.repair(ctx, items, reasons)
	}
	for i, it := range items {
		d := Difference{Kind: KindMissing, ID: it.ID, Class: it.Class, Time: it.Time, Record: c.name(at[i]), Reason: reasons[i]}
		c.found.Missing++
		if c.Repair && failed == nil && d.Reason == "" {
			d.Repaired = true
			c.found.Repaired++
		}
		c.found.note(c.Listed, d)
	}
	return failed
}

func (c *comparison) name(p place) string {
	e := c.extents[p.part]
	return fmt.Sprintf("%s/%d/%d", e.Topic, e.Partition, p.offset)
}

// repair stores items as the indexer does and fills in why one can't be. An error leaves open which were stored.
func (c *comparison) repair(ctx context.Context, items []store.Item, reasons []string) error {
	if !c.setUp {
		if err := c.store.Setup(ctx); err != nil {
			return fmt.Errorf("repairing: %w", err)
		}
		c.setUp = true
	}
	why, _, err := indexer.Put(ctx, c.store, items)
	if err != nil {
		return fmt.Errorf("repairing: %w", err)
	}
	for i, reason := range why {
		if reason != "" {
			reasons[i] = "the store refuses it: " + reason
		}
	}
	return nil
}
