package reload_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer/reload"
	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

const topic = "kubescribe.enriched.test"

func options() reload.Options {
	return reload.Options{FlushRecords: 50, FlushBytes: 1 << 20, Requests: 3, Listed: 5}
}

func openSQLite(t *testing.T) store.Store {
	t.Helper()
	st, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "d.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// start is recent, so that nothing is past its retention.
var start = time.Now().Add(-24 * time.Hour).UTC().Truncate(time.Second)

// kafka holds documents 0 to n-1 in three partitions.
func kafka(t *testing.T, n int) stream.Config {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	cfg := stream.Default()
	cfg.Brokers = []string{c.ListenAddrs()[0]}
	_, err = stream.ApplyTopics(t.Context(), cfg, stream.Deps{}, []stream.TopicSpec{{Name: topic, Partitions: 3, Replication: 1}}, false)
	require.NoError(t, err)
	produce(t, cfg, 0, n)
	return cfg
}

func produce(t *testing.T, cfg stream.Config, from, to int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		d := storetest.Document(i, start)
		value, err := d.Encode()
		require.NoError(t, err)
		r := &kgo.Record{Topic: topic, Key: []byte(d.Orchestrator.Resource.Name), Value: value}
		for _, h := range d.Headers() {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		records = append(records, r)
	}
	require.NoError(t, stream.Produce(t.Context(), cfg, stream.Deps{}, records...))
}

func all(t *testing.T, st store.Store) map[string]string {
	t.Helper()
	found := map[string]string{}
	q := store.Query{Limit: store.MaxLimit}
	for {
		page, err := st.Search(t.Context(), q)
		require.NoError(t, err)
		for _, h := range page.Hits {
			found[h.ID] = string(h.Body)
		}
		if page.Next == "" {
			return found
		}
		q.After = page.Next
	}
}

// want are the documents from to, by id.
func want(t *testing.T, from, to int) map[string]string {
	t.Helper()
	m := map[string]string{}
	for i := from; i < to; i++ {
		it := storetest.Item(storetest.Document(i, start))
		m[it.ID] = string(it.Body)
	}
	return m
}

func TestFromKafka(t *testing.T) {
	t.Parallel()
	k, st := kafka(t, 1000), openSQLite(t)
	require.NoError(t, stream.Produce(t.Context(), k, stream.Deps{}, &kgo.Record{Topic: topic, Value: []byte("x")}))
	r, err := reload.FromKafka(t.Context(), options(), k, stream.Deps{}, []string{topic}, time.Time{}, st)
	require.NoError(t, err)
	assert.EqualValues(t, []int64{1001, 1000, 0, 1}, []int64{r.Read, r.Stored, r.Existed, r.Refused})
	require.Len(t, r.Refusals, 1)
	assert.Contains(t, r.Refusals[0].Reason, "ce_id is missing")
	r, err = reload.FromKafka(t.Context(), options(), k, stream.Deps{}, []string{topic}, start.Add(400*time.Second), st)
	require.NoError(t, err)
	assert.EqualValues(t, []int64{0, 600, 400}, []int64{r.Stored, r.Existed, r.Early})
	assert.Equal(t, want(t, 0, 1000), all(t, st))
}

// broken loses the answers from the n-th request on, and ends the run soon after the first that it loses.
type broken struct {
	store.Store
	left atomic.Int64
	end  func()
}

var errBroken = errors.New("broken")

func (b *broken) Index(ctx context.Context, items []store.Item) ([]store.Outcome, error) {
	out, err := b.Store.Index(ctx, items)
	if b.left.Add(-1) < 0 {
		b.end()
		return nil, errBroken
	}
	return out, err
}

func TestAnInterruptedRunGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	k, st := kafka(t, 2000), openSQLite(t)
	path := filepath.Join(t.TempDir(), "state.json")
	read := int64(0)
	for run := range 30 {
		o := options()
		var err error
		o.State, err = reload.OpenState(path, "here")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		b := &broken{Store: st, end: cancel}
		b.left.Store(8)
		r, err := reload.FromKafka(ctx, o, k, stream.Deps{}, []string{topic}, time.Time{}, b)
		cancel()
		read += r.Read
		if err == nil {
			assert.Positive(t, run, "it was interrupted")
			break
		}
	}
	assert.Equal(t, want(t, 0, 2000), all(t, st))
	assert.Less(t, read, int64(2*2000), "what was noted as done is not read again")

	// What came since is read; what was done is not.
	produce(t, k, 2000, 2100)
	o := options()
	var err error
	o.State, err = reload.OpenState(path, "here")
	require.NoError(t, err)
	r, err := reload.FromKafka(t.Context(), o, k, stream.Deps{}, []string{topic}, time.Time{}, st)
	require.NoError(t, err)
	assert.EqualValues(t, []int64{100, 100}, []int64{r.Read, r.Stored})

	_, err = reload.OpenState(path, "elsewhere")
	require.ErrorIs(t, err, reload.ErrOtherTarget)
	require.NoError(t, os.WriteFile(path, []byte(`{"target":"here","offsets":{"`+topic+`":{"0":999999}}}`), 0o600))
	o.State, err = reload.OpenState(path, "here")
	require.NoError(t, err)
	_, err = reload.FromKafka(t.Context(), o, k, stream.Deps{}, []string{topic}, time.Time{}, st)
	require.ErrorContains(t, err, "the state file is ahead of")
}

// lines are documents and, every other one, hits.
func lines(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		it := storetest.Item(storetest.Document(i, start))
		if i%2 == 0 {
			b.Write(it.Body)
		} else {
			hit, err := json.Marshal(map[string]any{"_index": "x", "_id": it.ID, "_source": json.RawMessage(it.Body)})
			require.NoError(t, err)
			b.Write(hit)
		}
		b.WriteString("\n\n")
	}
	return b.Bytes()
}

func TestFromFile(t *testing.T) {
	t.Parallel()
	text := lines(t, 500)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(text)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	for name, file := range map[string][]byte{"plain": text, "gzip": zipped.Bytes()} {
		t.Run(name, func(t *testing.T) {
			st := openSQLite(t)
			r, err := reload.FromFile(t.Context(), options(), name, bytes.NewReader(file), time.Time{}, st)
			require.NoError(t, err)
			assert.EqualValues(t, []int64{1000, 500, 0, 0}, []int64{r.Read, r.Stored, r.Existed, r.Refused})
			assert.Equal(t, want(t, 0, 500), all(t, st), "byte for byte")
			r, err = reload.FromFile(t.Context(), options(), name, bytes.NewReader(file), start.Add(100*time.Second), st)
			require.NoError(t, err)
			assert.EqualValues(t, []int64{0, 400, 100}, []int64{r.Stored, r.Existed, r.Early})
		})
	}
}

func TestALineThatIsNoDocument(t *testing.T) {
	t.Parallel()
	good := strings.Split(strings.TrimSpace(string(lines(t, 10))), "\n\n")
	for name, c := range map[string]struct{ line, says string }{
		"no JSON":      {"oops", "decoding the line"},
		"an array":     {"[]", "decoding the line"},
		"another one":  {`{"a":1}`, "event.id is missing"},
		"no class":     {`{"@timestamp":"2026-11-20T10:00:00Z","event":{"id":"x"}}`, "kubescribe.class: "},
		"two ids":      {strings.Replace(good[1], `"_id":"`, `"_id":"y`, 1), "must be the same"},
		"no timestamp": {`{"event":{"id":"x"},"kubescribe":{"class":"normal"}}`, "@timestamp is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			st := openSQLite(t)
			path := filepath.Join(t.TempDir(), "state.json")
			o := options()
			var err error
			o.State, err = reload.OpenState(path, "here")
			require.NoError(t, err)
			text := strings.Join(append(append(append([]string{}, good[:4]...), c.line), good[4:]...), "\n")
			_, err = reload.FromFile(t.Context(), o, "f", strings.NewReader(text), time.Time{}, st)
			var bad *reload.LineError
			require.ErrorAs(t, err, &bad)
			assert.EqualValues(t, 5, bad.Line)
			require.ErrorContains(t, err, c.says)
			assert.Len(t, all(t, st), 4, "what came before is stored")

			o.State, err = reload.OpenState(path, "here")
			require.NoError(t, err)
			o.SkipBad = true
			r, err := reload.FromFile(t.Context(), o, "f", strings.NewReader(text), time.Time{}, st)
			require.NoError(t, err)
			assert.EqualValues(t, []int64{11, 4, 6, 1}, []int64{r.Read, r.Early, r.Stored, r.Refused})
			require.Len(t, r.Refusals, 1)
			assert.Equal(t, "f:5", r.Refusals[0].At)
			assert.Equal(t, want(t, 0, 10), all(t, st))
		})
	}
}

func TestExpiredDocumentsAreLeftOut(t *testing.T) {
	t.Parallel()
	double := storetest.NewDouble()
	t.Cleanup(double.Close)
	cfg := store.DefaultElasticsearch()
	cfg.Addresses = []string{double.URL}
	st, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	d := storetest.Document(1, start.AddDate(-1, 0, 0))
	d.Kubescribe.Class = schemas.ClassNormal
	text := fmt.Sprintf("%s\n%s\n", storetest.Item(d).Body, storetest.Item(storetest.Document(2, start)).Body)
	r, err := reload.FromFile(t.Context(), options(), "f", strings.NewReader(text), time.Time{}, st)
	require.NoError(t, err)
	assert.EqualValues(t, []int64{1, 1}, []int64{r.Stored, r.Expired})
	assert.Equal(t, 1, double.Count())
}
