package indexer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

func TestEveryDocumentArrivesOnceAndAReplayChangesNothing(t *testing.T) {
	t.Parallel()
	k := startFake(t)
	docs := documents(1000)
	k.produce(t, docs...)
	st, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "d.db"))
	require.NoError(t, err)
	defer st.Close()
	for _, group := range []string{indexer.Group, "replay-1", "replay-2"} {
		cfg := config()
		cfg.Group = group
		finish(t, cfg, k, st)
		assert.EqualValues(t, len(docs), count(t, st), "after group %s", group)
	}
	assert.Empty(t, k.deadLetters(t))
}

func TestEachDocumentLiesInTheIndexOfItsTimeAndClass(t *testing.T) {
	t.Parallel()
	k := startFake(t)
	double, st := openDouble(t)
	docs := documents(600)
	k.produce(t, docs...)
	finish(t, config(), k, st)
	replay := config()
	replay.Group = "replay"
	finish(t, replay, k, st)
	want := map[string]map[string]string{}
	for _, d := range docs {
		index := schemas.Index("kubescribe", d.Kubescribe.Class, schemas.PeriodWeek, d.Timestamp)
		if want[index] == nil {
			want[index] = map[string]string{}
		}
		body, err := d.Encode()
		require.NoError(t, err)
		want[index][d.Event.ID] = string(body)
	}
	require.Len(t, want, 12, "three classes in four weeks")
	got := map[string]map[string]string{}
	for index, in := range double.Documents() {
		got[index] = map[string]string{}
		for id, body := range in {
			got[index][id] = string(body)
		}
	}
	assert.Equal(t, want, got)
}

func TestFaultsOfTheEngineLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	busy := storetest.Answer(http.StatusTooManyRequests, "es_rejected_execution_exception", "rejected execution of coordinating operation")
	var double *storetest.Double
	var flaky atomic.Int64
	for _, c := range []struct {
		name   string
		faults func() []storetest.Fault
		judge  func(index, id string, body []byte) *storetest.Refusal
	}{
		{"429 of whole requests", func() []storetest.Fault { return []storetest.Fault{busy, busy, busy} }, nil},
		{"503 and 502", func() []storetest.Fault {
			return []storetest.Fault{storetest.Answer(503, "unavailable_shards_exception", "x"), storetest.Answer(502, "", "")}
		}, nil},
		{"413 until the request is small", func() []storetest.Fault {
			faults := make([]storetest.Fault, 200)
			for i := range faults {
				faults[i] = storetest.TooLarge(20_000)
			}
			return faults
		}, nil},
		{"connections reset in mid-answer", func() []storetest.Fault { return []storetest.Fault{double.Cut, double.Cut, double.Cut} }, nil},
		{"429 of every third document, once", func() []storetest.Fault { return nil }, func(_, _ string, _ []byte) *storetest.Refusal {
			if n := flaky.Add(1); n < 400 && n%3 == 0 {
				return &storetest.Refusal{Status: 429, Type: "es_rejected_execution_exception", Reason: "busy"}
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := startFake(t)
			var st store.Store
			double, st = openDouble(t)
			double.Inject(c.faults()...)
			double.Judge(c.judge)
			k.produce(t, documents(500)...)
			finish(t, config(), k, st)
			assert.Equal(t, 500, double.Count())
			assert.Empty(t, k.deadLetters(t))
			assert.Greater(t, double.Bulks(), 5, "something was sent again")
		})
	}
}

func TestPoisonGoesToTheDeadLetterWithTheEnginesReason(t *testing.T) {
	t.Parallel()
	k := startFake(t)
	double, st := openDouble(t)
	double.Judge(func(_, id string, _ []byte) *storetest.Refusal {
		if strings.HasSuffix(id, "7") {
			return &storetest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "failed to parse field [x]"}
		}
		return nil
	})
	docs := documents(200) // 20 end in 7
	k.produce(t, docs...)
	noClass := k.record(t, storetest.Document(9001, time.Now()))
	noClass.Headers = noClass.Headers[:len(noClass.Headers)-1]
	noID := k.record(t, storetest.Document(9002, time.Now()))
	noID.Headers = nil
	require.NoError(t, stream.Produce(t.Context(), k.cfg, stream.Deps{}, noClass, noID))
	finish(t, config(), k, st)
	assert.Equal(t, 180, double.Count())
	reasons := map[string]int{}
	for _, l := range k.deadLetters(t) {
		reasons[l.Reason]++
		if l.Reason == "rejected_document" {
			assert.Contains(t, l.Error, "400 document_parsing_exception: failed to parse field [x]")
		}
		assert.Equal(t, k.topics.Enriched(cluster), l.Topic)
		assert.NotEmpty(t, l.Record.Value)
	}
	assert.Equal(t, map[string]int{"rejected_document": 20, "bad_headers": 2}, reasons)
}

// An expired key must not empty the topic into the dead letter.
func TestAnExpiredKeyStopsAndIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		refuse func(d *storetest.Double, on bool)
	}{
		{"401 of requests", func(d *storetest.Double, on bool) {
			d.RefuseBulk(on, 401, "security_exception", "unable to authenticate")
		}},
		{"403 of documents, a write block", func(d *storetest.Double, on bool) {
			d.Judge(nil)
			if on {
				d.Judge(func(_, _ string, _ []byte) *storetest.Refusal {
					return &storetest.Refusal{Status: 403, Type: "cluster_block_exception", Reason: "index [x] blocked by: [FORBIDDEN/8/index write (api)]"}
				})
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := startFake(t)
			double, st := openDouble(t)
			docs := documents(1000)
			k.produce(t, docs[:300]...)
			var health reasons
			run(t, config(), k, stream.Deps{Health: &health}, st)
			eventually(t, "the first part is there", func() bool { return double.Count() == 300 })
			c.refuse(double, true)
			k.produce(t, docs[300:]...)
			eventually(t, "readiness says why", func() bool { return strings.Contains(health.all(), "refuse") })
			lag := k.lag(t, indexer.Group)
			assert.EqualValues(t, 700, lag)
			assert.Equal(t, 300, double.Count())
			c.refuse(double, false)
			eventually(t, "all is there after the key is renewed", func() bool { return double.Count() == 1000 })
			eventually(t, "all is committed", func() bool { return k.lag(t, indexer.Group) == 0 })
			assert.Empty(t, k.deadLetters(t))
		})
	}
}

func TestOnlyWhatIsPastItsDeletionIsLeftOut(t *testing.T) {
	t.Parallel()
	k := startFake(t)
	double, st := openDouble(t)
	start := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	old, kept := storetest.Document(1, start), storetest.Document(2, start)
	old.Kubescribe.Class, kept.Kubescribe.Class = schemas.ClassNormal, schemas.ClassGap
	k.produce(t, old, kept)
	now := start.AddDate(0, 0, 7+30).Add(time.Second)
	stop := run(t, config(), k, stream.Deps{Now: func() time.Time { return now }}, st)
	eventually(t, "everything is committed", func() bool { return k.lag(t, indexer.Group) == 0 })
	stop()
	assert.Equal(t, 1, double.Count())

	// The embedded store keeps documents of any age.
	lite, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "d.db"))
	require.NoError(t, err)
	defer lite.Close()
	cfg := config()
	cfg.Group = "local"
	finish(t, cfg, k, lite)
	assert.EqualValues(t, 2, count(t, lite))
}

func TestSetupIsWaitedForAndItsRefusalIsFinal(t *testing.T) {
	t.Parallel()
	k := startFake(t)
	st := &setupStore{errs: []error{errors.New("connection refused"), errors.New("connection refused")}}
	var health reasons
	stop := run(t, config(), k, stream.Deps{Health: &health}, st)
	eventually(t, "setup is repeated", func() bool { return st.calls.Load() == 3 })
	stop()
	assert.NotContains(t, health.all(), "connection refused")

	cfg := store.DefaultElasticsearch()
	double := storetest.NewDouble()
	defer double.Close()
	double.Forbid(true)
	cfg.Addresses = []string{double.URL}
	es, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	err = indexer.Run(t.Context(), config(), k.cfg, stream.Deps{}, es)
	require.ErrorContains(t, err, "kubescribe indexer setup")

	require.ErrorContains(t, indexer.Run(t.Context(), indexer.Config{}, k.cfg, stream.Deps{}, es), "indexer.flush_bytes")
}

type setupStore struct {
	store.Store
	errs  []error
	calls atomic.Int64
}

func (s *setupStore) Setup(context.Context) error {
	n := int(s.calls.Add(1))
	if n <= len(s.errs) {
		return s.errs[n-1]
	}
	return nil
}

// The dead letter's brake holds a partition whose every document is poison: a wrong mapping.
func TestAWrongMappingStopsThePartition(t *testing.T) {
	t.Parallel()
	k := startFake(t)
	double, st := openDouble(t)
	double.Judge(func(_, _ string, _ []byte) *storetest.Refusal {
		return &storetest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "object mapping tried to parse as object"}
	})
	k.produce(t, documents(900)...)
	run(t, config(), k, stream.Deps{}, st)
	eventually(t, "documents were sent", func() bool { return double.Bulks() > 3 })
	require.Never(t, func() bool { return len(k.deadLetters(t)) > 3*49 }, 2*time.Second, 200*time.Millisecond, "at most 49 from each partition")
	double.Judge(nil)
	eventually(t, "after the mapping is mended the rest comes in", func() bool { return double.Count()+len(k.deadLetters(t)) == 900 })
}

func TestAValueIsCopiedByteForByte(t *testing.T) {
	t.Parallel()
	k := startFake(t)
	double, st := openDouble(t)
	r := k.record(t, storetest.Document(1, time.Now()))
	r.Value = bytes.Replace(r.Value, []byte(`{"@timestamp"`), []byte(`{ "unknown" : {"a.b":[1, 2e3 ,"<\u00e9>"]},"@timestamp"`), 1)
	require.NoError(t, stream.Produce(t.Context(), k.cfg, stream.Deps{}, &kgo.Record{Topic: r.Topic, Value: r.Value, Headers: r.Headers}))
	finish(t, config(), k, st)
	for _, docs := range double.Documents() {
		for _, body := range docs {
			assert.Equal(t, string(r.Value), string(body))
		}
	}
	assert.Equal(t, 1, double.Count(), fmt.Sprint(double.Documents()))
}
