package alerter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/alerter"
	"kubescribe/alerter/receiver"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// patience is how long tests wait for what must come; nothing sleeps that long when all is well.
const patience = time.Minute

const partitions = 3

// world is a broker with the topics of some clusters.
type world struct {
	kafka  stream.Config
	topics schemas.Topics
}

func fakeWorld(t *testing.T, clusters ...string) world {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	return newWorld(t, broker.ListenAddrs()[0], clusters...)
}

// onBrokers runs a test on the in-process broker and on a real one. Consumer groups have fixed names, so the real one is used by one
// test at a time.
func onBrokers(t *testing.T, clusters []string, test func(t *testing.T, w world)) {
	t.Run("kfake", func(t *testing.T) { test(t, fakeWorld(t, clusters...)) })
	t.Run("kafka", func(t *testing.T) { test(t, newWorld(t, stack.SharedKafka(t), clusters...)) })
}

func newWorld(t *testing.T, address string, clusters ...string) world {
	t.Helper()
	k := stream.Default()
	k.Brokers, k.TopicPrefix = []string{address}, "t"+uuid.NewString()[:8]+"."
	w := world{k, schemas.Topics{Prefix: k.TopicPrefix}}
	specs := w.topics.SharedSpecs(partitions)
	for _, c := range clusters {
		specs = append(specs, w.topics.ClusterSpecs(c, partitions)...)
	}
	var topics []stream.TopicSpec
	for _, s := range specs {
		topics = append(topics, stream.TopicSpec{Name: s.Name, Partitions: s.Partitions, Replication: 1, Configs: s.Configs, Keyed: s.Keyed})
	}
	_, err := stream.ApplyTopics(t.Context(), k, stream.Deps{}, topics, false)
	require.NoError(t, err)
	// A broker that has created a topic may not know it yet.
	eventually(t, "the topics", func() bool { return stream.CheckTopics(t.Context(), k, stream.Deps{}, topics) == nil })
	return w
}

// start runs an alerter until stop is called or the test ends; stop returns what Run returned.
func (w world) start(t *testing.T, cfg alerter.Config, d stream.Deps) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- alerter.Run(ctx, cfg, w.kafka, d) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			select {
			case err = <-done:
			case <-time.After(patience):
				err = fmt.Errorf("the alerter does not stop")
			}
		})
		return err
	}
	t.Cleanup(func() { require.NoError(t, stop()) })
	return stop
}

func testDeps(t *testing.T) stream.Deps {
	return stream.Deps{Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil { // not after the test's end
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// config is an alerter with these rules whose pages go to hook.
func config(t *testing.T, rules string, hook *webhook) alerter.Config {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(rules), 0o600))
	cfg := alerter.Default()
	cfg.Rules, cfg.TickInterval = dir, 50*time.Millisecond
	cfg.Receivers = []receiver.Config{{Name: "hook", Type: "webhook", URL: stream.Secret(hook.URL)}}
	cfg.DefaultReceivers = []string{"hook"}
	return cfg
}

// webhook is a receiver that counts pages by their idempotency key.
type webhook struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]int
	seen  []schemas.Alert
	// answer, if set, is asked first; a status other than 0 is the answer, and nothing is counted.
	answer func(a schemas.Alert) int
}

func newWebhook(t *testing.T) *webhook {
	h := &webhook{pages: map[string]int{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		a, decodeErr := schemas.DecodeAlert(body)
		if err != nil || decodeErr != nil || a.ID != r.Header.Get(receiver.HeaderIdempotencyKey) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.answer != nil {
			if code := h.answer(*a); code != 0 {
				w.WriteHeader(code)
				return
			}
		}
		h.pages[a.ID]++
		h.seen = append(h.seen, *a)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *webhook) set(answer func(schemas.Alert) int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// got is what has arrived: how many pages, and how many of them repeats.
func (h *webhook) got() (pages, repeats int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.pages {
		pages++
		repeats += n - 1
	}
	return pages, repeats
}

func (h *webhook) statuses() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, a := range h.seen {
		all = append(all, string(a.Status))
	}
	return all
}

var epoch = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// document is a Warning about a pod.
func document(cluster, id, reason, pod string, at time.Time) *schemas.Document {
	d := &schemas.Document{Timestamp: at, Message: reason + " of " + pod}
	d.Event.ID, d.Event.Action, d.Event.Created = id, reason, at
	d.Orchestrator.Cluster.Name = cluster
	d.Kubernetes.Namespace = "shop"
	d.Kubernetes.Event = &schemas.KubernetesEvent{Type: "Warning", Reason: reason, InvolvedObject: schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: pod}}
	d.Kubescribe.Type, d.Kubescribe.Class = schemas.TypeEvent, schemas.ClassWarning
	return d
}

// produce writes documents to the enriched topics of their clusters, as the enricher does.
func (w world) produce(t *testing.T, docs ...*schemas.Document) {
	t.Helper()
	var records []*kgo.Record
	for _, d := range docs {
		value, err := d.Encode()
		require.NoError(t, err)
		r := &kgo.Record{Topic: w.topics.Enriched(d.Orchestrator.Cluster.Name), Key: []byte(d.Kubernetes.Event.InvolvedObject.Key()), Value: value}
		for _, h := range d.Headers() {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		records = append(records, r)
	}
	require.NoError(t, stream.Produce(t.Context(), w.kafka, stream.Deps{}, records...))
}

// read returns what a read-committed reader sees of a topic now.
func (w world) read(t *testing.T, topic string) []*kgo.Record {
	t.Helper()
	var all []*kgo.Record
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := stream.ReadTopic(ctx, w.kafka, stream.Deps{}, stream.ReadOptions{Topic: topic, From: stream.FromStart}, func(r *kgo.Record) error {
		all = append(all, r)
		return nil
	})
	require.NoError(t, err)
	return all
}

func (w world) alerts(t *testing.T) []schemas.Alert {
	t.Helper()
	var all []schemas.Alert
	for _, r := range w.read(t, w.topics.Alerts()) {
		a, err := schemas.DecodeAlert(r.Value)
		require.NoError(t, err)
		all = append(all, *a)
	}
	return all
}

// states are the groups' states by key, without what belongs to the wall clock.
func (w world) states(t *testing.T) map[string]schemas.AlertState {
	t.Helper()
	all := map[string]schemas.AlertState{}
	for _, r := range w.read(t, w.topics.AlertState()) {
		if r.Value == nil {
			delete(all, string(r.Key))
			continue
		}
		s, err := schemas.DecodeAlertState(r.Value)
		require.NoError(t, err)
		s.LastSeen = time.Time{}
		all[string(r.Key)] = *s
	}
	return all
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, again := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-deadline:
			require.FailNow(t, "waited in vain", what)
		}
	}
}

func dump(v any) string {
	b, _ := json.MarshalIndent(v, "", " ")
	return string(b)
}
