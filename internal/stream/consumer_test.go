package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func consumerOptions(dead string, topics ...string) ConsumerOptions {
	return ConsumerOptions{
		Group: "g-" + uuid.NewString(), Topics: topics, MaxBatchRecords: 100, ShutdownTimeout: 5 * time.Second,
		DeadLetter: func(*kgo.Record) string { return dead },
	}
}

func TestConsumerKeepsOrderAndCommits(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in := b.topic(t, 3)
		b.fill(t, in, 3, 0, 1000)
		o := consumerOptions("", in)
		var seen ledger
		l := start(t, func(ctx context.Context) error {
			return RunConsumer(ctx, b.cfg, deps(nil), o, func(_ context.Context, batch Batch) error {
				seen.add(batch)
				return nil
			})
		})
		eventually(t, "all records", func() bool { return seen.total() >= 3000 })
		l.stop()
		for p := range int32(3) {
			assert.Equal(t, count(0, 1000), seen.of(in, p))
			assert.EqualValues(t, 1000, b.committed(t, o.Group, in, p))
		}
		assert.LessOrEqual(t, seen.max, 100)
	})
}

func TestConsumerFindsTopicsByPattern(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in := b.topic(t, 1)
		b.fill(t, in, 1, 0, 10)
		other := b.topic(t, 1)
		b.fill(t, other, 1, 0, 10)
		o := consumerOptions("")
		o.TopicPattern = in[:20] + "[a-z0-9]+"
		var seen ledger
		l := start(t, func(ctx context.Context) error {
			return RunConsumer(ctx, b.cfg, deps(nil), o, func(_ context.Context, batch Batch) error { seen.add(batch); return nil })
		})
		eventually(t, "all records", func() bool { return seen.total() >= 10 })
		l.stop()
		assert.Equal(t, 10, seen.total())
	})
}

// A failing partition is kept and paused; its neighbours go on, and nothing of it is committed.
func TestConsumerKeepsAFailingBatch(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in := b.topic(t, 2)
		b.fill(t, in, 2, 0, 500)
		o := consumerOptions("", in)
		var seen ledger
		var broken atomic.Bool
		broken.Store(true)
		var firsts sync.Map
		health := &board{}
		l := start(t, func(ctx context.Context) error {
			return RunConsumer(ctx, b.cfg, deps(health), o, func(_ context.Context, batch Batch) error {
				if batch.Partition == 1 && broken.Load() {
					firsts.Store(fmt.Sprint(number(batch.Records[0]), "+", len(batch.Records)), true)
					return errors.New("the store is away")
				}
				seen.add(batch)
				return nil
			})
		})
		eventually(t, "the other partition", func() bool { return len(seen.of(in, 0)) == 500 })
		b.fill(t, in, 1, 500, 500)
		eventually(t, "the other partition's new records", func() bool { return len(seen.of(in, 0)) == 1000 })
		eventually(t, "its commit", func() bool { return b.committed(t, o.Group, in, 0) == 1000 })
		assert.EqualValues(t, -1, b.committed(t, o.Group, in, 1))
		assert.Contains(t, health.reason("stream/"+o.Group), "the store is away")
		n := 0
		firsts.Range(func(k, _ any) bool { n++; return true })
		assert.Equal(t, 1, n, "the same batch comes again")
		broken.Store(false)
		eventually(t, "the mended partition", func() bool { return len(seen.of(in, 1)) == 500 })
		eventually(t, "readiness", func() bool { return health.reason("stream/"+o.Group) == "" })
		l.stop()
		assert.Equal(t, count(0, 500), seen.of(in, 1))
		assert.EqualValues(t, 500, b.committed(t, o.Group, in, 1))
	})
}

// A revoke in the middle of a batch ends its handler and drops it: the new owner gets it from the committed offset.
func TestConsumerDropsABatchAtARevoke(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in := b.topic(t, 2)
		b.fill(t, in, 2, 0, 10)
		o := consumerOptions("", in)
		var canceled atomic.Int32
		first := start(t, func(ctx context.Context) error {
			return RunConsumer(ctx, b.cfg, deps(nil), o, func(ctx context.Context, _ Batch) error {
				<-ctx.Done()
				canceled.Add(1)
				return ctx.Err()
			})
		})
		eventually(t, "the first member", func() bool { return members(t, b, o.Group) == 1 })
		var seen ledger
		second := start(t, func(ctx context.Context) error {
			return RunConsumer(ctx, b.cfg, deps(nil), o, func(_ context.Context, batch Batch) error { seen.add(batch); return nil })
		})
		eventually(t, "a revoked batch at the second member", func() bool { return seen.total() == 10 })
		assert.EqualValues(t, 1, canceled.Load(), "only the handler of the partition that moved is told to stop")
		assert.True(t, first.runs())
		begin := time.Now()
		first.stop()
		assert.Less(t, time.Since(begin), 12*time.Second)
		eventually(t, "the other partition too", func() bool { return seen.total() == 20 })
		second.stop()
		for p := range int32(2) {
			assert.Equal(t, count(0, 10), seen.of(in, p))
		}
	})
}

func TestConsumerBuriesPoison(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, dead := b.topic(t, 1), b.topic(t, 1)
		b.fill(t, in, 1, 0, 100)
		large := strings.Repeat("x", deadWholeBytes+1)
		require.NoError(t, Produce(t.Context(), b.cfg, Deps{}, &kgo.Record{Topic: in, Key: []byte("big"), Value: []byte(large)}))
		o := consumerOptions(dead, in)
		var seen ledger
		l := start(t, func(ctx context.Context) error {
			return RunConsumer(ctx, b.cfg, deps(nil), o, func(_ context.Context, batch Batch) error {
				var bad PoisonError
				for _, r := range batch.Records {
					if n := number(r); n == -1 || n%10 == 3 {
						bad.Poison = append(bad.Poison, Poison{Record: r, Reason: "odd", Err: errors.New(strings.Repeat("é", 1000))})
					}
				}
				seen.add(batch)
				if len(bad.Poison) > 0 {
					return &bad
				}
				return nil
			})
		})
		eventually(t, "the commit", func() bool { return b.committed(t, o.Group, in, 0) == 101 })
		l.stop()
		letters := b.read(t, dead)
		require.Len(t, letters, 11)
		first, err := ParseDeadLetter(letters[0])
		require.NoError(t, err)
		assert.Equal(t, in, first.Topic)
		assert.EqualValues(t, 0, first.Partition)
		assert.EqualValues(t, 3, first.Offset)
		assert.Equal(t, o.Group, first.Group)
		assert.Equal(t, "odd", first.Reason)
		assert.Equal(t, strings.Repeat("é", 512), first.Error)
		assert.WithinDuration(t, time.Now(), first.Time, time.Hour)
		assert.False(t, first.Cut)
		assert.Equal(t, "3", string(letters[0].Value))
		assert.Equal(t, "k0", string(letters[0].Key))
		assert.Equal(t, "0-3", header(letters[0], "ce_id"), "the source's headers are kept")
		last, err := ParseDeadLetter(letters[10])
		require.NoError(t, err)
		assert.True(t, last.Cut)
		assert.Equal(t, deadWholeBytes+1, last.Size)
		assert.Len(t, last.SHA256, 64)
		assert.Len(t, last.Record.Value, deadCutBytes)

		found, err := FindDeadLetter(t.Context(), b.cfg, Deps{}, dead, in, 0, 13)
		require.NoError(t, err)
		replayer, err := OpenReplayer(t.Context(), b.cfg, Deps{}, dead)
		require.NoError(t, err)
		defer replayer.Close()
		require.NoError(t, replayer.Replay(t.Context(), found))
		all := b.read(t, in)
		again := all[len(all)-1]
		assert.Equal(t, "13", string(again.Value))
		assert.Equal(t, []kgo.RecordHeader{{Key: "ce_id", Value: []byte("0-13")}}, again.Headers)
		require.ErrorIs(t, replayer.Replay(t.Context(), found, last), ErrNotReplayable, "a cut one")
		assert.Len(t, b.read(t, in), len(all), "nothing was written")
		_, err = FindDeadLetter(t.Context(), b.cfg, Deps{}, dead, in, 0, 14)
		assert.ErrorIs(t, err, ErrNoDeadLetter)
	})
}

// Too much poison stops the partition, before any of that batch is dead-lettered, until it is accepted.
func TestConsumerBrake(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, dead := b.topic(t, 2), b.topic(t, 1)
		b.fill(t, in, 2, 0, 300)
		o := consumerOptions(dead, in)
		health := &board{}
		handler := func(_ context.Context, batch Batch) error {
			if batch.Partition == 0 {
				return nil
			}
			var bad PoisonError
			for _, r := range batch.Records {
				if number(r) >= 110 {
					bad.Poison = append(bad.Poison, Poison{Record: r, Reason: "wrong_mapping", Err: errors.New("no")})
				}
			}
			if len(bad.Poison) > 0 {
				return &bad
			}
			return nil
		}
		run := func(ctx context.Context) error { return RunConsumer(ctx, b.cfg, deps(health), o, handler) }
		l := start(t, run)
		eventually(t, "the brake", func() bool { return strings.Contains(health.reason("stream/"+o.Group), "kubescribe deadletter accept") })
		eventually(t, "the other partition", func() bool { return b.committed(t, o.Group, in, 0) == 300 })
		never(t, "a commit over the brake", func() bool { return b.committed(t, o.Group, in, 1) > 100 })
		assert.Empty(t, b.read(t, dead))
		l.stop()
		// It stops again after a restart.
		health = &board{}
		l = start(t, run)
		eventually(t, "the brake", func() bool { return strings.Contains(health.reason("stream/"+o.Group), in+"/1 --group "+o.Group) })
		at, err := Accept(t.Context(), b.cfg, Deps{}, o.Group, in, 1)
		require.NoError(t, err)
		assert.EqualValues(t, 300, at)
		eventually(t, "to go on", func() bool { return b.committed(t, o.Group, in, 1) == 300 })
		assert.Len(t, b.read(t, dead), 190)
		eventually(t, "readiness", func() bool { return health.reason("stream/"+o.Group) == "" })
		// What comes after the accepted offset is under the brake again.
		b.fill(t, in, 2, 300, 100)
		eventually(t, "the brake", func() bool { return health.reason("stream/"+o.Group) != "" })
		l.stop()
		assert.Less(t, len(b.read(t, dead)), 190+brakeLeast)
	})
}

// A handler that names a record of another batch must not have its own batch committed.
func TestConsumerRefusesForeignPoison(t *testing.T) {
	t.Parallel()
	b := startFake(t)
	in := b.topic(t, 1)
	b.fill(t, in, 1, 0, 10)
	o := consumerOptions("nowhere", in)
	var calls atomic.Int32
	l := start(t, func(ctx context.Context) error {
		return RunConsumer(ctx, b.cfg, deps(nil), o, func(context.Context, Batch) error {
			calls.Add(1)
			return &PoisonError{Poison: []Poison{{Record: &kgo.Record{}}}}
		})
	})
	eventually(t, "a second try", func() bool { return calls.Load() > 1 })
	assert.EqualValues(t, -1, b.committed(t, o.Group, in, 0))
	l.stop()
}

// A shutdown lets the batch in hand finish and commits it, and does not wait for ever.
func TestConsumerShutdown(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in := b.topic(t, 2)
		b.fill(t, in, 2, 0, 10)
		o := consumerOptions("", in)
		o.ShutdownTimeout = time.Second
		entered := make(chan int32, 2)
		stopping := make(chan struct{})
		l := start(t, func(ctx context.Context) error {
			return RunConsumer(ctx, b.cfg, deps(nil), o, func(ctx context.Context, batch Batch) error {
				entered <- batch.Partition
				<-stopping
				if batch.Partition == 0 {
					return ctx.Err() // nil: the shutdown leaves the handler alone
				}
				select {} // a handler that never ends
			})
		})
		<-entered
		<-entered
		begin := time.Now()
		l.cancel()
		close(stopping)
		l.stop()
		assert.Less(t, time.Since(begin), 15*time.Second)
		assert.EqualValues(t, 10, b.committed(t, o.Group, in, 0))
		assert.EqualValues(t, -1, b.committed(t, o.Group, in, 1))
	})
}

// With a slow handler the buffered bytes stay near the bound, however much there is to read.
func TestConsumerMemoryBound(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in := b.topic(t, 4)
		var records []*kgo.Record
		for i := range 40_000 {
			value := make([]byte, 1000)
			_, _ = rand.Read(value) // does not compress
			records = append(records, ToPartition(&kgo.Record{Topic: in, Value: value}, int32(i%4)))
		}
		require.NoError(t, Produce(t.Context(), b.cfg, Deps{}, records...))
		o := consumerOptions("", in)
		o.MaxBufferedBytes, o.MaxBatchBytes = 2<<20, 256<<10
		release := make(chan struct{})
		var handled atomic.Int64
		c := make(chan *consumer, 1)
		l := start(t, func(ctx context.Context) error {
			return runConsumer(ctx, b.cfg, deps(nil), o, func(ctx context.Context, batch Batch) error {
				select {
				case <-release:
				case <-ctx.Done():
				}
				handled.Add(int64(len(batch.Records)))
				return ctx.Err()
			}, func(made *consumer) { c <- made })
		})
		made := <-c
		buffered := func() (int, int) {
			made.mu.Lock()
			defer made.mu.Unlock()
			return made.buffered, len(made.parts)
		}
		eventually(t, "full buffers", func() bool { n, parts := buffered(); return parts == 4 && n > 0 })
		// 48 MB wait to be read. The bound, and for each partition, which held nothing before, one fetch: at least one of the
		// producer's batches, and these have 4 MiB.
		never(t, "more than the bound", func() bool { n, _ := buffered(); return n > 2<<20+4*(5<<20) })
		close(release)
		eventually(t, "all records", func() bool { return handled.Load() == 40_000 })
		eventually(t, "empty buffers", func() bool { n, _ := buffered(); return n == 0 })
		l.stop()
	})
}

// members counts the members of a group that have an assignment.
func members(t *testing.T, b broker, group string) int {
	t.Helper()
	described, err := newAdmin(t, b).DescribeGroups(t.Context(), group)
	require.NoError(t, err)
	n := 0
	for _, m := range described[group].Members {
		if a, ok := m.Assigned.AsConsumer(); ok && len(a.Topics) > 0 {
			n++
		}
	}
	return n
}
