package indexer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/store"
	"kubescribe/schemas"
)

func record(pairs ...string) *kgo.Record {
	r := &kgo.Record{Value: []byte(`{"any":"thing"}`)}
	for i := 0; i < len(pairs); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return r
}

func TestItemOf(t *testing.T) {
	const id, kind, when, class = schemas.HeaderID, schemas.HeaderType, schemas.HeaderTime, schemas.HeaderClass
	const noon = "2026-06-01T12:00:00.000000001Z"
	at := time.Date(2026, 6, 1, 12, 0, 0, 1, time.UTC)
	for _, c := range []struct {
		name   string
		record *kgo.Record
		want   store.Item
		err    string
	}{
		{"good", record(id, "i", kind, "k", when, noon, class, "normal"), store.Item{ID: "i", Class: "normal", Time: at}, ""},
		{"another zone", record(id, "i", kind, "k", when, "2026-06-01T14:00:00.000000001+02:00", class, "gap"), store.Item{ID: "i", Class: "gap", Time: at}, ""},
		{"headers that nobody knows", record("x", "y", id, "i", kind, "k", when, noon, class, "gap", "traceparent", "z"), store.Item{ID: "i", Class: "gap", Time: at}, ""},
		{"none at all", record(), store.Item{}, "ce_id is missing"},
		{"no id", record(kind, "k", when, noon, class, "normal"), store.Item{}, "ce_id is missing"},
		{"no time", record(id, "i", kind, "k", class, "normal"), store.Item{}, "ce_time is missing"},
		{"no class", record(id, "i", kind, "k", when, noon), store.Item{}, "class is missing"},
		{"an empty class", record(id, "i", kind, "k", when, noon, class, ""), store.Item{}, "class is missing"},
		{"a class that leaves the pattern", record(id, "i", kind, "k", when, noon, class, "a-2026*"), store.Item{}, "class"},
		{"a time that is none", record(id, "i", kind, "k", when, "noon", class, "normal"), store.Item{}, "ce_time"},
		{"a long id", record(id, strings.Repeat("i", schemas.MaxIDBytes+1), kind, "k", when, noon, class, "normal"), store.Item{}, "ce_id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ItemOf(c.record)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			c.want.Body = c.record.Value
			assert.Equal(t, c.want, got)
		})
	}
}

func TestPlanLeavesOutOnlyWhatIsPastItsDeletion(t *testing.T) {
	day := 24 * time.Hour
	start := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	deletedAt := func(class string, at time.Time) time.Time {
		if class == "kept" {
			return time.Time{}
		}
		return schemas.PeriodWeek.Start(at).Add(7*day + 30*day)
	}
	at := func(class string, d time.Duration) *kgo.Record {
		return record(schemas.HeaderID, class+d.String(), schemas.HeaderType, "k", schemas.HeaderTime, start.Add(d).Format(time.RFC3339), schemas.HeaderClass, class)
	}
	records := []*kgo.Record{at("normal", 0), at("normal", 6*day), at("normal", 7*day), at("kept", 0), record()}
	for _, c := range []struct {
		now  time.Duration
		want int
	}{
		{0, 4},
		{37 * day, 4}, // at the instant of deletion it isn't past
		{37*day + 1, 2},
		{44*day + 1, 1},
		{4000 * day, 1},
	} {
		entries, poison, expired := plan(records, deletedAt, start.Add(c.now))
		assert.Len(t, entries, c.want, "after %s", c.now)
		assert.Equal(t, 4-c.want, expired, "after %s", c.now)
		require.Len(t, poison, 1, "bad headers are poison at any age")
		assert.Same(t, records[4], poison[0].Record)
		assert.Equal(t, reasonHeaders, poison[0].Reason)
	}
}

func TestSplitKeepsEveryEntryOnceInOrderWithinBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		entries := make([]entry, random.IntN(60))
		for i := range entries {
			entries[i].item = store.Item{ID: fmt.Sprint(i), Body: make([]byte, random.IntN(3000))}
		}
		maxRecords, maxBytes := 1+random.IntN(20), 1+random.IntN(8000)
		var back []entry
		for _, chunk := range split(entries, maxRecords, maxBytes) {
			require.NotEmpty(t, chunk)
			require.LessOrEqual(t, len(chunk), maxRecords)
			bytes := 0
			for _, e := range chunk {
				bytes += len(e.item.Body) + len(e.item.ID) + actionBytes
			}
			if len(chunk) > 1 {
				require.LessOrEqual(t, bytes, maxBytes)
			}
			back = append(back, chunk...)
		}
		require.Equal(t, len(entries), len(back))
		for i := range back {
			require.Equal(t, entries[i].item.ID, back[i].item.ID)
		}
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	require.NoError(t, Default().Validate())
	err := Config{}.Validate()
	for _, key := range []string{"group", "flush_bytes", "flush_records", "bulk_requests", "shutdown_timeout"} {
		require.ErrorContains(t, err, "indexer."+key)
	}
}
