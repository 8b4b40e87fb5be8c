package store_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
	"kubescribe/test/stack"
)

var prefixes atomic.Int64

// openElasticsearch opens a store with a prefix of its own, set up and empty, and deletes it after the test.
func openElasticsearch(t *testing.T, url string) opened {
	t.Helper()
	cfg := store.DefaultElasticsearch()
	cfg.Addresses = []string{url}
	cfg.IndexPrefix = fmt.Sprintf("t%d-%d-%d", os.Getpid(), prefixes.Add(1), time.Now().UnixNano())
	s, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	require.NoError(t, s.Setup(t.Context()))
	t.Cleanup(func() {
		for _, index := range indices(t, url, cfg.IndexPrefix) {
			request(t, http.MethodDelete, url+"/"+index, "")
		}
		request(t, http.MethodDelete, url+"/"+cfg.IndexPrefix+"-layout", "")
		require.NoError(t, s.Close())
	})
	refresh := func(t *testing.T) { request(t, http.MethodPost, url+"/"+cfg.IndexPrefix+"-*/_refresh", "") }
	return opened{Store: s, refresh: refresh, prefix: cfg.IndexPrefix, cfg: cfg}
}

func indices(t *testing.T, url, prefix string) []string {
	t.Helper()
	var found []struct{ Index string }
	require.NoError(t, json.Unmarshal(request(t, http.MethodGet, url+"/_cat/indices/"+prefix+"-*?format=json&h=index", ""), &found))
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.Index
	}
	return names
}

func request(t *testing.T, method, url, body string) []byte {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Less(t, res.StatusCode, 300, "%s %s: %s", method, url, answer)
	return answer
}

func TestElasticsearchConforms(t *testing.T) {
	url := stack.SharedElasticsearch(t)
	conformance(t, func(t *testing.T) opened { return openElasticsearch(t, url) })
}

func TestElasticsearchDoubleConforms(t *testing.T) {
	indexing(t, func(t *testing.T) opened {
		d := storetest.NewDouble()
		t.Cleanup(d.Close)
		s, err := store.OpenElasticsearch(doubleConfig(d), stream.Deps{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return opened{Store: s, refresh: func(*testing.T) {}}
	})
}

func doubleConfig(d *storetest.Double) store.ElasticsearchConfig {
	cfg := store.DefaultElasticsearch()
	cfg.Addresses = []string{d.URL}
	return cfg
}
