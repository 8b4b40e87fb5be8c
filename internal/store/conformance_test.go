package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/schemas"
)

// opened is a store under test, empty.
type opened struct {
	store.Store
	// refresh makes what was indexed visible to searches.
	refresh func(t *testing.T)
	// retain, if set, is one round of deleting what is past its retention.
	retain func(t *testing.T)
	// Of Elasticsearch only.
	prefix string
	cfg    store.ElasticsearchConfig
}

// origin is a Monday, and recent: the test engine's lifecycle deletes what is past its retention within a second.
var origin = schemas.PeriodWeek.Start(time.Now()).AddDate(0, 0, -14)

// conformance is what every store promises.
func conformance(t *testing.T, open func(t *testing.T) opened) {
	indexing(t, open)
	searching(t, open)
	retaining(t, open)
}

// retaining is about age: each class is kept for as long as its retention says. Elasticsearch's lifecycle looks by itself (that of the
// test engine every second; it is not stock ILM, see test/stack), and deletes whole indices by the date in their names.
func retaining(t *testing.T, open func(t *testing.T) opened) {
	t.Run("what is past its retention goes, and what isn't stays", func(t *testing.T) {
		s := open(t)
		old, recent, gap := storetest.Document(1, origin.AddDate(0, 0, -200)), storetest.Document(2, origin), storetest.Document(3, origin.AddDate(0, 0, -200))
		gap.Kubescribe.Class = schemas.ClassGap
		for _, d := range []*schemas.Document{old, recent, gap} {
			out, err := s.Index(t.Context(), []store.Item{storetest.Item(d)})
			require.NoError(t, err)
			require.Equal(t, store.Done, out[0].Verdict, out[0].Reason)
			assert.Equal(t, d == old, s.DeletedAt(d.Kubescribe.Class, d.Timestamp).Before(time.Now()))
		}
		require.Eventually(t, func() bool {
			if s.retain != nil {
				s.retain(t)
			}
			s.refresh(t)
			page, err := s.Search(t.Context(), store.Query{Text: "restarting"})
			return err == nil && len(page.Hits) == 2 && page.Hits[0].ID == recent.Event.ID && page.Hits[1].ID == gap.Event.ID
		}, 90*time.Second, 200*time.Millisecond)
		// A replay of it is taken: nothing has become read-only.
		out, err := s.Index(t.Context(), []store.Item{storetest.Item(old), storetest.Item(recent)})
		require.NoError(t, err)
		assert.Equal(t, []store.Outcome{{Verdict: store.Done}, {Verdict: store.Done, Existed: true}}, out)
	})
}

// indexing is the part that needs no query but a count of everything.
func indexing(t *testing.T, open func(t *testing.T) opened) {
	ctx := t.Context()
	count := func(t *testing.T, s opened) int64 {
		t.Helper()
		s.refresh(t)
		n, err := s.Count(ctx, store.Query{})
		require.NoError(t, err)
		return n
	}

	t.Run("setup twice is setup once", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.Setup(ctx))
		require.NoError(t, s.Setup(ctx))
		assert.EqualValues(t, 0, count(t, s))
	})

	t.Run("a repeated document is done and there once", func(t *testing.T) {
		s := open(t)
		items := storetest.Items(50, origin)
		for _, existed := range []bool{false, true, true} {
			out, err := s.Index(ctx, items)
			require.NoError(t, err)
			require.Len(t, out, len(items))
			for _, o := range out {
				assert.Equal(t, store.Outcome{Verdict: store.Done, Existed: existed}, o)
			}
			assert.EqualValues(t, 50, count(t, s))
		}
	})

	t.Run("a document that is twice in one request is there once", func(t *testing.T) {
		s := open(t)
		items := storetest.Items(3, origin)
		out, err := s.Index(ctx, append(items, items...))
		require.NoError(t, err)
		for i, o := range out {
			assert.Equal(t, store.Outcome{Verdict: store.Done, Existed: i >= 3}, o)
		}
		assert.EqualValues(t, 3, count(t, s))
	})

	t.Run("writers that overlap repeat nothing", func(t *testing.T) {
		s := open(t)
		items := storetest.Items(200, origin)
		var all sync.WaitGroup
		created := make([]int, 4)
		for w := range created {
			all.Go(func() {
				mine := append([]store.Item(nil), items...)
				rand.New(rand.NewPCG(1, uint64(w))).Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
				for part := range 4 {
					out, err := s.Index(ctx, mine[part*50:(part+1)*50])
					assert.NoError(t, err)
					for _, o := range out {
						assert.Equal(t, store.Done, o.Verdict)
						if !o.Existed {
							created[w]++
						}
					}
				}
			})
		}
		all.Wait()
		assert.EqualValues(t, 200, count(t, s))
		assert.Equal(t, 200, created[0]+created[1]+created[2]+created[3], "each document is created by one writer")
	})

	t.Run("a bad document is poison and its neighbours are done", func(t *testing.T) {
		s := open(t)
		good := storetest.Items(20, origin)
		bad := badItems()
		items := append([]store.Item(nil), good[:10]...)
		for _, b := range bad {
			items = append(items, b.item)
		}
		items = append(items, good[10:]...)
		out, err := s.Index(ctx, items)
		require.NoError(t, err)
		for i, o := range out {
			if i < 10 || i >= 10+len(bad) {
				assert.Equal(t, store.Outcome{Verdict: store.Done}, o)
				continue
			}
			b := bad[i-10]
			assert.Equal(t, store.Poison, o.Verdict, b.name)
			assert.NotEmpty(t, o.Reason, b.name)
			assert.Contains(t, o.Reason, b.reason, b.name)
		}
		assert.EqualValues(t, 20, count(t, s))
	})

	t.Run("only bad documents", func(t *testing.T) {
		s := open(t)
		out, err := s.Index(ctx, []store.Item{badItems()[0].item})
		require.NoError(t, err)
		assert.Equal(t, store.Poison, out[0].Verdict)
	})

	t.Run("nothing to index", func(t *testing.T) {
		out, err := open(t).Index(ctx, nil)
		require.NoError(t, err)
		assert.Empty(t, out)
	})

	t.Run("line breaks in a document do not break the request", func(t *testing.T) {
		s := open(t)
		items := storetest.Items(3, origin)
		pretty, err := json.MarshalIndent(json.RawMessage(items[1].Body), "", "\t")
		require.NoError(t, err)
		items[1].Body = append(pretty, "\r\n"...)
		out, err := s.Index(ctx, items)
		require.NoError(t, err)
		assert.Equal(t, make([]store.Outcome, 3), out)
		assert.EqualValues(t, 3, count(t, s))
	})

	t.Run("ids with every character", func(t *testing.T) {
		s := open(t)
		ids := []string{`quote"`, `back\slash`, "tab\tand\nline", "grün/日本", " blank ", strings.Repeat("x", schemas.MaxIDBytes), "\u2028", "_under"}
		items := storetest.Items(len(ids), origin)
		for i, id := range ids {
			d := storetest.Document(i, origin)
			d.Event.ID = id
			items[i] = storetest.Item(d)
		}
		for _, existed := range []bool{false, true} {
			out, err := s.Index(ctx, items)
			require.NoError(t, err)
			for i, o := range out {
				assert.Equal(t, store.Outcome{Verdict: store.Done, Existed: existed}, o, "%q", ids[i])
			}
		}
		assert.EqualValues(t, len(ids), count(t, s))
	})

	t.Run("a cancelled request is an error and no refusal", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		_, err := s.Index(ctx, storetest.Items(1, origin))
		require.Error(t, err)
		assert.False(t, store.IsRefused(err))
	})
}

type badItem struct {
	name, reason string
	item         store.Item
}

func badItems() []badItem {
	base := storetest.Item(storetest.Document(500, origin))
	with := func(change func(*store.Item)) store.Item {
		it := base
		change(&it)
		return it
	}
	body := func(b string) store.Item { return with(func(it *store.Item) { it.Body = []byte(b) }) }
	return []badItem{
		{"no body", "empty", body("")},
		{"blanks", "empty", body(" \n ")},
		{"an array", "no JSON object", body(`[{}]`)},
		{"null", "no JSON object", body(`null`)},
		{"cut off", "", body(`{"@timestamp":"2026-06-01T00:00:00Z","message":"abc`)},
		{"a second action smuggled in", "", body("{}\n{\"delete\":{\"_index\":\"kubescribe-warning-2026.06.01\",\"_id\":\"x\"}}")},
		{"a line break inside a string", "", body("{\"message\":\"a\nb\"}")},
		{"an object where a text belongs", "", body(`{"@timestamp":"2026-06-01T00:00:00Z","message":{"a":1}}`)},
		{"a time that is none", "", body(`{"@timestamp":"yesterday"}`)},
		{"not UTF-8", "", body("{\"@timestamp\":\"2026-06-01T00:00:00Z\",\"message\":\"\xff\xfe\"}")},
		{"no id", "the id is empty", with(func(it *store.Item) { it.ID = "" })},
		{"a long id", "513 bytes", with(func(it *store.Item) { it.ID = strings.Repeat("x", schemas.MaxIDBytes+1) })},
		{"an id that is not UTF-8", "UTF-8", with(func(it *store.Item) { it.ID = "\xff" })},
		{"no class", "retention class", with(func(it *store.Item) { it.Class = "" })},
		{"a class that leaves the pattern", "retention class", with(func(it *store.Item) { it.Class = "x-2026,*" })},
		{"no time", "1970", with(func(it *store.Item) { it.Time = time.Time{} })},
		{"a time after all", "1970", with(func(it *store.Item) { it.Time = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) })},
	}
}

// searching is the part about queries. Its documents span three classes and periods, with ties in time down to the nanosecond.
func searching(t *testing.T, open func(t *testing.T) opened) {
	ctx := t.Context()
	s := open(t)
	docs := searchable()
	items := make([]store.Item, len(docs))
	for i, d := range docs {
		items[i] = storetest.Item(d)
	}
	rand.New(rand.NewPCG(7, 7)).Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	out, err := s.Index(ctx, items)
	require.NoError(t, err)
	require.Equal(t, make([]store.Outcome, len(items)), out)
	s.refresh(t)

	for _, c := range queries() {
		t.Run(c.name, func(t *testing.T) {
			want := expected(docs, c.q, c.holds)
			require.NotEqual(t, c.none, len(want) > 0, "the case itself")
			all := c.q
			all.Limit = store.MaxLimit
			page, err := s.Search(ctx, all)
			require.NoError(t, err)
			assert.Equal(t, want, ids(page.Hits))
			assert.Empty(t, page.Next)
			n, err := s.Count(ctx, c.q)
			require.NoError(t, err)
			assert.EqualValues(t, len(want), n)
			for _, limit := range []int{1, 3, 7} {
				assert.Equal(t, want, walk(t, s, c.q, limit), "in pages of %d", limit)
			}
		})
	}

	t.Run("expressions", func(t *testing.T) { expressions(t, s, docs) })

	t.Run("a hit is the document as it was", func(t *testing.T) {
		byID := map[string]store.Item{}
		for _, it := range items {
			byID[it.ID] = it
		}
		page, err := s.Search(ctx, store.Query{Limit: store.MaxLimit})
		require.NoError(t, err)
		require.Len(t, page.Hits, len(items))
		for _, h := range page.Hits {
			want := byID[h.ID]
			assert.Equal(t, want.Class, h.Class)
			assert.Equal(t, want.Time, h.Time)
			assert.Equal(t, string(want.Body), string(h.Body))
		}
	})

	t.Run("the default limit", func(t *testing.T) {
		page, err := s.Search(ctx, store.Query{})
		require.NoError(t, err)
		assert.Len(t, page.Hits, store.DefaultLimit)
		assert.NotEmpty(t, page.Next)
	})

	t.Run("a page stays where it was when newer documents come in", func(t *testing.T) {
		first, err := s.Search(ctx, store.Query{Limit: 5})
		require.NoError(t, err)
		before, err := s.Search(ctx, store.Query{Limit: 5, After: first.Next})
		require.NoError(t, err)
		newer := storetest.Item(storetest.Document(9000, origin.AddDate(0, 2, 0)))
		_, err = s.Index(ctx, []store.Item{newer})
		require.NoError(t, err)
		s.refresh(t)
		after, err := s.Search(ctx, store.Query{Limit: 5, After: first.Next})
		require.NoError(t, err)
		assert.Equal(t, before, after)
	})

	t.Run("a bad query is refused before it is asked", func(t *testing.T) {
		for _, q := range []store.Query{
			{Limit: -1},
			{Limit: store.MaxLimit + 1},
			{After: "x"},
			{Text: "…"},
			{From: origin, To: origin},
			{Filters: []store.Filter{{Field: "nope", Values: []string{"x"}}}},
			{Filters: []store.Filter{{Field: "1=1; --", Values: []string{"x"}}}},
			{Filters: []store.Filter{{Field: "name"}}},
		} {
			_, err := s.Search(ctx, q)
			var qe *store.QueryError
			require.ErrorAs(t, err, &qe)
			_, err = s.Count(ctx, q)
			require.ErrorAs(t, err, &qe)
		}
	})
}

func ids(hits []store.Hit) []string {
	all := make([]string, len(hits))
	for i, h := range hits {
		all[i] = h.ID
	}
	return all
}

// walk pages through q until the end.
func walk(t *testing.T, s store.Store, q store.Query, limit int) []string {
	t.Helper()
	found := []string{}
	q.Limit = limit
	for range 1000 {
		page, err := s.Search(t.Context(), q)
		require.NoError(t, err)
		found = append(found, ids(page.Hits)...)
		if page.Next == "" {
			return found
		}
		require.Len(t, page.Hits, limit)
		q.After = page.Next
	}
	t.Fatal("the pages have no end")
	return nil
}

var messages = []string{
	"Back-off restarting failed container app",
	"Pulling image \"registry.example.com/team/app:v1.2\"",
	"Failed to pull image: 10.0.0.1:443: i/o timeout",
	"Größe überschritten: ÄÖÜ",
	"メモリ不足 OOM killed",
	"snake_case and kebab-case and CamelCase",
	"it's 1,000.5 of don't",
	"quote \" star * NEAR(a b) AND OR NOT col:x",
	"",
}

// searchable is the corpus: 180 documents.
func searchable() []*schemas.Document {
	var docs []*schemas.Document
	kinds := []string{"pod", "node", "deployment"}
	reasons := []string{"BackOff", "Pulled", "Killing", "BackOff"}
	classes := []string{schemas.ClassNormal, schemas.ClassWarning, "audit_x"}
	for n := range 180 {
		d := storetest.Document(n, origin)
		// Six documents share each instant; instants are a nanosecond, a millisecond or nine hours apart.
		steps := []time.Duration{0, 1, time.Millisecond}
		d.Timestamp = origin.Add(time.Duration(n/18)*9*time.Hour + steps[n/6%3])
		d.Message = messages[n%len(messages)]
		d.Kubescribe.Class = classes[n%3]
		d.Event.Action = reasons[n%4]
		d.Orchestrator.Resource.Type = kinds[n%3]
		d.Orchestrator.Cluster.Name = fmt.Sprintf("c%d", n%2)
		d.Kubernetes.Labels = map[string]string{"app": fmt.Sprintf("app-%d", n%4), "app.kubernetes.io/name": "web"}
		d.Kubernetes.Event.Count = int64(n % 9)
		if n%7 == 0 {
			d.Kubernetes.Labels["team"] = "a*b?[c]"
		}
		if n%5 == 0 {
			d.Kubernetes.Namespace, d.Service, d.Kubescribe.Workload, d.Kubernetes.Event, d.Kubernetes.Node = "", nil, nil, nil, nil
			d.Kubescribe.Type = schemas.TypeGap
		}
		docs = append(docs, d)
	}
	return docs
}
