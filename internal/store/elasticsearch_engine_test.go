package store_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
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

// An engine under pressure answers 429 to whole requests and to single documents: nothing is lost, nothing twice.
func TestPressureLosesNothing(t *testing.T) {
	stack.Need(t, stack.PartElasticsearch)
	node, err := stack.StartElasticsearch(t.Context(), t.TempDir(), stack.WithElasticsearchSetting("indexing_pressure.memory.limit", "512kb"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, node.Stop()) })
	s := openElasticsearch(t, node.URL)
	const writers, requests, size = 8, 10, 100
	var mu sync.Mutex
	put := 0
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for r := range requests {
				start := (w*requests + r) * size
				pending := make([]store.Item, size)
				for i := range pending {
					pending[i] = storetest.Item(storetest.Document(start+i, origin))
				}
				deadline := time.Now().Add(2 * time.Minute)
				for len(pending) > 0 && time.Now().Before(deadline) {
					out, err := s.Index(t.Context(), pending)
					if err != nil {
						assert.False(t, store.IsRefused(err), "%v", err)
						assert.ErrorContains(t, err, "429")
						mu.Lock()
						put++
						mu.Unlock()
						continue
					}
					var later []store.Item
					for i, o := range out {
						switch o.Verdict {
						case store.Retry:
							assert.Contains(t, o.Reason, "429")
							later = append(later, pending[i])
						default:
							assert.Equal(t, store.Done, o.Verdict, o.Reason)
						}
					}
					mu.Lock()
					put += len(later)
					mu.Unlock()
					pending = later
				}
				assert.Empty(t, pending)
			}
		})
	}
	all.Wait()
	s.refresh(t)
	n, err := s.Count(t.Context(), store.Query{})
	require.NoError(t, err)
	assert.EqualValues(t, writers*requests*size, n)
	assert.Positive(t, put, "the engine was under pressure")
	t.Logf("documents=%d put_off=%d", n, put)
}

func TestSetupOnTheEngineIsIdempotentAndRespectful(t *testing.T) {
	url := stack.SharedElasticsearch(t)
	s := openElasticsearch(t, url)
	before := request(t, http.MethodGet, url+"/_index_template/"+s.prefix+"*", "")
	require.NoError(t, s.Setup(t.Context()))
	assert.JSONEq(t, string(before), string(request(t, http.MethodGet, url+"/_index_template/"+s.prefix+"*", "")))

	mine := fmt.Sprintf(`{"index_patterns":["%s-*"],"priority":300,"composed_of":["%s-mappings"],"template":{"settings":{"index":{"number_of_shards":2}}}}`, s.prefix, s.prefix)
	request(t, http.MethodPut, url+"/_index_template/"+s.prefix, mine)
	changed := request(t, http.MethodGet, url+"/_index_template/"+s.prefix, "")
	require.NoError(t, s.Setup(t.Context()))
	assert.JSONEq(t, string(changed), string(request(t, http.MethodGet, url+"/_index_template/"+s.prefix, "")))

	// Many services that start at once.
	cfg := s.cfg
	cfg.IndexPrefix = s.prefix + "x"
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			other, err := store.OpenElasticsearch(cfg, stream.Deps{})
			assert.NoError(t, err)
			assert.NoError(t, other.Setup(t.Context()))
		})
	}
	all.Wait()
}

func TestTheIndexIsAsTheTemplatesSay(t *testing.T) {
	url := stack.SharedElasticsearch(t)
	s := openElasticsearch(t, url)
	d := storetest.Document(1, origin)
	d.Kubescribe.Class = "audit_x"
	_, err := s.Index(t.Context(), []store.Item{storetest.Item(storetest.Document(1, origin)), storetest.Item(d)})
	require.NoError(t, err)
	for class, policy := range map[string]string{schemas.ClassWarning: s.prefix + "-warning", "audit_x": s.prefix + "-default"} {
		index := schemas.Index(s.prefix, class, schemas.PeriodWeek, origin)
		var got map[string]struct {
			Aliases  map[string]any
			Settings struct {
				Index struct {
					Codec     string
					Lifecycle struct {
						Name  string
						Parse string `json:"parse_origination_date"`
					}
					Sort struct{ Field, Order json.RawMessage }
				}
			}
		}
		require.NoError(t, json.Unmarshal(request(t, http.MethodGet, url+"/"+index, ""), &got))
		i := got[index].Settings.Index
		assert.Equal(t, "best_compression", i.Codec)
		assert.Equal(t, policy, i.Lifecycle.Name)
		assert.Equal(t, "true", i.Lifecycle.Parse)
		assert.Contains(t, string(i.Sort.Field), "@timestamp")
		assert.Contains(t, got[index].Aliases, s.prefix)
	}
}

func TestAnyLabelAndAnyFieldIsTaken(t *testing.T) {
	url := stack.SharedElasticsearch(t)
	s := openElasticsearch(t, url)
	var items []store.Item
	for n := range 100 {
		d := storetest.Document(n, origin)
		d.Kubernetes.Labels = map[string]string{"app": "web", "app.kubernetes.io/name": "web", "a": "x", "a.b": "y"}
		for l := range 100 {
			d.Kubernetes.Labels[fmt.Sprintf("key-%d-%d", n, l)] = "v"
		}
		items = append(items, storetest.Item(d))
	}
	d := storetest.Document(200, origin)
	d.Kubernetes.Annotations = map[string]string{
		strings.Repeat("k", 253) + "/" + strings.Repeat("n", 63): strings.Repeat("語", 8191),
		"huge":  strings.Repeat("x", 300_000),
		"empty": "",
	}
	d.Event.Original = strings.Repeat("o", 100_000)
	d.Message = strings.Repeat("w", 40_000) + " " + strings.Repeat("日", 20_000)
	d.Error = &schemas.ErrorInfo{StackTrace: strings.Repeat("z", 70_000)}
	d.Event.Provider = strings.Repeat("p", 40_000)
	items = append(items, storetest.Item(d))
	unknown := storetest.Item(storetest.Document(201, origin))
	unknown.Body = append([]byte(`{"new":{"a":1,"b":[{"c":"d"}]},"kubernetes.dotted":{"x":1},`), unknown.Body[1:]...)
	items = append(items, unknown)
	out, err := s.Index(t.Context(), items)
	require.NoError(t, err)
	for i, o := range out {
		require.Equal(t, store.Outcome{Verdict: store.Done}, o, "item %d", i)
	}
	index := schemas.Index(s.prefix, schemas.ClassWarning, schemas.PeriodWeek, origin)
	mapping := request(t, http.MethodGet, url+"/"+index+"/_mapping", "")
	assert.Less(t, strings.Count(string(mapping), `"type"`), 300, "10,000 label keys are no fields")
}

// What somebody else has put into our indices is not shown, and breaks no page.
func TestForeignDocumentsBreakNoSearch(t *testing.T) {
	url := stack.SharedElasticsearch(t)
	s := openElasticsearch(t, url)
	items := storetest.Items(10, origin)
	_, err := s.Index(t.Context(), items)
	require.NoError(t, err)
	index := schemas.Index(s.prefix, schemas.ClassWarning, schemas.PeriodWeek, origin)
	at := origin.Add(5 * time.Second).Format(time.RFC3339)
	for _, body := range []string{`{}`, `{"@timestamp":"` + at + `"}`, `{"event":{"id":"x"}}`} {
		request(t, http.MethodPost, url+"/"+index+"/_doc", body)
	}
	s.refresh(t)
	assert.Len(t, walk(t, s, store.Query{}, 1), 10)
	n, err := s.Count(t.Context(), store.Query{})
	require.NoError(t, err)
	assert.EqualValues(t, 10, n)
}

func TestRefusalsOfTheEngineAreNoPoison(t *testing.T) {
	url := stack.SharedElasticsearch(t)
	for _, c := range []struct{ name, method, path, body, undoMethod, undoPath, undoBody string }{
		{
			"a write block", http.MethodPut, "/_settings", `{"index.blocks.write":true}`,
			http.MethodPut, "/_settings", `{"index.blocks.write":null}`,
		},
		{"a closed index", http.MethodPost, "/_close", "", http.MethodPost, "/_open", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openElasticsearch(t, url)
			items := storetest.Items(3, origin)
			_, err := s.Index(t.Context(), items[:1])
			require.NoError(t, err)
			index := schemas.Index(s.prefix, schemas.ClassWarning, schemas.PeriodWeek, origin)
			request(t, c.method, url+"/"+index+c.path, c.body)
			other := storetest.Document(50, origin)
			other.Kubescribe.Class = schemas.ClassCrash
			out, err := s.Index(t.Context(), append(items, storetest.Item(other)))
			require.NoError(t, err)
			assert.Equal(t, map[store.Verdict]int{store.Refused: 3, store.Done: 1}, verdicts(out), "%v", out)
			request(t, c.undoMethod, url+"/"+index+c.undoPath, c.undoBody)
			require.Eventually(t, func() bool {
				out, err = s.Index(t.Context(), items)
				return err == nil && verdicts(out)[store.Done] == 3
			}, 30*time.Second, 100*time.Millisecond)
		})
	}
}

// words must find what the engine finds: the same text goes through both.
func TestWordsAreThoseOfTheStandardAnalyzer(t *testing.T) {
	url := stack.SharedElasticsearch(t)
	random := rand.New(rand.NewPCG(11, 11))
	alphabet := []rune("abZ09 ._:;,'-/\"()_日本カナかéßЖ" + "ab19..::__,,''")
	texts := append([]string(nil), samples...)
	for range 400 {
		text := make([]rune, 1+random.IntN(24))
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		texts = append(texts, string(text))
	}
	for _, text := range texts {
		body, err := json.Marshal(map[string]string{"analyzer": "standard", "text": text})
		require.NoError(t, err)
		var got struct {
			Tokens []struct{ Token string }
		}
		require.NoError(t, json.Unmarshal(request(t, http.MethodPost, url+"/_analyze", string(body)), &got))
		want := []string{}
		for _, token := range got.Tokens {
			want = append(want, token.Token)
		}
		assert.Equal(t, want, append([]string{}, store.Words(text)...), "%q", text)
	}
}

// samples are messages as Kubernetes writes them.
var samples = []string{
	`Back-off restarting failed container app in pod web-5d4f8c7b9-abcde_default(0b5f1a3e-0000-4000-8000-000000000000)`,
	`Failed to pull image "registry.example.com:5000/team/app:v1.2.3@sha256:abc": rpc error: code = NotFound desc = failed to resolve reference`,
	`Readiness probe failed: Get "http://10.244.0.12:8080/healthz?x=1&y=2": dial tcp 10.244.0.12:8080: connect: connection refused`,
	`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.`,
	`MountVolume.SetUp failed for volume "kube-api-access-x1y2z" : object "default"/"kube-root-ca.crt" not registered`,
	`Scaled up replica set web-5d4f8c7b9 from 0 to 3; it's 99.9% done, 1,000 of 1_000`,
	"Node ip-10-0-0-1.eu-west-1.compute.internal status is now: NodeNotReady",
}
