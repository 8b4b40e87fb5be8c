package store_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// roles are those of deploy/elasticsearch/README.md.
const roles = `
kubescribe_indexer:
  indices: [{names: ['kubescribe-*'], privileges: [create_doc, auto_configure, view_index_metadata]}]
kubescribe_explorer:
  indices: [{names: ['kubescribe-*'], privileges: [read, view_index_metadata]}]
only_write:
  indices: [{names: ['theirs-*'], privileges: [create_doc, auto_configure]}]
kubescribe_setup:
  cluster: [manage_ilm, manage_index_templates]
  indices: [{names: ['kubescribe-*'], privileges: [create_index, manage, view_index_metadata]}]
`

// stock is a stock server with those roles.
type stock struct {
	*stack.StockElasticsearch
	cfg store.ElasticsearchConfig // without credentials
	now time.Time
}

func startStock(t *testing.T) *stock {
	t.Helper()
	stack.Need(t, stack.PartElasticsearch)
	server, err := stack.StartStockElasticsearch(t.Context(), roles, "kubescribe_indexer",
		stack.StockUser{Name: "indexer", Password: "indexer-secret", Role: "kubescribe_indexer"},
		stack.StockUser{Name: "explorer", Password: "explorer-secret", Role: "kubescribe_explorer"},
		stack.StockUser{Name: "writer", Password: "writer-secret", Role: "only_write"},
		stack.StockUser{Name: "setup", Password: "setup-secret", Role: "kubescribe_setup"},
		stack.StockUser{Name: "elastic/fleet-server", Password: "token-secret"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	s := &stock{StockElasticsearch: server, cfg: store.DefaultElasticsearch(), now: time.Now()}
	s.cfg.Addresses, s.cfg.CAFile = []string{server.URL}, server.CAFile
	return s
}

func (s *stock) open(t *testing.T, change func(*store.ElasticsearchConfig)) *store.Elasticsearch {
	t.Helper()
	cfg := s.cfg
	change(&cfg)
	st, err := store.OpenElasticsearch(cfg, stream.Deps{Now: func() time.Time { return s.now }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

func as(name string) func(*store.ElasticsearchConfig) {
	return func(c *store.ElasticsearchConfig) { c.Username, c.Password = name, stream.Secret(name+"-secret") }
}

// setUp does what `indexer setup` does, as the user setup, but for what this server has no module of: policies.
func (s *stock) setUp(t *testing.T) {
	t.Helper()
	s.putTemplates(t, s.cfg)
	require.NoError(t, s.open(t, as("setup")).CreateLayout(t.Context()))
}

func (s *stock) putTemplates(t *testing.T, cfg store.ElasticsearchConfig) {
	t.Helper()
	ca, err := os.ReadFile(s.CAFile)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	templates, err := store.Templates(cfg)
	require.NoError(t, err)
	for _, tpl := range templates {
		if tpl.Kind == "ILM policy" {
			continue
		}
		b, err := json.Marshal(tpl.Body)
		require.NoError(t, err)
		var body map[string]any
		require.NoError(t, json.Unmarshal(b, &body))
		if settings, ok := body["template"].(map[string]any)["settings"].(map[string]any); ok {
			delete(settings["index"].(map[string]any), "lifecycle")
		}
		b, err = json.Marshal(body)
		require.NoError(t, err)
		req, err := http.NewRequest(http.MethodPut, s.URL+tpl.Path(), strings.NewReader(string(b)))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth("setup", "setup-secret")
		res, err := client.Do(req)
		require.NoError(t, err)
		answer, err := io.ReadAll(res.Body)
		res.Body.Close()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode, "%s: %s", tpl.Path(), answer)
	}
}

func TestSecurityOfTheStockServer(t *testing.T) {
	s := startStock(t)
	refused := func(t *testing.T, err error, why string) {
		t.Helper()
		require.ErrorContains(t, err, why)
		assert.True(t, store.IsRefused(err), "%v", err)
	}
	t.Run("before the setup the indexer's user is told who must run it", func(t *testing.T) {
		refused(t, s.open(t, as("indexer")).Setup(t.Context()), "kubescribe indexer setup")
	})
	s.setUp(t)
	t.Run("the setup's privileges are enough to record a change of the period", func(t *testing.T) {
		// Elsewhere than the indexer's: this server has no ILM for the rest of a setup to look at.
		st := s.open(t, func(c *store.ElasticsearchConfig) { as("setup")(c); c.IndexPrefix = "kubescribe-other" })
		require.NoError(t, st.CreateLayout(t.Context()))
		require.NoError(t, st.ChangePeriod(t.Context(), schemas.PeriodDay, s.now))
	})

	ca, err := os.ReadFile(s.CAFile)
	require.NoError(t, err)
	block, _ := pem.Decode(ca)
	sum := sha256.Sum256(block.Bytes)
	fingerprint := hex.EncodeToString(sum[:])
	colons := strings.ToUpper(fingerprint[:2])
	for i := 2; i < len(fingerprint); i += 2 {
		colons += ":" + strings.ToUpper(fingerprint[i:i+2])
	}
	items := 0
	for name, change := range map[string]func(*store.ElasticsearchConfig){
		"basic": as("indexer"),
		"certificate": func(c *store.ElasticsearchConfig) {
			c.ClientCertFile, c.ClientKeyFile = s.ClientCertFile, s.ClientKeyFile
		},
		"fingerprint": func(c *store.ElasticsearchConfig) { as("indexer")(c); c.CAFile, c.CAFingerprint = "", fingerprint },
		"fingerprint with colons, and compressed": func(c *store.ElasticsearchConfig) {
			as("indexer")(c)
			c.CAFile, c.CAFingerprint, c.Compression = "", colons, store.CompressionGzip
		},
		"several nodes, one of them away": func(c *store.ElasticsearchConfig) {
			as("indexer")(c)
			c.Addresses = []string{"https://127.0.0.1:1", s.URL}
		},
	} {
		t.Run("the indexer gets by with its privileges: "+name, func(t *testing.T) {
			st := s.open(t, change)
			require.NoError(t, st.Setup(t.Context()), "the layout shows that somebody has set up")
			items += 10
			// Each document lies in another period: most indices have to be made.
			batch := make([]store.Item, 10)
			for i := range batch {
				batch[i] = storetest.Item(storetest.Document(items+i, origin.AddDate(0, 0, -7*(items+i))))
			}
			for _, existed := range []bool{false, true} {
				out, err := st.Index(t.Context(), batch)
				require.NoError(t, err)
				for _, o := range out {
					assert.Equal(t, store.Outcome{Verdict: store.Done, Existed: existed}, o)
				}
			}
			_, err := st.Search(t.Context(), store.Query{})
			refused(t, err, "403")
		})
	}
	t.Run("the explorer reads all of it and writes nothing", func(t *testing.T) {
		st := s.open(t, as("explorer"))
		require.Eventually(t, func() bool {
			n, err := st.Count(t.Context(), store.Query{})
			return err == nil && n == int64(items)
		}, 30*time.Second, 100*time.Millisecond)
		_, err := st.Index(t.Context(), []store.Item{storetest.Item(storetest.Document(1, origin))})
		refused(t, err, "403")
	})
	t.Run("who owns the templates may have a user that can only write", func(t *testing.T) {
		theirs := s.cfg
		theirs.IndexPrefix = "theirs"
		s.putTemplates(t, theirs)
		st := s.open(t, func(c *store.ElasticsearchConfig) { as("writer")(c); c.Manage, c.IndexPrefix = false, "theirs" })
		require.NoError(t, st.Setup(t.Context()))
		out, err := st.Index(t.Context(), []store.Item{storetest.Item(storetest.Document(1, origin))})
		require.NoError(t, err)
		assert.Equal(t, []store.Outcome{{Verdict: store.Done}}, out)
	})
	for name, c := range map[string]struct {
		why    string
		change func(*store.ElasticsearchConfig)
	}{
		"no credentials":       {"401", func(*store.ElasticsearchConfig) {}},
		"a wrong password":     {"401", func(c *store.ElasticsearchConfig) { c.Username, c.Password = "indexer", "wrong" }},
		"a wrong bearer token": {"401", func(c *store.ElasticsearchConfig) { c.BearerToken = stream.Secret(stack.ServiceToken("wrong-secret")) }},
		"a good bearer token of an account without privileges": {"403", func(c *store.ElasticsearchConfig) { c.BearerToken = stream.Secret(stack.ServiceToken("token-secret")) }},
		"a wrong API key":      {"401", func(c *store.ElasticsearchConfig) { c.APIKey = "d3Jvbmc6a2V5" }},
		"an unknown authority": {"certificate", func(c *store.ElasticsearchConfig) { as("indexer")(c); c.CAFile = "" }},
		"a wrong fingerprint": {"ca_fingerprint", func(c *store.ElasticsearchConfig) {
			as("indexer")(c)
			c.CAFile, c.CAFingerprint = "", fmt.Sprintf("%064x", 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, s.open(t, c.change).Setup(t.Context()), c.why)
		})
	}
}
