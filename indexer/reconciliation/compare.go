package reconciliation

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

// hash stands for an id: 128 bits that an attacker can't foresee.
type hash struct{ a, b uint64 }

var seedA, seedB = maphash.MakeSeed(), maphash.MakeSeed()

func hashOf(id string) hash { return hash{maphash.String(seedA, id), maphash.String(seedB, id)} }

// in says whether the hash falls to the round's share.
func (h hash) in(r round) bool { return r.shares == 1 || h.a%r.shares == r.share }

// place is where a record is.
type place struct {
	part   int32
	offset int64
}

// maxSuspects bounds the extra documents that are looked for again among the latest records.
const maxSuspects = 100_000

type suspect struct {
	bucket bucket
	id     string
}

// compare compares the ids of a round's buckets.
func (c *comparison) compare(ctx context.Context, r round) error {
	mine := map[bucket]bool{}
	for _, b := range r.buckets {
		mine[b] = true
	}
	where := spans(c.extents, c.tallies, r.buckets)
	unseen := map[hash]place{}
	err := c.read(ctx, "comparing", where, func(rec *kgo.Record, part int) error {
		item, err := indexer.ItemOf(rec)
		if err != nil || !mine[bucketOf(item.Class, item.Time)] {
			return nil //nolint:nilerr // judged when it was counted
		}
		h := hashOf(item.ID)
		if !h.in(r) {
			return nil
		}
		if _, ok := unseen[h]; ok {
			c.found.Repeated++
			return nil
		}
		unseen[h] = place{int32(part), rec.Offset}
		return nil
	})
	if err != nil {
		return err
	}
	var suspects []suspect
	for _, b := range r.buckets {
		err := c.store.IDs(ctx, c.found.Name, b.class, b.start(), func(ids []string) error {
			for _, id := range ids {
				h := hashOf(id)
				if !h.in(r) {
					continue
				}
				if _, ok := unseen[h]; ok {
					delete(unseen, h)
				} else if len(suspects) < maxSuspects {
					suspects = append(suspects, suspect{b, id})
				} else {
					c.found.Extra++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := c.judgeExtra(ctx, suspects); err != nil {
		return err
	}
	if len(unseen) == 0 {
		return nil
	}
	wanted := make(map[place]bool, len(unseen))
	for _, p := range unseen {
		wanted[p] = true
	}
	clear(unseen)
	return c.lookUp(ctx, where, func(_ store.Item, p place) bool { return wanted[p] })
}

// judgeExtra takes out what came in since the start, and notes the rest.
func (c *comparison) judgeExtra(ctx context.Context, suspects []suspect) error {
	if len(suspects) == 0 {
		return nil
	}
	latest, err := stream.Extents(ctx, c.kafka, c.deps, c.Group, time.Time{}, c.topics.Enriched(c.found.Name))
	if err != nil {
		return err
	}
	var tail []stream.Span
	for _, e := range latest {
		if part, ok := c.parts[e.Partition]; ok {
			tail = append(tail, stream.Span{Topic: e.Topic, Partition: e.Partition, From: c.extents[part].End, To: e.End})
		}
	}
	among := make(map[string]int, len(suspects))
	for i, s := range suspects {
		among[s.id] = i
	}
	if err := c.read(ctx, "comparing", tail, func(r *kgo.Record, _ int) error {
		item, err := indexer.ItemOf(r)
		if err != nil {
			return nil //nolint:nilerr // the next reconciliation's
		}
		if i, ok := among[item.ID]; ok && suspects[i].bucket == bucketOf(item.Class, item.Time) {
			suspects[i].id = ""
		}
		return nil
	}); err != nil {
		return err
	}
	for _, s := range suspects {
		if s.id != "" {
			c.found.Extra++
			c.found.note(c.Listed, Difference{Kind: KindExtra, ID: s.id, Class: s.bucket.class, Time: s.bucket.start()})
		}
	}
	return nil
}
