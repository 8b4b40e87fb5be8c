package explorer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/explorer"
	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
)

var start = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// serve runs an explorer over st and gives its address; it must stop cleanly.
func serve(t *testing.T, st store.Store) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	address, ended := make(chan string, 1), make(chan error, 1)
	cfg := explorer.Default()
	cfg.Listen, cfg.Ready = "127.0.0.1:0", func(addr string) { address <- addr }
	go func() {
		ended <- explorer.Run(ctx, cfg, stream.Deps{Now: func() time.Time { return start.Add(time.Hour) }}, st)
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	select {
	case a := <-address:
		return "http://" + a
	case err := <-ended:
		t.Fatal(err)
	}
	return ""
}

func filled(t *testing.T) store.Store {
	t.Helper()
	st, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "d.db"))
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	_, err = st.Index(t.Context(), storetest.Items(300, start))
	require.NoError(t, err)
	return st
}

func get(t *testing.T, url string, to any) *http.Response {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.NoError(t, json.Unmarshal(body, to), "%s", body)
	return res
}

type page struct {
	Hits []struct {
		ID, Class string
		Time      time.Time
		Document  struct {
			Message string
			Event   struct{ ID string }
		}
	}
	Next  string
	Error struct {
		Message string
		Fields  map[string]string
	}
	Count int64
}

func TestSearchPagesThroughWhatMatches(t *testing.T) {
	base := serve(t, filled(t))
	seen := map[string]bool{}
	last := start.AddDate(1, 0, 0)
	after := ""
	for pages := 1; ; pages++ {
		var p page
		get(t, base+"/api/v1/search?namespace=ns-1&type=Warning&from=1h&limit=30&after="+url.QueryEscape(after), &p)
		for _, h := range p.Hits {
			require.False(t, seen[h.ID], "%s twice", h.ID)
			seen[h.ID] = true
			assert.Equal(t, h.ID, h.Document.Event.ID)
			assert.Equal(t, "warning", h.Class)
			assert.False(t, h.Time.After(last))
			last = h.Time
		}
		if p.Next == "" {
			assert.Equal(t, 4, pages)
			break
		}
		after = p.Next
	}
	assert.Len(t, seen, 100)
	var p page
	get(t, base+"/api/v1/count?namespace=ns-1&namespace=ns-2", &p)
	assert.EqualValues(t, 200, p.Count)
	p = page{}
	get(t, base+"/api/v1/search?q=RESTARTING+web&name=web-7", &p)
	require.Len(t, p.Hits, 1)
	assert.Contains(t, p.Hits[0].Document.Message, "web-7_ns-1")
	p = page{}
	get(t, base+"/api/v1/search?q=nothing", &p)
	assert.NotNil(t, p.Hits, "an empty list is a list")
	assert.Empty(t, p.Hits)
}

func TestErrorsNameTheParameters(t *testing.T) {
	base := serve(t, filled(t))
	for path, fields := range map[string][]string{
		"/api/v1/search?limit=5000&from=x": {"limit", "from"},
		"/api/v1/search?pod=x":             {"pod"},
		"/api/v1/search?after=x":           {"after"},
		"/api/v1/count?limit=5":            {"limit"},
	} {
		var p page
		res := get(t, base+path, &p)
		assert.Equal(t, http.StatusBadRequest, res.StatusCode, path)
		for _, f := range fields {
			assert.Contains(t, p.Error.Fields, f, path)
		}
	}
	var p page
	assert.Equal(t, http.StatusNotFound, get(t, base+"/api/v1/nope", &p).StatusCode)
	assert.NotEmpty(t, p.Error.Message)
}

// The store must not change whatever is sent.
func TestThereIsNoWayToWrite(t *testing.T) {
	base := serve(t, readOnlyStore{filled(t), t})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "INDEX"} {
		for _, path := range []string{"/", "/api/v1/search", "/api/v1/count", "/healthz", "/x"} {
			req, err := http.NewRequest(method, base+path, strings.NewReader(`{}`))
			require.NoError(t, err)
			res, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			res.Body.Close()
			assert.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, "%s %s", method, path)
		}
	}
}

type readOnlyStore struct {
	store.Store
	t *testing.T
}

func (s readOnlyStore) Index(context.Context, []store.Item) ([]store.Outcome, error) {
	s.t.Error("the explorer writes")
	return nil, errors.New("no")
}

func (s readOnlyStore) Setup(context.Context) error {
	s.t.Error("the explorer sets the store up")
	return errors.New("no")
}

func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	base := serve(t, filled(t))
	res, err := http.Get(base + "/")
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Contains(t, res.Header.Get("Content-Type"), "text/html")
	policy := res.Header.Get("Content-Security-Policy")
	assert.Contains(t, policy, "default-src 'none'")
	assert.NotContains(t, policy, "unsafe")
	for _, never := range []string{"<script", "http://", "https://", "style=", "src="} {
		assert.NotContains(t, string(body), never)
	}
	for _, f := range store.Fields() {
		assert.Contains(t, string(body), "<code>"+f.Name+"</code>")
	}
	var health map[string]string
	get(t, base+"/healthz", &health)
	assert.Equal(t, "ok", health["status"])
	// Every link on the page works.
	for _, part := range strings.Split(string(body), `href="`)[1:] {
		link, _, _ := strings.Cut(part, `"`)
		var p page
		assert.Equal(t, http.StatusOK, get(t, base+strings.ReplaceAll(link, "&amp;", "&"), &p).StatusCode, link)
	}
}

func TestAnotherNameThatPointsHereIsRefused(t *testing.T) {
	base := serve(t, filled(t))
	for host, want := range map[string]int{
		"evil.example": 403, "evil.example:8484": 403, "localhost.evil.example": 403, "10.0.0.1": 403,
		"localhost": 200, "LOCALHOST:1": 200, "127.0.0.1:99": 200, "[::1]:5": 200,
	} {
		req, err := http.NewRequest(http.MethodGet, base+"/healthz", nil)
		require.NoError(t, err)
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		res.Body.Close()
		assert.Equal(t, want, res.StatusCode, host)
	}
}

type broken struct {
	store.Store
	err error
}

func (b broken) Search(ctx context.Context, _ store.Query) (store.Page, error) {
	return store.Page{}, b.err
}

func TestAStoreThatFailsIsSaidSoWithoutItsSecrets(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("dial tcp 10.1.2.3:9200: connection refused"), http.StatusServiceUnavailable},
		{fmt.Errorf("searching 10.1.2.3: %w", context.DeadlineExceeded), http.StatusGatewayTimeout},
	} {
		base := serve(t, broken{err: c.err})
		var p page
		assert.Equal(t, c.want, get(t, base+"/api/v1/search", &p).StatusCode)
		assert.NotEmpty(t, p.Error.Message)
		assert.NotContains(t, p.Error.Message, "10.1.2.3")
	}
}

func TestRunRefusesWhatItCannotServe(t *testing.T) {
	err := explorer.Run(t.Context(), explorer.Config{Listen: "nowhere"}, stream.Deps{}, nil)
	require.ErrorContains(t, err, "explorer.listen")
	require.ErrorContains(t, err, "explorer.query_timeout")
	base := serve(t, filled(t))
	cfg := explorer.Default()
	cfg.Listen = strings.TrimPrefix(base, "http://")
	require.ErrorContains(t, explorer.Run(t.Context(), cfg, stream.Deps{}, nil), "listening")
}
