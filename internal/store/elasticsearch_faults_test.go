package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
)

func openDouble(t *testing.T) (*storetest.Double, *store.Elasticsearch) {
	t.Helper()
	d := storetest.NewDouble()
	t.Cleanup(d.Close)
	s, err := store.OpenElasticsearch(doubleConfig(d), stream.Deps{})
	require.NoError(t, err)
	return d, s
}

func verdicts(out []store.Outcome) map[store.Verdict]int {
	n := map[store.Verdict]int{}
	for _, o := range out {
		n[o.Verdict]++
	}
	return n
}

func TestFaultsOfWholeRequests(t *testing.T) {
	items := storetest.Items(20, origin)
	for _, c := range []struct {
		name    string
		fault   func(d *storetest.Double) storetest.Fault
		refused bool
		err     string
	}{
		{"429", func(*storetest.Double) storetest.Fault {
			return storetest.Answer(429, "es_rejected_execution_exception", "busy")
		}, false, "429 es_rejected_execution_exception: busy"},
		{"502", func(*storetest.Double) storetest.Fault { return storetest.Answer(502, "", "") }, false, "502"},
		{"503", func(*storetest.Double) storetest.Fault { return storetest.Answer(503, "unavailable", "x") }, false, "503"},
		{"504", func(*storetest.Double) storetest.Fault { return storetest.Answer(504, "", "") }, false, "504"},
		{"no master", func(*storetest.Double) storetest.Fault {
			return storetest.Answer(503, "cluster_block_exception", "no master")
		}, false, "503"},
		{"reset in mid-answer", func(d *storetest.Double) storetest.Fault { return d.Cut }, false, "reading Elasticsearch's answer"},
		{"401", func(*storetest.Double) storetest.Fault {
			return storetest.Answer(401, "security_exception", "unable to authenticate")
		}, true, "401 security_exception"},
		{"403", func(*storetest.Double) storetest.Fault { return storetest.Answer(403, "security_exception", "x") }, true, "403"},
		{"404", func(*storetest.Double) storetest.Fault { return storetest.Answer(404, "", "") }, true, "404"},
		{"a disk that is full", func(*storetest.Double) storetest.Fault {
			return storetest.Answer(429, "cluster_block_exception", "flood-stage")
		}, true, "flood-stage"},
		{"a log-in page", func(*storetest.Double) storetest.Fault {
			return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				w.Write([]byte("<html>please log in"))
				return true
			}
		}, false, "not Elasticsearch's"},
		{"another product", func(*storetest.Double) storetest.Fault {
			return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				w.Header().Del("X-Elastic-Product")
				return false
			}
		}, true, "not Elasticsearch's"},
		{"an answer for fewer", func(*storetest.Double) storetest.Fault {
			return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				w.Write([]byte(`{"errors":false,"items":[{"create":{"status":201}}]}`))
				return true
			}
		}, false, "1 items for 20"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, s := openDouble(t)
			d.Inject(c.fault(d))
			_, err := s.Index(t.Context(), items)
			require.ErrorContains(t, err, c.err)
			assert.Equal(t, c.refused, store.IsRefused(err))
			out, err := s.Index(t.Context(), items)
			require.NoError(t, err)
			assert.Equal(t, map[store.Verdict]int{store.Done: 20}, verdicts(out))
			assert.Equal(t, 20, d.Count())
		})
	}
}

func TestTooLargeARequestIsSplitDownToOneDocument(t *testing.T) {
	d, s := openDouble(t)
	items := storetest.Items(33, origin)
	huge := storetest.Document(100, origin)
	huge.Message = strings.Repeat("x", 50_000)
	items = append(items[:20], append([]store.Item{storetest.Item(huge)}, items[20:]...)...)
	faults := make([]storetest.Fault, 100)
	for i := range faults {
		faults[i] = storetest.TooLarge(10_000)
	}
	d.Inject(faults...)
	out, err := s.Index(t.Context(), items)
	require.NoError(t, err)
	for i, o := range out {
		if i == 20 {
			assert.Equal(t, store.Poison, o.Verdict)
			assert.Contains(t, o.Reason, "too large")
			continue
		}
		assert.Equal(t, store.Done, o.Verdict)
	}
	assert.Equal(t, 33, d.Count())
}

// A document that makes Elasticsearch reject every request that it is part of must not block the others for ever.
func TestOneDocumentThatSpoilsTheRequestIsFound(t *testing.T) {
	d, s := openDouble(t)
	items := storetest.Items(31, origin)
	spoiled := func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if !bytes.Contains(body, []byte(items[13].ID)) {
			return false
		}
		return storetest.Answer(400, "illegal_argument_exception", "cannot take it")(w, r, body)
	}
	faults := make([]storetest.Fault, 100)
	for i := range faults {
		faults[i] = spoiled
	}
	d.Inject(faults...)
	out, err := s.Index(t.Context(), items)
	require.NoError(t, err)
	assert.Equal(t, map[store.Verdict]int{store.Done: 30, store.Poison: 1}, verdicts(out))
	assert.Contains(t, out[13].Reason, "cannot take it")

	d.RefuseBulk(true, 400, "illegal_argument_exception", "cannot take it")
	_, err = s.Index(t.Context(), items)
	require.ErrorContains(t, err, "rejects every document")
	assert.True(t, store.IsRefused(err), "what hits all documents is not their fault")
}

func TestARequestGoesToANodeThatAnswers(t *testing.T) {
	d, _ := openDouble(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	cfg := doubleConfig(d)
	cfg.Addresses = []string{gone.URL, d.URL}
	s, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	for range 4 {
		_, err := s.Index(t.Context(), storetest.Items(2, origin))
		require.NoError(t, err)
	}
	assert.Equal(t, 2, d.Count())
}

func TestARequestEndsWithItsTimeout(t *testing.T) {
	d, _ := openDouble(t)
	cfg := doubleConfig(d)
	cfg.RequestTimeout = time.Second
	s, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	d.Inject(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool { <-r.Context().Done(); return true })
	_, err = s.Index(t.Context(), storetest.Items(1, origin))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.False(t, store.IsRefused(err))
}

// Credentials are read at each request: a rotated one needs no restart, and one that is gone is a refusal, not a crash.
func TestCredentialsAreReadAtEachRequest(t *testing.T) {
	var got atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("Authorization"))
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Write([]byte(`{"count":0,"_shards":{"failed":0}}`))
	}))
	defer srv.Close()
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte("one\n"), 0o600))
	cfg := store.DefaultElasticsearch()
	cfg.Addresses, cfg.APIKeyFile = []string{srv.URL}, key
	s, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	count := func() error { _, err := s.Count(t.Context(), store.Query{}); return err }
	require.NoError(t, count())
	assert.Equal(t, "ApiKey one", got.Load())
	require.NoError(t, os.WriteFile(key, []byte("two"), 0o600))
	require.NoError(t, count())
	assert.Equal(t, "ApiKey two", got.Load())
	require.NoError(t, os.Remove(key))
	err = count()
	require.ErrorContains(t, err, "api_key_file")
	assert.True(t, store.IsRefused(err))

	cfg.APIKeyFile, cfg.Username, cfg.Password = "", "elastic", "secret"
	s, err = store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	require.NoError(t, count())
	assert.Equal(t, "Basic ZWxhc3RpYzpzZWNyZXQ=", got.Load())
}

func TestACertificateThatIsNotTrustedIsARefusal(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	cfg := store.DefaultElasticsearch()
	cfg.Addresses = []string{srv.URL}
	s, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	err = s.Setup(t.Context())
	require.ErrorContains(t, err, "certificate")
	assert.True(t, store.IsRefused(err))
}

func TestSetupLeavesWhatSomebodyChanged(t *testing.T) {
	d, _ := openDouble(t)
	var log bytes.Buffer
	s, err := store.OpenElasticsearch(doubleConfig(d), stream.Deps{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	require.NoError(t, err)
	require.NoError(t, s.Setup(t.Context()))
	require.NoError(t, s.Setup(t.Context()))
	assert.Empty(t, log.String())

	const path = "/_index_template/kubescribe"
	mine := `{"index_patterns":["kubescribe-*"],"template":{"settings":{"index":{"number_of_shards":7}}}}`
	d.Configure(path, mine)
	require.NoError(t, s.Setup(t.Context()))
	assert.JSONEq(t, mine, string(d.Configuration()[path]))
	var line map[string]any
	require.NoError(t, json.Unmarshal(log.Bytes(), &line), "one warning: %s", log.String())
	assert.Equal(t, "kubescribe", line["name"])
}

func TestSetupThatIsForbidden(t *testing.T) {
	d, s := openDouble(t)
	d.Forbid(true)
	err := s.Setup(t.Context())
	require.ErrorContains(t, err, "kubescribe indexer setup")
	assert.True(t, store.IsRefused(err))

	// Somebody who may has run it, and documents are there: the indices show it.
	d.Forbid(false)
	require.NoError(t, s.Setup(t.Context()))
	_, err = s.Index(t.Context(), storetest.Items(1, origin))
	require.NoError(t, err)
	d.Forbid(true)
	require.NoError(t, s.Setup(t.Context()))
}

func TestSetupInAnOutageIsNoRefusal(t *testing.T) {
	d, s := openDouble(t)
	d.Close()
	err := s.Setup(t.Context())
	require.Error(t, err)
	assert.False(t, store.IsRefused(err))
}

func TestConfigNamesEveryProblemAndNoSecret(t *testing.T) {
	require.NoError(t, store.DefaultElasticsearch().Validate())
	cfg := store.ElasticsearchConfig{
		Addresses: []string{"localhost:9200", "https://me:hunter2@h:9200"}, Username: "me", APIKey: "hunter2", APIKeyFile: "/nowhere",
		CAFile: "/nowhere", IndexPrefix: "Bad*", Period: "year", Retention: store.Retention{Default: 90 * time.Minute, Classes: map[string]time.Duration{"A-b": time.Hour}},
	}
	err := cfg.Validate()
	for _, key := range []string{
		"addresses", "credentials in it", "api_key_file are both set", "keep one kind", "username and a password", "ca_file", "request_timeout", "index_prefix", "period",
		"retention.default", "retention.classes", "shards",
	} {
		require.ErrorContains(t, err, key)
	}
	assert.NotContains(t, err.Error(), "hunter2")
	b, err := json.Marshal(cfg.APIKey)
	require.NoError(t, err)
	assert.NotContains(t, string(b), "hunter2")
}
