package stream

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const replayBatch = 7

// replayAll replays what was not replayed yet, a few at once, and says how many.
func replayAll(ctx context.Context, cfg Config, d Deps, dead string) (int, error) {
	r, err := OpenReplayer(ctx, cfg, d, dead)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var batch []DeadLetter
	n := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := r.Replay(ctx, batch...)
		n += len(batch)
		batch = nil
		return err
	}
	err = ReadDeadLetters(ctx, cfg, d, dead, func(l DeadLetter) error {
		if _, done := r.Done(l); done {
			return nil
		}
		if batch = append(batch, l); len(batch) < replayBatch {
			return nil
		}
		return flush()
	})
	return n, errors.Join(err, flush())
}

// bury writes n dead letters of records of in, each in the partition of its number.
func (b broker) bury(t *testing.T, dead, in string, parts int32, n int) {
	t.Helper()
	var letters []*kgo.Record
	for i := range n {
		source := &kgo.Record{
			Topic: in, Partition: int32(i) % parts, Offset: int64(i), Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "%d", i),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: fmt.Appendf(nil, "id-%d", i)}},
		}
		letters = append(letters, deadLetter(Poison{Record: source, Reason: "odd", Err: errors.New("x")}, dead, "g", time.Now()))
	}
	require.NoError(t, Produce(t.Context(), b.cfg, deps(nil), letters...))
}

func TestReplayRepeatsNothing(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		const parts, n = 3, 50
		dead, in := b.topic(t, 1), b.topic(t, parts)
		b.bury(t, dead, in, parts, n)
		for _, want := range []int{n, 0, 0} {
			got, err := replayAll(t.Context(), b.cfg, deps(nil), dead)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
		all := b.read(t, in)
		require.Len(t, all, n)
		for _, r := range all {
			i := number(r)
			assert.EqualValues(t, i%parts, r.Partition, "the partition that it came from")
			assert.Equal(t, fmt.Sprintf("k%d", i), string(r.Key))
			assert.Equal(t, []kgo.RecordHeader{{Key: "ce_id", Value: fmt.Appendf(nil, "id-%d", i)}}, r.Headers)
		}
		letters := 0
		require.NoError(t, ReadDeadLetters(t.Context(), b.cfg, deps(nil), dead, func(DeadLetter) error { letters++; return nil }))
		assert.Equal(t, n, letters, "the notes of the replays are no dead letters, and the dead letters are still there")
		replays, err := ReadReplays(t.Context(), b.cfg, deps(nil), dead)
		require.NoError(t, err)
		assert.Len(t, replays, n)
		assert.WithinDuration(t, time.Now(), replays[Origin{in, 1, 1}], time.Hour)

		// What could be handled in another way is not replayed either.
		b.bury(t, dead, in, parts, n+1)
		r, err := OpenReplayer(t.Context(), b.cfg, deps(nil), dead)
		require.NoError(t, err)
		require.NoError(t, r.Note(t.Context(), DeadLetter{Topic: in, Partition: n % parts, Offset: n}))
		r.Close()
		got, err := replayAll(t.Context(), b.cfg, deps(nil), dead)
		require.NoError(t, err)
		assert.Zero(t, got)
	})
}

// Whoever replays is killed in the middle of its transactions, again and again: each record comes back once.
func TestReplayKilled(t *testing.T) {
	onRealBroker(t, func(t *testing.T, b broker) {
		const parts, n = 3, 100
		dead, in := b.topic(t, 1), b.topic(t, parts)
		b.bury(t, dead, in, parts, n)
		for i := range 6 {
			c := child{
				Broker: b.cfg.Brokers[0], Replay: dead, Signal: syscall.SIGKILL,
				Key: []int16{int16(kmsg.Produce), int16(kmsg.EndTxn)}[i%2], After: 1 + i/3,
			}
			var exit *exec.ExitError
			require.ErrorAs(t, c.start(t).Wait(), &exit)
			require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
		}
		last, err := replayAll(t.Context(), b.cfg, deps(nil), dead)
		require.NoError(t, err)
		assert.Positive(t, last, "the kills left something to do")
		seen := map[int]int{}
		for _, r := range b.read(t, in) {
			seen[number(r)]++
		}
		assert.Len(t, seen, n)
		for i, times := range seen {
			assert.Equal(t, 1, times, "record %d", i)
		}
		t.Logf("records=%d kills=6 left_for_the_last=%d", n, last)
	})
}

// Of two that replay at once, the older one stops: it does not repeat what the newer one does.
func TestReplayersFenceEachOther(t *testing.T) {
	onRealBroker(t, func(t *testing.T, b broker) {
		dead, in := b.topic(t, 1), b.topic(t, 1)
		b.bury(t, dead, in, 1, 10)
		old, err := OpenReplayer(t.Context(), b.cfg, deps(nil), dead)
		require.NoError(t, err)
		defer old.Close()
		got, err := replayAll(t.Context(), b.cfg, deps(nil), dead)
		require.NoError(t, err)
		assert.Equal(t, 10, got)
		l, err := FindDeadLetter(t.Context(), b.cfg, deps(nil), dead, in, 0, 4)
		require.NoError(t, err)
		require.ErrorIs(t, old.Replay(t.Context(), l), ErrFenced)
		assert.Len(t, b.read(t, in), 10)
	})
}
