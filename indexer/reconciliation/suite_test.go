package reconciliation_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer"
	"kubescribe/indexer/reconciliation"
	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"

	_ "modernc.org/sqlite" // for what a test deletes by hand
)

const cluster = "test" // of storetest's documents

// bench is a Kafka and a store, both empty.
type bench struct {
	t      *testing.T
	kafka  stream.Config
	topics schemas.Topics
	store  reconciliation.Store
	// remove deletes a document behind the store's back.
	remove func(d *schemas.Document)
	group  string
}

// onBoth runs f on the in-process doubles and on the real systems.
func onBoth(t *testing.T, f func(b *bench)) {
	t.Run("kfake and SQLite", func(t *testing.T) {
		t.Parallel()
		f(openSmall(t))
	})
	t.Run("kafka and Elasticsearch", func(t *testing.T) {
		t.Parallel()
		f(openReal(t))
	})
}

func openSmall(t *testing.T) *bench {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b := open(t, c.ListenAddrs()[0])
	path := filepath.Join(t.TempDir(), "d.db")
	st, err := store.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	b.store = st
	b.remove = func(d *schemas.Document) {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
		require.NoError(t, err)
		defer db.Close()
		res, err := db.Exec("DELETE FROM documents WHERE id = ?", d.Event.ID)
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	}
	return b
}

func openReal(t *testing.T) *bench {
	t.Helper()
	b := open(t, stack.SharedKafka(t))
	cfg := store.DefaultElasticsearch()
	cfg.Addresses = []string{stack.SharedElasticsearch(t)}
	cfg.IndexPrefix = "v" + uuid.NewString()
	st, err := store.OpenElasticsearch(cfg, stream.Deps{})
	require.NoError(t, err)
	require.NoError(t, st.Setup(t.Context()))
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	b.store = st
	b.remove = func(d *schemas.Document) {
		index := schemas.Index(cfg.IndexPrefix, d.Kubescribe.Class, cfg.Period, d.Timestamp)
		// Without a refresh: a search still shows it.
		req, err := http.NewRequest(http.MethodDelete, cfg.Addresses[0]+"/"+index+"/_doc/"+url.PathEscape(d.Event.ID), nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
	return b
}

func open(t *testing.T, address string) *bench {
	t.Helper()
	b := &bench{t: t, kafka: stream.Default(), group: "g" + uuid.NewString()}
	b.kafka.Brokers = []string{address}
	b.kafka.TopicPrefix = "t" + strings.ReplaceAll(uuid.NewString(), "-", "") + "."
	b.topics = schemas.Topics{Prefix: b.kafka.TopicPrefix}
	_, err := stream.ApplyTopics(t.Context(), b.kafka, stream.Deps{}, []stream.TopicSpec{
		{Name: b.topics.Enriched(cluster), Partitions: 3, Replication: 1},
		{Name: b.topics.DeadLetter(cluster), Partitions: 1, Replication: 1},
	}, false)
	require.NoError(t, err)
	return b
}

// documents are n of a series over two days in three classes, ending an hour ago.
func documents(n int) []*schemas.Document {
	start := time.Now().Add(-49 * time.Hour)
	docs := make([]*schemas.Document, n)
	for i := range docs {
		docs[i] = storetest.Document(i, start)
		docs[i].Timestamp = start.Add(time.Duration(i) * 48 * time.Hour / time.Duration(n)).UTC()
		docs[i].Kubescribe.Class = []string{schemas.ClassWarning, schemas.ClassCrash, schemas.ClassGap}[i%3]
	}
	return docs
}

func (b *bench) record(d *schemas.Document) *kgo.Record {
	value, err := d.Encode()
	require.NoError(b.t, err)
	r := &kgo.Record{Topic: b.topics.Enriched(cluster), Key: []byte(d.Orchestrator.Resource.Name), Value: value}
	for _, h := range d.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

func (b *bench) produce(docs ...*schemas.Document) {
	b.t.Helper()
	records := make([]*kgo.Record, len(docs))
	for i, d := range docs {
		records[i] = b.record(d)
	}
	require.NoError(b.t, stream.Produce(b.t.Context(), b.kafka, stream.Deps{}, records...))
}

// index runs an indexer until it has committed everything.
func (b *bench) index() {
	b.t.Helper()
	cfg := indexer.Default()
	cfg.Group = b.group
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- indexer.Run(ctx, cfg, b.kafka, stream.Deps{}, b.store) }()
	require.Eventually(b.t, func() bool {
		ok, err := stream.Drained(b.t.Context(), b.kafka, stream.Deps{}, b.group, b.topics.Enriched(cluster))
		return ok && err == nil
	}, 3*time.Minute, 50*time.Millisecond, "everything is committed")
	cancel()
	require.NoError(b.t, <-ended)
}

func (b *bench) options() reconciliation.Options {
	return reconciliation.Options{Since: time.Now().Add(-100 * time.Hour), Group: b.group}
}

// verify requires no error and one cluster.
func (b *bench) verify(o reconciliation.Options) reconciliation.Cluster {
	b.t.Helper()
	r, err := reconciliation.Run(b.t.Context(), o, b.kafka, stream.Deps{}, b.store)
	require.NoError(b.t, err)
	require.Len(b.t, r.Clusters, 1)
	assert.Equal(b.t, cluster, r.Clusters[0].Name)
	return r.Clusters[0]
}

// named are the ids of the differences of a kind.
func named(c reconciliation.Cluster, kind reconciliation.Kind) []string {
	ids := []string{}
	for _, d := range c.Differences {
		if d.Kind == kind {
			ids = append(ids, d.ID)
		}
	}
	return ids
}
