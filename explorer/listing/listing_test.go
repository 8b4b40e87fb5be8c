package listing_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/explorer/listing"
	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/schemas"
)

var start = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func filled(t *testing.T, docs ...*schemas.Document) store.Store {
	t.Helper()
	st, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "d.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	put(t, st, docs...)
	return st
}

func put(t *testing.T, st store.Store, docs ...*schemas.Document) {
	t.Helper()
	items := make([]store.Item, len(docs))
	for i, d := range docs {
		items[i] = storetest.Item(d)
	}
	out, err := st.Index(t.Context(), items)
	require.NoError(t, err)
	for _, o := range out {
		require.Equal(t, store.Done, o.Verdict, o.Reason)
	}
}

func series(n int) []*schemas.Document {
	docs := make([]*schemas.Document, n)
	for i := range docs {
		docs[i] = storetest.Document(i, start)
	}
	return docs
}

func TestPagesAndLatest(t *testing.T) {
	t.Parallel()
	st := filled(t, series(2500)...)
	for _, c := range []struct {
		limit, want int
		more        bool
	}{{1, 1, true}, {100, 100, true}, {1000, 1000, true}, {1001, 1001, true}, {2500, 2500, false}, {0, 2500, false}, {9999, 2500, false}} {
		var got []store.Hit
		more, err := listing.Pages(t.Context(), st, store.Query{}, c.limit, func(page []store.Hit) error {
			got = append(got, page...)
			return nil
		})
		require.NoError(t, err)
		assert.Len(t, got, c.want)
		assert.Equal(t, c.more, more, "limit %d", c.limit)
		assert.Equal(t, "cluster-uid/1/event-uid-2499/3499", got[0].ID, "newest first")
		oldest, _, err := listing.Latest(t.Context(), st, store.Query{}, c.limit)
		require.NoError(t, err)
		assert.Equal(t, got[0].ID, oldest[len(oldest)-1].ID, "oldest first")
	}
	broken := errors.New("broken")
	_, err := listing.Pages(t.Context(), st, store.Query{}, 0, func([]store.Hit) error { return broken })
	require.ErrorIs(t, err, broken)
}

func show(t *testing.T, f listing.Format, pages ...[]store.Hit) string {
	t.Helper()
	var b bytes.Buffer
	p := listing.NewPrinter(&b, f)
	for _, page := range pages {
		require.NoError(t, p.Print(page))
	}
	require.NoError(t, p.End())
	return b.String()
}

func hits(t *testing.T, docs ...*schemas.Document) []store.Hit {
	t.Helper()
	all, _, err := listing.Latest(t.Context(), filled(t, docs...), store.Query{}, 0)
	require.NoError(t, err)
	return all
}

// What somebody else has written into a message moves no cursor and forges no row.
func TestTerminalsAreSafeFromDocuments(t *testing.T) {
	t.Parallel()
	d := storetest.Document(1, start)
	d.Message = "evil\x1b[2J\x1b]0;title\x07\nkube-system   Normal\tfake\u202e"
	d.Orchestrator.Resource.Name = "web\x1b[31m"
	for _, f := range []listing.Format{listing.Table, listing.Wide} {
		text := show(t, f, hits(t, d))
		assert.Equal(t, 2, strings.Count(text, "\n"), text)
		assert.NotContains(t, text, "\x1b")
		assert.NotContains(t, text, "\x07")
		assert.NotContains(t, text, "\u202e")
		assert.Contains(t, text, "evil [2J ]0;title kube-system Normal fake")
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	gap := storetest.Document(2, start)
	gap.Kubernetes, gap.Service, gap.Kubescribe.Workload = schemas.Kubernetes{}, nil, nil
	gap.Orchestrator.Resource, gap.Event.Action, gap.Kubescribe.Type, gap.Kubescribe.Class = schemas.Resource{}, "Gap", schemas.TypeGap, schemas.ClassGap
	gap.Message = "a, \"quoted\"\nmessage"
	found := hits(t, storetest.Document(1, start), gap)
	stranger := store.Hit{ID: "x", Class: "normal", Time: start, Body: []byte(`{"message":1}`)}

	assert.Equal(t, ""+
		"TIME                   NAMESPACE   TYPE      REASON    OBJECT      MESSAGE\n"+
		"2026-11-20T10:00:01Z   ns-1        Warning   BackOff   pod/web-1   Back-off restarting failed container app in pod web-1_ns-1(uid-1)\n"+
		"2026-11-20T10:00:02Z   -           gap       Gap       -           a, \"quoted\" message\n", show(t, listing.Table, found))
	assert.Contains(t, show(t, listing.Wide, found), "test      ns-1        Warning   BackOff   pod/web-1   3       Deployment/web   node-1   warning   Back-off")
	assert.Contains(t, show(t, listing.Table, []store.Hit{stranger}), "(the document can't be read: ")
	assert.Empty(t, show(t, listing.Table, nil))

	rows, err := csv.NewReader(strings.NewReader(show(t, listing.CSV, found[:1], found[1:]))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3, "one title")
	assert.Equal(t, "message", rows[0][10])
	assert.Equal(t, gap.Message, rows[2][10], "as it was")
	assert.Equal(t, gap.Event.ID, rows[2][11])

	lines := strings.Split(strings.TrimSuffix(show(t, listing.NDJSON, found[:1], found[1:]), "\n"), "\n")
	require.Len(t, lines, 2)
	assert.Equal(t, string(found[0].Body), lines[0], "byte for byte")

	for _, pages := range [][][]store.Hit{{}, {nil}, {nil, found}, {found}, {found[:1], found[1:]}} {
		var answer struct {
			Hits []struct {
				ID       string
				Document schemas.Document
			}
			More bool
		}
		require.NoError(t, json.Unmarshal([]byte(show(t, listing.JSON, pages...)), &answer))
		want := 0
		for _, p := range pages {
			want += len(p)
		}
		require.Len(t, answer.Hits, want)
		if want > 0 {
			assert.Equal(t, gap.Message, answer.Hits[1].Document.Message)
		}
	}
}

// feed is a store whose searches are of what a test has put in; it fails when it is told to.
type feed struct {
	store.Store
	docs []*schemas.Document
	fail error
	asks int
}

func (f *feed) Search(_ context.Context, q store.Query) (store.Page, error) {
	f.asks++
	if f.fail != nil {
		return store.Page{}, f.fail
	}
	var page store.Page
	for i := len(f.docs) - 1; i >= 0; i-- {
		if d := f.docs[i]; !d.Timestamp.Before(q.From) {
			page.Hits = append(page.Hits, store.Hit{ID: d.Event.ID, Time: d.Timestamp})
		}
	}
	return page, nil
}

func TestFollowShowsEachDocumentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		at := func(n int, ago time.Duration) *schemas.Document {
			d := storetest.Document(n, begin)
			d.Timestamp = time.Now().Add(-ago)
			return d
		}
		f := &feed{docs: []*schemas.Document{at(1, 30*time.Second), at(2, 10*time.Second)}}
		var shown, troubles []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- listing.Follow(ctx, f, store.Query{From: begin.Add(-time.Minute)}, 2*time.Second, time.Now, func(hits []store.Hit) error {
				for _, h := range hits {
					shown = append(shown, h.ID)
				}
				return nil
			}, func(err error) { troubles = append(troubles, err.Error()) })
		}()
		id := func(n int) string { return fmt.Sprintf("cluster-uid/1/event-uid-%d/%d", n, 1000+n) }
		synctest.Wait()
		assert.Equal(t, []string{id(1), id(2)}, shown)
		f.docs = append(f.docs, at(3, time.Second))
		time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		assert.Equal(t, []string{id(1), id(2), id(3)}, shown)
		f.fail = errors.New("away")
		time.Sleep(20 * time.Second) //nolint:forbidigo // the bubble's clock
		f.docs = append([]*schemas.Document{at(4, 9*time.Minute)}, f.docs...)
		f.fail = nil
		time.Sleep(time.Hour) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		assert.Equal(t, []string{id(1), id(2), id(3)}, shown, "4 is of before the time that was asked for")
		f.docs = append(f.docs, at(5, 9*time.Minute), at(6, 11*time.Minute))
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		assert.Equal(t, []string{id(1), id(2), id(3), id(5)}, shown, "6 came too late")
		assert.Contains(t, troubles, "away")
		cancel()
		require.NoError(t, <-ended)
		assert.Less(t, f.asks, 2000)
	})
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"pod/web-0": "pod/web-0", "po/web-0": "pod/web-0", "Deploy/web": "deployment/web", "widget/x": "widget/x", "no/n": "node/n",
	} {
		s, err := listing.ParseSubject(text, "shop")
		require.NoError(t, err)
		assert.Equal(t, want, s.Kind+"/"+s.Name)
		_, err = store.ParseExpression(s.Expression(), start)
		require.NoError(t, err, s.Expression())
	}
	for _, text := range []string{"", "web", "pod/", "/x", "a/b/c"} {
		_, err := listing.ParseSubject(text, "")
		require.Error(t, err, text)
	}
	for _, name := range []string{`x" or name:*`, `a\`, `sys:node*`, `(`} {
		s := listing.Subject{Kind: "deployment", Name: name, Namespace: name}
		_, err := store.ParseExpression(s.Expression(), start)
		require.NoError(t, err, s.Expression())
	}
}

func TestATimelineTellsOneStory(t *testing.T) {
	t.Parallel()
	docs := series(12) // in three namespaces, of the deployment web
	docs[3].Orchestrator.Resource = schemas.Resource{Type: "deployment", Name: "web"}
	docs[6].Kubescribe.Workload = nil           // nobody knew the owner
	docs[9].Kubescribe.Workload.Name = "web-2"  // another one's
	docs[0].Orchestrator.Resource.Name = "web2" // its own
	gap := storetest.Document(50, start)
	gap.Kubescribe.Type, gap.Kubernetes.Namespace = schemas.TypeGap, ""
	st := filled(t, append(docs, gap)...)
	story := func(text, namespace string) []int {
		s, err := listing.ParseSubject(text, namespace)
		require.NoError(t, err)
		e, err := store.ParseExpression(s.Expression(), start)
		require.NoError(t, err)
		found, _, err := listing.Latest(t.Context(), st, store.Query{Where: e}, 0)
		require.NoError(t, err)
		var seconds []int
		for _, h := range found {
			seconds = append(seconds, int(h.Time.Sub(start).Seconds()))
		}
		return seconds
	}
	assert.Equal(t, []int{0, 3, 6, 50}, story("deploy/web", "ns-0"))
	assert.Equal(t, []int{4, 50}, story("pod/web-4", "ns-1"))
	assert.Equal(t, []int{50}, story("pod/web-4", "ns-0"))
	assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 50}, story("node/node-1", ""))
}
