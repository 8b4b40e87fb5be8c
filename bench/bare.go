package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// bareTransform is the ceiling of the stages that consume and produce in transactions: franz-go's own session, which copies
// the bytes of n records from one topic to another, read committed, with nothing of ours in between.
func (e *Env) bareTransform(ctx context.Context, group, from, to string, n, batch int) (time.Duration, error) {
	began := time.Now()
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(e.kafka.Bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from), kgo.TransactionalID(group),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ProducerBatchMaxBytes(1<<20),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond),
	)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	for done := 0; done < n; {
		fetches := s.PollRecords(ctx, batch)
		if err := fetches.Err(); err != nil {
			return 0, fmt.Errorf("fetching: %w", err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := s.Begin(); err != nil {
			return 0, err
		}
		promise := kgo.AbortingFirstErrPromise(s.Client())
		fetches.EachRecord(func(r *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Topic: to, Key: r.Key, Value: r.Value, Headers: r.Headers}, promise.Promise())
		})
		perr := promise.Err()
		ok, err := s.End(ctx, kgo.TransactionEndTry(perr == nil))
		if err != nil || perr != nil || !ok {
			return 0, fmt.Errorf("committing: committed %v, end %w, produce %w", ok, err, perr)
		}
		done += fetches.NumRecords()
	}
	return time.Since(began), nil
}

// bestBare sweeps the batch sizes of bareTransform and returns the best rate and its batch size.
func (e *Env) bestBare(ctx context.Context, prefix, from, to string, n int) (float64, int, error) {
	top, size := 0.0, 0
	for _, batch := range []int{500, 2000, 10_000} {
		for i := range rounds {
			took, err := e.bareTransform(ctx, fmt.Sprintf("%s-%d-%d", prefix, batch, i), from, to, n, batch)
			if err != nil {
				return 0, 0, fmt.Errorf("bare loop of %d records: %w", batch, err)
			}
			rate := float64(n) / took.Seconds()
			e.logf("bare loop, %d records a transaction: %.0f/s", batch, rate)
			if rate > top {
				top, size = rate, batch
			}
		}
	}
	return top, size, nil
}
