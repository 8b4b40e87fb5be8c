package stream

import (
	"context"
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

func transformOptions(dead string, topics ...string) TransformOptions {
	return TransformOptions{
		Group: "g-" + uuid.NewString(), Topics: topics, MaxBatchRecords: 100, ShutdownTimeout: 5 * time.Second,
		DeadLetter: func(*kgo.Record) string { return dead },
	}
}

// copyTo is a transform that writes each input to the same partition of a topic.
func copyTo(out string) Transform {
	return func(_ context.Context, records []*kgo.Record) (Output, error) {
		var o Output
		for _, r := range records {
			o.Records = append(o.Records, ToPartition(&kgo.Record{Topic: out, Key: r.Key, Value: r.Value, Headers: r.Headers}, r.Partition))
		}
		return o, nil
	}
}

// numbers are the values of a topic's committed records, by partition.
func (b broker) numbers(t *testing.T, topic string) map[int32][]int {
	t.Helper()
	m := map[int32][]int{}
	for _, r := range b.read(t, topic) {
		m[r.Partition] = append(m[r.Partition], number(r))
	}
	return m
}

func sum(m map[int32][]int) int {
	n := 0
	for _, v := range m {
		n += len(v)
	}
	return n
}

func TestTransformCopiesOnce(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, out := b.topic(t, 3), b.topic(t, 3)
		b.fill(t, in, 3, 0, 500)
		o := transformOptions("", in)
		l := start(t, func(ctx context.Context) error { return RunTransform(ctx, b.cfg, deps(nil), o, copyTo(out)) })
		eventually(t, "all outputs", func() bool { return sum(b.numbers(t, out)) >= 1500 })
		l.stop()
		for p, got := range b.numbers(t, out) {
			assert.Equal(t, count(0, 500), got, p)
			assert.EqualValues(t, 500, b.committed(t, o.Group, in, p))
		}
	})
}

// An abort, here for an output that fails, makes the same records come again; read-committed readers see each once, and memory
// has changed only for what was committed.
func TestTransformAbortRepeatsNothing(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, out := b.topic(t, 1), b.topic(t, 1)
		b.fill(t, in, 1, 0, 300)
		o := transformOptions("", in)
		var calls, sum int
		first := map[int]int{}
		l := start(t, func(ctx context.Context) error {
			return RunTransform(ctx, b.cfg, deps(nil), o, func(ctx context.Context, records []*kgo.Record) (Output, error) {
				calls++
				o, _ := copyTo(out)(ctx, records)
				first[number(records[0])]++
				if calls == 1 || calls == 3 {
					o.Records = append(o.Records, ToPartition(&kgo.Record{Topic: out, Value: []byte("-7")}, 99))
				}
				n := len(records)
				o.Committed = func() { sum += n }
				return o, nil
			})
		})
		eventually(t, "the commit", func() bool { return b.committed(t, o.Group, in, 0) == 300 })
		l.stop()
		assert.Equal(t, count(0, 300), b.numbers(t, out)[0])
		assert.Equal(t, 300, sum)
		assert.GreaterOrEqual(t, first[0], 2, "the first batch came again, although the group had never committed")
	})
}

func TestTransformRetriesAndRefuses(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, out := b.topic(t, 1), b.topic(t, 1)
		b.fill(t, in, 1, 0, 50)
		o := transformOptions("", in)
		health := &board{}
		var broken atomic.Bool
		broken.Store(true)
		l := start(t, func(ctx context.Context) error {
			return RunTransform(ctx, b.cfg, deps(health), o, func(ctx context.Context, records []*kgo.Record) (Output, error) {
				if broken.Load() {
					return Output{}, errors.New("the API server is away")
				}
				return copyTo(out)(ctx, records)
			})
		})
		eventually(t, "a reason", func() bool {
			return strings.Contains(health.reason("stream/"+o.Group), "the API server is away")
		})
		// Longer than the session timeout: heartbeats must go on while the records wait.
		assert.Never(t, func() bool { return members(t, b, o.Group) != 1 }, sessionTimeout+2*time.Second, time.Second)
		broken.Store(false)
		eventually(t, "the commit", func() bool { return b.committed(t, o.Group, in, 0) == 50 })
		l.stop()
		assert.Equal(t, count(0, 50), b.numbers(t, out)[0])
	})
}

// Dead letters are in the transaction: never without the commit, never twice.
func TestTransformBuriesPoison(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, out, dead := b.topic(t, 1), b.topic(t, 1), b.topic(t, 1)
		b.fill(t, in, 1, 0, 200)
		o := transformOptions(dead, in)
		calls := 0
		l := start(t, func(ctx context.Context) error {
			return RunTransform(ctx, b.cfg, deps(nil), o, func(ctx context.Context, records []*kgo.Record) (Output, error) {
				calls++
				var good []*kgo.Record
				var output Output
				var named PoisonError
				for _, r := range records {
					switch n := number(r); {
					case n%20 == 3:
						output.Poison = append(output.Poison, Poison{Record: r, Reason: "undecodable", Err: errors.New("bad")})
					case n%50 == 7:
						named.Poison = append(named.Poison, Poison{Record: r, Reason: "refused", Err: errors.New("bad")})
					default:
						good = append(good, r)
					}
				}
				if len(named.Poison) > 0 {
					return Output{}, &named
				}
				c, _ := copyTo(out)(ctx, good)
				output.Records = c.Records
				if calls%3 == 1 {
					output.Records = append(output.Records, ToPartition(&kgo.Record{Topic: out}, 99))
				}
				return output, nil
			})
		})
		eventually(t, "the commit", func() bool { return b.committed(t, o.Group, in, 0) == 200 })
		l.stop()
		letters := b.read(t, dead)
		require.Len(t, letters, 14)
		seen := map[int64]string{}
		for _, r := range letters {
			l, err := ParseDeadLetter(r)
			require.NoError(t, err)
			seen[l.Offset] = l.Reason
		}
		assert.Len(t, seen, 14)
		assert.Equal(t, "refused", seen[107])
		assert.Equal(t, "undecodable", seen[103])
		assert.Len(t, b.numbers(t, out)[0], 186)
	})
}

func TestTransformBrake(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, out, dead := b.topic(t, 2), b.topic(t, 2), b.topic(t, 1)
		b.fill(t, in, 2, 0, 400)
		o := transformOptions(dead, in)
		health := &board{}
		l := start(t, func(ctx context.Context) error {
			return RunTransform(ctx, b.cfg, deps(health), o, func(ctx context.Context, records []*kgo.Record) (Output, error) {
				var good []*kgo.Record
				var output Output
				for _, r := range records {
					if r.Partition == 1 && number(r) >= 100 {
						output.Poison = append(output.Poison, Poison{Record: r, Reason: "expired_key", Err: errors.New("bad")})
					} else {
						good = append(good, r)
					}
				}
				c, _ := copyTo(out)(ctx, good)
				output.Records = c.Records
				return output, nil
			})
		})
		eventually(t, "the brake", func() bool {
			return strings.Contains(health.reason("stream/"+o.Group), "kubescribe deadletter accept "+in+"/1")
		})
		eventually(t, "the other partition", func() bool { return b.committed(t, o.Group, in, 0) == 400 })
		b.fill(t, in, 1, 400, 100)
		eventually(t, "the other partition's new records", func() bool { return b.committed(t, o.Group, in, 0) >= 500 })
		before := len(b.read(t, dead))
		assert.Less(t, before, brakeLeast)
		never(t, "a commit over the brake", func() bool { return b.committed(t, o.Group, in, 1) > int64(100+before) })
		_, err := Accept(t.Context(), b.cfg, Deps{}, o.Group, in, 1)
		require.NoError(t, err)
		eventually(t, "to go on", func() bool { return b.committed(t, o.Group, in, 1) == 400 })
		eventually(t, "readiness", func() bool { return health.reason("stream/"+o.Group) == "" })
		l.stop()
		assert.Len(t, b.read(t, dead), 300)
		assert.Equal(t, count(0, 500), b.numbers(t, out)[0])
		assert.Equal(t, count(0, 100), b.numbers(t, out)[1])
	})
}

// An output that Kafka refuses for its size blocks nothing: its source is dead-lettered, its neighbours pass.
func TestTransformOutputTooLarge(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, out, dead := b.topic(t, 1), b.topic(t, 1), b.topic(t, 1)
		b.fill(t, in, 1, 0, 20)
		o := transformOptions(dead, in)
		l := start(t, func(ctx context.Context) error {
			return RunTransform(ctx, b.cfg, deps(nil), o, func(ctx context.Context, records []*kgo.Record) (Output, error) {
				output, _ := copyTo(out)(ctx, records)
				for i, r := range records {
					if number(r) == 11 {
						output.Records[i].Value = make([]byte, 5<<20)
					}
				}
				return output, nil
			})
		})
		eventually(t, "the commit", func() bool { return b.committed(t, o.Group, in, 0) == 20 })
		l.stop()
		assert.Len(t, b.numbers(t, out)[0], 19)
		letters := b.read(t, dead)
		require.Len(t, letters, 1)
		assert.Equal(t, "output_too_large", header(letters[0], HeaderDeadReason))
		assert.Equal(t, "11", string(letters[0].Value))
	})
}

// state is a loop that keeps, for each partition, the sum of what it consumed, in memory and on a compacted topic. It shows
// every mistake in the order of restore, commit and loss as a wrong sum.
type state struct {
	t          *testing.T
	b          broker
	out, table string
	mu         sync.Mutex // for the test's reads only
	sums       map[int32]int
	restored   int
	lost       int
}

func (s *state) options(group, in string) TransformOptions {
	o := transformOptions("", in)
	o.Group = group
	o.Assigned = func(ctx context.Context, parts map[string][]int32) error {
		for tp := range each(parts) {
			sum := 0
			if err := ReadTable(ctx, s.b.cfg, Deps{}, s.table, tp.partition, func(r *kgo.Record) error {
				sum = number(r)
				return nil
			}); err != nil {
				return err
			}
			s.mu.Lock()
			s.sums[tp.partition] = sum
			s.restored++
			s.mu.Unlock()
		}
		return nil
	}
	o.Lost = func(parts map[string][]int32) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for tp := range each(parts) {
			delete(s.sums, tp.partition)
			s.lost++
		}
	}
	return o
}

func (s *state) transform(_ context.Context, records []*kgo.Record) (Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[int32]int{}
	var out Output
	for _, r := range records {
		sum, ok := next[r.Partition]
		if !ok {
			if sum, ok = s.sums[r.Partition]; !ok {
				s.t.Errorf("partition %d reached the transform before its state", r.Partition)
			}
		}
		next[r.Partition] = sum + number(r)
		out.Records = append(out.Records, ToPartition(&kgo.Record{Topic: s.out, Value: fmt.Appendf(nil, "%d", next[r.Partition])}, r.Partition))
	}
	for p, sum := range next {
		out.Records = append(out.Records, ToPartition(&kgo.Record{Topic: s.table, Key: []byte("sum"), Value: fmt.Appendf(nil, "%d", sum)}, p))
	}
	out.Committed = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for p, sum := range next {
			s.sums[p] = sum
		}
	}
	return out, nil
}

// sums are the running sums of 0..n-1.
func sums(n int) []int {
	all, sum := make([]int, n), 0
	for i := range n {
		sum += i
		all[i] = sum
	}
	return all
}

// Members come and go while records flow; in-memory state follows the partitions, and no sum is ever wrong.
func TestTransformStateAcrossRebalances(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		const parts, rounds, each = 4, 6, 200
		in, out, table := b.topic(t, parts), b.topic(t, parts), b.topic(t, parts, "cleanup.policy=compact")
		group := "g-" + uuid.NewString()
		run := func() (*state, *loop) {
			s := &state{t: t, b: b, out: out, table: table, sums: map[int32]int{}}
			return s, start(t, func(ctx context.Context) error {
				return RunTransform(ctx, b.cfg, deps(nil), s.options(group, in), s.transform)
			})
		}
		steady, first := run()
		moves := 0
		for round := range rounds {
			b.fill(t, in, parts, round*each, each/2)
			other, second := run()
			b.fill(t, in, parts, round*each+each/2, each/2)
			eventually(t, "two members", func() bool {
				other.mu.Lock()
				defer other.mu.Unlock()
				return other.restored > 0
			})
			second.stop()
			moves += other.restored
		}
		eventually(t, "all outputs", func() bool { return sum(b.numbers(t, out)) >= parts*rounds*each })
		first.stop()
		for p := range int32(parts) {
			assert.Equal(t, sums(rounds*each), b.numbers(t, out)[p], p)
		}
		assert.NotZero(t, moves)
		assert.NotZero(t, steady.lost)
	})
}

// Ticks write transactions without input, only while partitions are owned.
func TestTransformTicks(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, out := b.topic(t, 2), b.topic(t, 2)
		o := transformOptions("", in)
		o.TickEvery = 50 * time.Millisecond
		ticks, restored := 0, false
		var committed atomic.Int32
		o.Assigned = func(context.Context, map[string][]int32) error { restored = true; return nil }
		o.Tick = func(context.Context, time.Time) (Output, error) {
			assert.True(t, restored)
			ticks++
			n := ticks
			if n == 2 {
				return Output{}, errors.New("not this time")
			}
			return Output{
				Records:   []*kgo.Record{ToPartition(&kgo.Record{Topic: out, Value: fmt.Appendf(nil, "%d", n)}, 0)},
				Committed: func() { committed.Add(1) },
			}, nil
		}
		l := start(t, func(ctx context.Context) error { return RunTransform(ctx, b.cfg, deps(nil), o, copyTo(out)) })
		eventually(t, "ticks", func() bool { return committed.Load() >= 5 })
		// Records after ticks: the offsets that the ticks committed must not have skipped anything.
		b.fill(t, in, 2, 1000, 3)
		eventually(t, "the commit", func() bool {
			return b.committed(t, o.Group, in, 0) == 3 && b.committed(t, o.Group, in, 1) == 3
		})
		l.stop()
		var got []int
		records := 0
		numbers := b.numbers(t, out)
		for _, n := range append(numbers[0], numbers[1]...) {
			if n >= 1000 {
				records++
			} else {
				got = append(got, n)
			}
		}
		assert.Equal(t, 6, records)
		assert.Len(t, got, int(committed.Load()))
		assert.NotContains(t, got, 2)
	})
}

// The timers of a member that lost a partition while it computed them must not be written.
func TestTransformTickIsFenced(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		in, out := b.topic(t, 2), b.topic(t, 2)
		group := "g-" + uuid.NewString()
		entered, release := make(chan int, 1), make(chan struct{})
		o := transformOptions("", in)
		o.Group, o.TickEvery = group, 50*time.Millisecond
		owned := map[int32]bool{}
		o.Assigned = func(_ context.Context, parts map[string][]int32) error {
			for tp := range each(parts) {
				owned[tp.partition] = true
			}
			return nil
		}
		var once sync.Once
		o.Tick = func(context.Context, time.Time) (Output, error) {
			var made []*kgo.Record
			if len(owned) == 2 {
				once.Do(func() {
					made = []*kgo.Record{ToPartition(&kgo.Record{Topic: out, Value: []byte("stale")}, 0)}
					entered <- len(owned)
					<-release
				})
			}
			return Output{Records: made, Committed: func() { assert.Empty(t, made, "committed") }}, nil
		}
		a := start(t, func(ctx context.Context) error { return RunTransform(ctx, b.cfg, deps(nil), o, copyTo(out)) })
		<-entered
		two := transformOptions("", in)
		two.Group = group
		taken := make(chan struct{}, 2)
		two.Assigned = func(context.Context, map[string][]int32) error { taken <- struct{}{}; return nil }
		c := start(t, func(ctx context.Context) error { return RunTransform(ctx, b.cfg, deps(nil), two, copyTo(out)) })
		<-taken
		close(release)
		b.fill(t, in, 2, 0, 10)
		eventually(t, "the records", func() bool { return sum(b.numbers(t, out)) >= 20 })
		a.stop()
		c.stop()
		for _, r := range b.read(t, out) {
			assert.NotEqual(t, "stale", string(r.Value))
		}
	})
}
