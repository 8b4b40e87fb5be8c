package stream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// transactor writes transactions step by step.
func (b broker) transactor(t *testing.T) *kgo.Client {
	return b.client(t, kgo.TransactionalID("tx-"+uuid.NewString()), kgo.TransactionTimeout(time.Minute))
}

func transaction(t *testing.T, cl *kgo.Client, topic string, end *kgo.TransactionEndTry, values ...int) {
	t.Helper()
	require.NoError(t, cl.BeginTransaction())
	for _, v := range values {
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "%d", v), Value: fmt.Appendf(nil, "%d", v)}).FirstErr())
	}
	if end != nil {
		require.NoError(t, cl.EndTransaction(t.Context(), *end))
	}
}

func (b broker) table(t *testing.T, topic string) []int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	var got []int
	require.NoError(t, ReadTable(ctx, b.cfg, deps(nil), topic, 0, func(r *kgo.Record) error {
		got = append(got, number(r))
		return nil
	}))
	return got
}

func TestReadTableEnds(t *testing.T) {
	t.Parallel()
	commit, abort := kgo.TryCommit, kgo.TryAbort
	onBrokers(t, func(t *testing.T, b broker) {
		t.Run("empty", func(t *testing.T) {
			assert.Empty(t, b.table(t, b.topic(t, 1)))
		})
		t.Run("control records last", func(t *testing.T) {
			topic := b.topic(t, 1, "cleanup.policy=compact")
			transaction(t, b.transactor(t), topic, &commit, 1, 2)
			assert.Equal(t, []int{1, 2}, b.table(t, topic))
		})
		t.Run("aborted last", func(t *testing.T) {
			topic := b.topic(t, 1, "cleanup.policy=compact")
			cl := b.transactor(t)
			transaction(t, cl, topic, &commit, 1)
			transaction(t, cl, topic, &abort, 2, 3)
			assert.Equal(t, []int{1}, b.table(t, topic))
		})
		t.Run("only aborted", func(t *testing.T) {
			topic := b.topic(t, 1, "cleanup.policy=compact")
			transaction(t, b.transactor(t), topic, &abort, 2, 3)
			assert.Empty(t, b.table(t, topic))
		})
		t.Run("all deleted", func(t *testing.T) {
			topic := b.topic(t, 1)
			b.fill(t, topic, 1, 0, 10)
			_, err := newAdmin(t, b).DeleteRecords(t.Context(), kadm.Offsets{topic: {0: {Topic: topic, At: -1}}})
			require.NoError(t, err)
			assert.Empty(t, b.table(t, topic))
		})
		t.Run("an open transaction below the watermark", func(t *testing.T) {
			topic := b.topic(t, 1, "cleanup.policy=compact")
			open := b.transactor(t)
			transaction(t, open, topic, nil, 1)
			b.fill(t, topic, 1, 2, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := ReadTable(ctx, b.cfg, deps(nil), topic, 0, func(*kgo.Record) error { return nil })
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, topic)
			read := make(chan []int)
			go func() { read <- b.table(t, topic) }()
			select {
			case got := <-read:
				t.Errorf("did not wait for the transaction: %v", got)
			case <-time.After(2 * time.Second):
			}
			// What comes after the call does not belong to it.
			b.fill(t, topic, 1, 3, 1)
			require.NoError(t, open.EndTransaction(t.Context(), kgo.TryCommit))
			assert.Equal(t, []int{1, 2}, <-read)
		})
		t.Run("the callback's error", func(t *testing.T) {
			topic := b.topic(t, 1)
			b.fill(t, topic, 1, 0, 3)
			mine := errors.New("mine")
			n := 0
			err := ReadTable(t.Context(), b.cfg, deps(nil), topic, 0, func(*kgo.Record) error { n++; return mine })
			assert.Equal(t, mine, err)
			assert.Equal(t, 1, n)
		})
		t.Run("no such topic", func(t *testing.T) {
			err := ReadTable(t.Context(), b.cfg, deps(nil), "nowhere", 0, func(*kgo.Record) error { return nil })
			assert.ErrorContains(t, err, "topic nowhere does not exist: create it with `kubescribe topics apply`")
			err = ReadTable(t.Context(), b.cfg, deps(nil), b.topic(t, 1), 7, func(*kgo.Record) error { return nil })
			assert.ErrorContains(t, err, "has no partition 7")
		})
	})
}

// A real broker compacts away everything up to the end of a partition but the newest segment; reading ends all the same.
func TestReadTableAfterCompaction(t *testing.T) {
	onRealBroker(t, func(t *testing.T, b broker) {
		topic := b.topic(t, 1, "cleanup.policy=compact,delete", "segment.ms=1000", "min.cleanable.dirty.ratio=0.01",
			"delete.retention.ms=0", "max.compaction.lag.ms=1000", "retention.ms=3000", "file.delete.delay.ms=100")
		commit, abort := kgo.TryCommit, kgo.TryAbort
		cl := b.transactor(t)
		transaction(t, cl, topic, &commit, 1, 1, 1, 2)
		transaction(t, cl, topic, &abort, 3)
		// Whatever retention and compaction have left at the moment, in however many states we catch them.
		for range 5 {
			got := b.table(t, topic)
			assert.Subset(t, []int{1, 2}, got)
			time.Sleep(500 * time.Millisecond) //nolint:forbidigo // the broker's cleaner gives no sign
		}
	})
}

func TestReadTopic(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		topic := b.topic(t, 2)
		b.fill(t, topic, 2, 0, 10)
		collect := func(o ReadOptions, stop int) []int {
			var got []int
			o.Topic = topic
			require.NoError(t, ReadTopic(t.Context(), b.cfg, deps(nil), o, func(r *kgo.Record) error {
				if got = append(got, number(r)); len(got) == stop {
					return ErrStop
				}
				return nil
			}))
			return got
		}
		assert.Len(t, collect(ReadOptions{From: FromStart}, 0), 20)
		assert.Equal(t, count(7, 3), collect(ReadOptions{From: 7, Partitions: []int32{1}}, 0))
		assert.Empty(t, collect(ReadOptions{From: FromEnd}, 0))
		assert.Equal(t, count(0, 4), collect(ReadOptions{From: FromStart, Partitions: []int32{0}}, 4))
		assert.Equal(t, count(8, 2), collect(ReadOptions{From: 8, Partitions: []int32{0}, Follow: true}, 2))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, ReadTopic(ctx, b.cfg, deps(nil), ReadOptions{Topic: topic, From: FromEnd, Follow: true}, func(*kgo.Record) error { return nil }))
		lag, err := Lag(t.Context(), b.cfg, deps(nil), "nobody", topic)
		require.NoError(t, err)
		assert.Equal(t, map[string]map[int32]int64{topic: {0: 10, 1: 10}}, lag)
	})
}
