package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReadOptions say which records of a topic ReadTopic shows.
type ReadOptions struct {
	Topic string
	// Partitions are those to read; empty means all.
	Partitions []int32
	// From is where to begin in each partition: an offset, or FromStart or FromEnd.
	From int64
	// Follow goes on for ever; otherwise reading ends at the high watermark of the time of the call.
	Follow bool
}

// FromStart and FromEnd are values of ReadOptions.From.
const (
	FromStart int64 = -2
	FromEnd   int64 = -1
)

// ErrStop ends ReadTopic without an error when its callback returns it.
var ErrStop = errors.New("stop reading")

// ReadTopic shows a topic's records to fn, read committed, without a consumer group: for tools and tests. Order holds within a
// partition; without Follow the partitions come one after the other. It blocks until the end, until ctx is done (nil with Follow,
// an error without) or until fn returns an error, which it returns unless it is ErrStop.
func ReadTopic(ctx context.Context, cfg Config, d Deps, o ReadOptions, fn func(*kgo.Record) error) error {
	err := readTopic(ctx, cfg, d.withDefaults(), o, fn)
	if errors.Is(err, ErrStop) || o.Follow && ctx.Err() != nil {
		return nil
	}
	return err
}

func readTopic(ctx context.Context, cfg Config, d Deps, o ReadOptions, fn func(*kgo.Record) error) error {
	cl, err := newClient(cfg, d, "read")
	if err != nil {
		return err
	}
	defer cl.Close()
	found, missing, err := describe(ctx, cl, []string{o.Topic})
	if err != nil {
		return explain("", err)
	}
	if len(missing) > 0 {
		return missingTopics(missing)
	}
	var numbers []int32
	for _, p := range found[o.Topic].partitions {
		if len(o.Partitions) == 0 || slices.Contains(o.Partitions, p.Partition) {
			numbers = append(numbers, p.Partition)
		}
	}
	if len(numbers) == 0 || len(numbers) < len(o.Partitions) {
		return fmt.Errorf("topic %s has not all of the partitions %v, it has %d", o.Topic, o.Partitions, len(found[o.Topic].partitions))
	}
	if o.Follow {
		return follow(ctx, cl, o, numbers, fn)
	}
	for _, n := range numbers {
		if err := readPartition(ctx, cl, topicPartition{o.Topic, n}, o.From, fn); err != nil {
			return err
		}
	}
	return nil
}

func readPartition(ctx context.Context, cl *kgo.Client, tp topicPartition, from int64, fn func(*kgo.Record) error) error {
	r := &tableReader{cl: cl, tp: tp}
	b, err := r.bounds(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", tp, err)
	}
	next := from
	switch {
	case from == FromEnd:
		return nil
	case from < b.start:
		next = b.start
	}
	for next < b.end {
		if next, err = r.fetch(ctx, next, b.end, fn); err != nil {
			var own *callbackError
			if errors.As(err, &own) {
				return own.err
			}
			return fmt.Errorf("reading %s at offset %d: %w", tp, next, explain("", err))
		}
	}
	return nil
}

func follow(ctx context.Context, cl *kgo.Client, o ReadOptions, numbers []int32, fn func(*kgo.Record) error) error {
	at := kgo.NewOffset().AtStart()
	switch {
	case o.From == FromEnd:
		at = kgo.NewOffset().AtEnd()
	case o.From >= 0:
		at = kgo.NewOffset().At(o.From)
	}
	offsets := map[int32]kgo.Offset{}
	for _, n := range numbers {
		offsets[n] = at
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: offsets})
	for {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := firstError(fetches); err != nil && classify(err) == fatal {
			return explain("", err)
		}
		for _, r := range fetches.Records() {
			if err := fn(r); err != nil {
				return err
			}
		}
	}
}

// Produce writes records as a Producer does, with a client of its own: for tools and tests.
func Produce(ctx context.Context, cfg Config, d Deps, records ...*kgo.Record) error {
	p, err := OpenProducer(cfg, d, "produce")
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Produce(ctx, records...)
}

// Lag is how many offsets a group has not committed below the last stable offsets of the partitions it has committed or is
// reading, by topic and partition. Offsets of control records count, so a group that has read a transactional topic to its end
// keeps a lag of one or a few there.
func Lag(ctx context.Context, cfg Config, d Deps, group string, topics ...string) (map[string]map[int32]int64, error) {
	group = cfg.Scoped(group)
	cl, err := newClient(cfg, d.withDefaults(), "lag")
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	committed, err := groupOffsets(ctx, cl, group)
	if err != nil {
		return nil, fmt.Errorf("reading the offsets of group %s: %w", group, explain("", err))
	}
	starts, err := adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("reading where topics begin: %w", explain("", err))
	}
	ends, err := adm.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("reading where topics end: %w", explain("", err))
	}
	lag := map[string]map[int32]int64{}
	var failed error
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if failed = errors.Join(failed, end.Err, start.Err); failed != nil {
			return
		}
		at := start.Offset
		if o, ok := committed.Lookup(end.Topic, end.Partition); ok && o.At > at {
			at = o.At
		}
		if lag[end.Topic] == nil {
			lag[end.Topic] = map[int32]int64{}
		}
		lag[end.Topic][end.Partition] = max(end.Offset-at, 0)
	})
	return lag, failed
}
