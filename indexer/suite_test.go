package indexer_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

const cluster = "test"

// kafka is a broker with topics of the test's own.
type kafka struct {
	cfg    stream.Config
	topics schemas.Topics
}

func startFake(t *testing.T) kafka {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return openKafka(t, c.ListenAddrs()[0])
}

// openKafka creates the topics of one cluster, with three partitions, under a prefix of the test's own.
func openKafka(t *testing.T, address string) kafka {
	t.Helper()
	k := kafka{cfg: stream.Default()}
	k.cfg.Brokers = []string{address}
	k.cfg.TopicPrefix = "t" + strings.ReplaceAll(uuid.NewString(), "-", "") + "."
	k.topics = schemas.Topics{Prefix: k.cfg.TopicPrefix}
	_, err := stream.ApplyTopics(t.Context(), k.cfg, stream.Deps{}, []stream.TopicSpec{
		{Name: k.topics.Enriched(cluster), Partitions: 3, Replication: 1},
		{Name: k.topics.DeadLetter(cluster), Partitions: 1, Replication: 1},
	}, false)
	require.NoError(t, err)
	return k
}

// record is d as the enricher writes it.
func (k kafka) record(t *testing.T, d *schemas.Document) *kgo.Record {
	t.Helper()
	value, err := d.Encode()
	require.NoError(t, err)
	r := &kgo.Record{Topic: k.topics.Enriched(cluster), Key: []byte(d.Orchestrator.Resource.Name), Value: value}
	for _, h := range d.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

func (k kafka) produce(t *testing.T, docs ...*schemas.Document) {
	t.Helper()
	records := make([]*kgo.Record, len(docs))
	for i, d := range docs {
		records[i] = k.record(t, d)
	}
	require.NoError(t, stream.Produce(t.Context(), k.cfg, stream.Deps{}, records...))
}

// lag is what group has not committed of the enriched topic.
func (k kafka) lag(t *testing.T, group string) int64 {
	t.Helper()
	var lag map[string]map[int32]int64
	patiently(t, func() (err error) {
		lag, err = stream.Lag(t.Context(), k.cfg, stream.Deps{}, group, k.topics.Enriched(cluster))
		return err
	})
	var sum int64
	for _, partitions := range lag {
		for _, n := range partitions {
			sum += n
		}
	}
	return sum
}

func (k kafka) deadLetters(t *testing.T) []stream.DeadLetter {
	t.Helper()
	var all []stream.DeadLetter
	patiently(t, func() error {
		all = nil
		return stream.ReadDeadLetters(t.Context(), k.cfg, stream.Deps{}, k.topics.DeadLetter(cluster), func(l stream.DeadLetter) error {
			all = append(all, l)
			return nil
		})
	})
	return all
}

// patiently repeats f for a while: a real broker under load may lose its leadership for a moment.
func patiently(t *testing.T, f func() error) {
	t.Helper()
	var err error
	if !assert.Eventually(t, func() bool { err = f(); return err == nil }, 30*time.Second, 200*time.Millisecond) {
		require.NoError(t, err)
	}
}

// documents are n of a series that spans four weeks and three classes.
func documents(n int) []*schemas.Document {
	start := schemas.PeriodWeek.Start(time.Now()).AddDate(0, 0, -21)
	docs := make([]*schemas.Document, n)
	for i := range docs {
		docs[i] = storetest.Document(i, start)
		docs[i].Timestamp = start.Add(time.Duration(i) * 27 * 24 * time.Hour / time.Duration(n))
		docs[i].Kubescribe.Class = []string{schemas.ClassWarning, schemas.ClassCrash, schemas.ClassGap}[i%3]
	}
	return docs
}

func config() indexer.Config {
	cfg := indexer.Default()
	cfg.FlushRecords, cfg.Instance, cfg.ShutdownTimeout = 100, "", 5*time.Second
	return cfg
}

// reasons remembers the health of each component.
type reasons struct {
	mu sync.Mutex
	m  map[string]string
}

func (r *reasons) Set(component, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[string]string{}
	}
	r.m[component] = reason
}

func (r *reasons) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.m)
}

// run runs an indexer in the background. stop ends it and requires a clean end.
func run(t *testing.T, cfg indexer.Config, k kafka, d stream.Deps, st store.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- indexer.Run(ctx, cfg, k.cfg, d, st) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				require.NoError(t, err)
			case <-time.After(30 * time.Second):
				t.Error("the indexer does not stop")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 3*time.Minute, 20*time.Millisecond, what)
}

func count(t *testing.T, st store.Store) int64 {
	t.Helper()
	var n int64
	patiently(t, func() (err error) {
		n, err = st.Count(t.Context(), store.Query{})
		return err
	})
	return n
}

// finish runs an indexer of the group until it has committed everything.
func finish(t *testing.T, cfg indexer.Config, k kafka, st store.Store) {
	t.Helper()
	stop := run(t, cfg, k, stream.Deps{}, st)
	eventually(t, "everything is committed", func() bool { return k.lag(t, cfg.Group) == 0 })
	stop()
}

func openDouble(t *testing.T) (*storetest.Double, store.Store) {
	t.Helper()
	d := storetest.NewDouble()
	t.Cleanup(d.Close)
	cfg := store.DefaultElasticsearch()
	cfg.Addresses = []string{d.URL}
	st, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	return d, st
}
