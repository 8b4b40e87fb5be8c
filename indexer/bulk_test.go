package indexer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// scripted is a store that answers each call of Index with the next step; after the last all is done.
type scripted struct {
	store.Store
	mu    sync.Mutex
	steps []func(items []store.Item) ([]store.Outcome, error)
	calls [][]string // the ids of each call
}

func (s *scripted) DeletedAt(string, time.Time) time.Time { return time.Time{} }

func (s *scripted) Index(_ context.Context, items []store.Item) ([]store.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.ID
	}
	s.calls = append(s.calls, ids)
	if len(s.steps) == 0 {
		return make([]store.Outcome, len(items)), nil
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	return step(items)
}

func whole(err error) func([]store.Item) ([]store.Outcome, error) {
	return func([]store.Item) ([]store.Outcome, error) { return nil, err }
}

func each(v ...store.Verdict) func([]store.Item) ([]store.Outcome, error) {
	return func([]store.Item) ([]store.Outcome, error) {
		out := make([]store.Outcome, len(v))
		for i := range v {
			out[i] = store.Outcome{Verdict: v[i], Reason: "because"}
		}
		return out, nil
	}
}

func again(n int, step func([]store.Item) ([]store.Outcome, error)) []func([]store.Item) ([]store.Outcome, error) {
	steps := make([]func([]store.Item) ([]store.Outcome, error), n)
	for i := range steps {
		steps[i] = step
	}
	return steps
}

func batch(n int) stream.Batch {
	b := stream.Batch{Topic: "kubescribe.enriched.c"}
	for i := range n {
		r := record(schemas.HeaderID, fmt.Sprint(i), schemas.HeaderType, "k", schemas.HeaderTime, "2026-06-01T12:00:00Z", schemas.HeaderClass, "normal")
		r.Offset = int64(i)
		b.Records = append(b.Records, r)
	}
	return b
}

func offsets(err error) []int64 {
	var poison *stream.PoisonError
	var all []int64
	if errors.As(err, &poison) {
		for _, p := range poison.Poison {
			all = append(all, p.Record.Offset)
		}
	}
	return all
}

func TestHandleEndsAsTheStoreSays(t *testing.T) {
	const d, r, p, f = store.Done, store.Retry, store.Poison, store.Refused
	down := errors.New("connection reset")
	for _, c := range []struct {
		name    string
		steps   []func([]store.Item) ([]store.Outcome, error)
		poison  []int64
		err     string
		refused bool
		calls   [][]string
	}{
		{name: "all done", calls: [][]string{{"0", "1", "2"}}},
		{name: "one later, alone", steps: again(1, each(d, r, d)), calls: [][]string{{"0", "1", "2"}, {"1"}}},
		{
			name: "one later, then poison; another poison at once", steps: append(again(1, each(p, r, r)), each(d, p)),
			poison: []int64{0, 2}, calls: [][]string{{"0", "1", "2"}, {"1", "2"}},
		},
		{name: "an outage that ends", steps: again(3, whole(down)), calls: [][]string{{"0", "1", "2"}, {"0", "1", "2"}, {"0", "1", "2"}, {"0", "1", "2"}}},
		{name: "an outage that lasts", steps: again(100, whole(down)), err: "connection reset"},
		{name: "one that is put off for ever", steps: append(again(1, each(d, r, d)), again(100, each(r))...), err: "because"},
		{name: "a refusal of one", steps: again(1, each(d, f, r)), err: "because", refused: true, calls: [][]string{{"0", "1", "2"}}},
		{name: "a refusal beside poison", steps: again(1, each(p, f, d)), err: "because", refused: true, calls: [][]string{{"0", "1", "2"}}},
		{name: "an outage after poison forgets nothing", steps: append(again(1, each(p, r, d)), whole(down)), poison: []int64{0}, calls: [][]string{{"0", "1", "2"}, {"1"}, {"1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{steps: c.steps}
				x := newIndexer(Default(), stream.Deps{}, s)
				err := (&assignment{indexer: x}).handle(t.Context(), batch(3))
				var refusal *stream.RefusedError
				assert.Equal(t, c.refused, errors.As(err, &refusal))
				assert.Equal(t, c.poison, offsets(err))
				switch {
				case c.err != "":
					require.ErrorContains(t, err, c.err)
					assert.Empty(t, offsets(err), "an error that isn't final dead-letters nothing")
				case c.poison == nil:
					require.NoError(t, err)
				}
				if c.calls != nil {
					assert.Equal(t, c.calls, s.calls)
				}
				assert.LessOrEqual(t, len(s.calls), tries+1)
			})
		})
	}
}

func TestHandleReturnsSoonAfterARevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &scripted{steps: append(again(1, func([]store.Item) ([]store.Outcome, error) { cancel(); return nil, errors.New("down") }), again(9, whole(errors.New("down")))...)}
		start := time.Now()
		require.Error(t, (&assignment{indexer: newIndexer(Default(), stream.Deps{}, s)}).handle(ctx, batch(3)))
		assert.Zero(t, time.Since(start))
		assert.Len(t, s.calls, 1)
	})
}

func TestHandleSendsInBoundedRequestsAndWaitsForAll(t *testing.T) {
	cfg := Default()
	cfg.FlushRecords, cfg.BulkRequests = 10, 3
	var mu sync.Mutex
	running, most, total := 0, 0, 0
	s := &gate{index: func(items []store.Item) ([]store.Outcome, error) {
		mu.Lock()
		running++
		most = max(most, running)
		total += len(items)
		mu.Unlock()
		<-time.After(time.Second) // virtual
		mu.Lock()
		running--
		mu.Unlock()
		return make([]store.Outcome, len(items)), nil
	}}
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		x := newIndexer(cfg, stream.Deps{Metrics: reg}, s)
		require.NoError(t, (&assignment{indexer: x}).handle(t.Context(), batch(95)))
		assert.Equal(t, 3, most)
		assert.Equal(t, 95, total)
		assert.Zero(t, running, "nil comes after the last request has ended")
		assert.InDelta(t, 95, testutil.ToFloat64(x.m.documents.WithLabelValues(outcomeCreated)), 0)
	})
}

func TestHandleSendsNothingForNothing(t *testing.T) {
	s := &scripted{}
	x := newIndexer(Default(), stream.Deps{}, s)
	b := stream.Batch{Records: []*kgo.Record{record()}}
	assert.Len(t, offsets((&assignment{indexer: x}).handle(t.Context(), b)), 1)
	assert.Empty(t, s.calls)
	assert.InDelta(t, 1, testutil.ToFloat64(x.m.documents.WithLabelValues(outcomePoison)), 0)
}

type gate struct {
	store.Store
	index func([]store.Item) ([]store.Outcome, error)
}

func (g *gate) DeletedAt(string, time.Time) time.Time { return time.Time{} }

func (g *gate) Index(_ context.Context, items []store.Item) ([]store.Outcome, error) {
	return g.index(items)
}

// What is durable or poison already is not sent again when the rest of its batch has to wait, and is counted once.
func TestABatchThatComesAgainIsSentInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d, r, p, f = store.Done, store.Retry, store.Poison, store.Refused
		s := &scripted{steps: []func([]store.Item) ([]store.Outcome, error){each(d, p, f, r), each(d, f), each(d)}}
		a := &assignment{indexer: newIndexer(Default(), stream.Deps{}, s)}
		b := batch(4)
		require.Error(t, a.handle(t.Context(), b))
		require.Error(t, a.handle(t.Context(), b))
		assert.Equal(t, []int64{1}, offsets(a.handle(t.Context(), b)), "poison is remembered")
		assert.Equal(t, [][]string{{"0", "1", "2", "3"}, {"2", "3"}, {"3"}}, s.calls)
		assert.InDelta(t, 3, testutil.ToFloat64(a.m.documents.WithLabelValues(outcomeCreated)), 0)
		assert.InDelta(t, 1, testutil.ToFloat64(a.m.documents.WithLabelValues(outcomePoison)), 0)

		require.NoError(t, a.handle(t.Context(), b), "a batch that was handled and comes again is sent as a whole")
		assert.Len(t, s.calls[3], 4)

		s.steps = append(s.steps, each(d, f, d, d))
		require.Error(t, a.handle(t.Context(), b))
		other := batch(4)
		require.NoError(t, a.handle(t.Context(), other))
		assert.Len(t, s.calls[5], 4, "nothing of another batch is taken for done")
	})
}
