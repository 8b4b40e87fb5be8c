package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// broker looks at Kafka from outside: offsets, open transactions, and what a read-committed consumer sees.
type broker struct {
	bootstrap string
	client    *kgo.Client
	admin     *kadm.Client
}

func newBroker(bootstrap string) (*broker, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...))
	if err != nil {
		return nil, err
	}
	return &broker{bootstrap: bootstrap, client: cl, admin: kadm.NewClient(cl)}, nil
}

func (b *broker) close() { b.client.Close() }

// unread is how many records below the ends a group has not committed. The markers of transactions are no records, though they
// have offsets: a group that has read everything never commits over the last of them.
func (b *broker) unread(ctx context.Context, group string, ends kadm.ListedOffsets) (int64, error) {
	commits, err := b.admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("fetching offsets of %s: %w", group, err)
	}
	var ranges []span
	ends.Each(func(e kadm.ListedOffset) {
		at := int64(0)
		if c, ok := commits.Lookup(e.Topic, e.Partition); ok {
			at = max(c.At, 0)
		}
		ranges = append(ranges, span{e.Topic, e.Partition, at, e.Offset})
	})
	var n int64
	err = b.readSpans(ctx, func(*kgo.Record) error { n++; return nil }, ranges)
	return n, err
}

// ends are the read-committed ends of topics.
func (b *broker) ends(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
	ends, err := b.admin.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	return ends, err
}

// openTransactions are the transactional ids with an open transaction that contain part.
func (b *broker) openTransactions(ctx context.Context, part string) (int, error) {
	txns, err := b.admin.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil {
		return 0, fmt.Errorf("listing transactions: %w", err)
	}
	n := 0
	for id := range txns {
		if strings.Contains(id, part) {
			n++
		}
	}
	return n, nil
}

// span is a range of offsets of one partition, the end not included.
type span struct {
	topic     string
	partition int32
	from, end int64
}

// read gives fn every record of the topics that a read-committed consumer sees, up to the ends at the time of the call.
func (b *broker) read(ctx context.Context, fn func(*kgo.Record) error, topics ...string) error {
	ends, err := b.ends(ctx, topics...)
	if err != nil {
		return err
	}
	starts, err := b.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	var spans []span
	ends.Each(func(e kadm.ListedOffset) {
		s, _ := starts.Lookup(e.Topic, e.Partition)
		spans = append(spans, span{e.Topic, e.Partition, s.Offset, e.Offset})
	})
	return b.readSpans(ctx, fn, spans)
}

// readSpans gives fn the records in the spans, read committed; all spans must end at or below their partition's last stable offset.
func (b *broker) readSpans(ctx context.Context, fn func(*kgo.Record) error, spans []span) error {
	from, open := map[string]map[int32]kgo.Offset{}, map[string]map[int32]int64{}
	left := 0
	for _, s := range spans {
		if s.end <= s.from {
			continue
		}
		if from[s.topic] == nil {
			from[s.topic], open[s.topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		}
		from[s.topic][s.partition], open[s.topic][s.partition] = kgo.NewOffset().At(s.from), s.end
		left++
	}
	if left == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(b.bootstrap, ",")...), kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return fmt.Errorf("reading records: %w", err)
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			end, ok := open[r.Topic][r.Partition]
			if !ok || bad != nil {
				return
			}
			if r.Offset < end && !r.Attrs.IsControl() {
				bad = fn(r)
			}
			if r.Offset >= end-1 {
				delete(open[r.Topic], r.Partition)
				left--
			}
		})
		if bad != nil {
			return bad
		}
	}
	return nil
}

// ids counts the records of topics by ce_id.
func (b *broker) ids(ctx context.Context, topics ...string) (map[string]int, error) {
	ids := map[string]int{}
	err := b.read(ctx, func(r *kgo.Record) error {
		for _, h := range r.Headers {
			if h.Key == schemas.HeaderID {
				ids[string(h.Value)]++
				return nil
			}
		}
		return fmt.Errorf("record %s/%d/%d has no %s", r.Topic, r.Partition, r.Offset, schemas.HeaderID)
	}, topics...)
	return ids, err
}
