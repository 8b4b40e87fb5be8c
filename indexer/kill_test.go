package indexer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/test/stack"
)

// envChild makes the test binary an indexer; its value is a child in JSON.
const envChild = "KUBESCRIBE_TEST_INDEXER"

// child is what a process of its own runs: an indexer on either store.
type child struct {
	Indexer       indexer.Config
	Kafka         stream.Config
	SQLite        string
	Elasticsearch store.ElasticsearchConfig
}

func TestMain(m *testing.M) {
	if spec := os.Getenv(envChild); spec != "" {
		if err := runChild(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func runChild(spec string) error {
	var c child
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return err
	}
	ctx := context.Background()
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	return indexer.Run(ctx, c.Indexer, c.Kafka, stream.Deps{}, st)
}

func (c child) open(ctx context.Context) (store.Store, error) {
	if c.SQLite != "" {
		return store.OpenSQLite(ctx, c.SQLite)
	}
	return store.OpenElasticsearch(c.Elasticsearch, stream.Deps{})
}

func (c child) start(t *testing.T) *exec.Cmd {
	t.Helper()
	spec, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"="+string(spec))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill() // it may have ended
			cmd.Wait()
		}
	})
	return cmd
}

const (
	killDocuments = 20_000
	kills         = 5
)

func TestKillsInMidBatchLoseAndRepeatNothing(t *testing.T) {
	t.Run("kfake and SQLite", func(t *testing.T) {
		t.Parallel()
		c := child{SQLite: filepath.Join(t.TempDir(), "d.db")}
		surviveKills(t, startFake(t), c, func(*testing.T) {})
	})
	t.Run("kafka and Elasticsearch", func(t *testing.T) {
		t.Parallel()
		c := child{Elasticsearch: store.DefaultElasticsearch()}
		url := stack.SharedElasticsearch(t)
		c.Elasticsearch.Addresses = []string{url}
		c.Elasticsearch.IndexPrefix = "k" + uuid.NewString()
		surviveKills(t, openKafka(t, stack.SharedKafka(t)), c, func(t *testing.T) {
			res, err := http.Post(url+"/"+c.Elasticsearch.IndexPrefix+"-*/_refresh", "application/json", nil)
			require.NoError(t, err)
			res.Body.Close()
		})
	})
}

func surviveKills(t *testing.T, k kafka, c child, refresh func(*testing.T)) {
	c.Kafka, c.Indexer = k.cfg, indexer.Default()
	c.Indexer.FlushRecords = 100 // small requests, so that a kill finds one on its way
	c.Indexer.Group = "g" + uuid.NewString()
	c.Indexer.Instance = "i" // a replacement takes over at once
	docs := documents(killDocuments)
	k.produce(t, docs...)
	st, err := c.open(t.Context())
	require.NoError(t, err)
	defer st.Close()
	require.NoError(t, st.Setup(t.Context()))
	have := func() int64 { refresh(t); return count(t, st) }

	inFlight := 0
	for n := range kills {
		// Another stretch of the way each time, and never the end of it.
		target := int64((n + 1) * killDocuments / (kills + 3))
		cmd := c.start(t)
		// Progress is read from Kafka, often: a refresh of Elasticsearch takes so long that the indexer would be through by then.
		require.Eventually(t, func() bool { return k.lag(t, c.Indexer.Group) <= killDocuments-target }, 3*time.Minute, 10*time.Millisecond, "the indexer makes progress")
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		if k.lag(t, c.Indexer.Group) > 0 && have() < killDocuments {
			inFlight++
		}
	}
	require.Equal(t, kills, inFlight, "every kill must come while records are unread")
	c.start(t)
	eventually(t, "everything is committed", func() bool { return k.lag(t, c.Indexer.Group) <= 3 && have() >= killDocuments })
	require.EqualValues(t, killDocuments, have())

	again := c
	again.Indexer.Group += "-again"
	again.start(t)
	eventually(t, "the replay is committed", func() bool { return k.lag(t, again.Indexer.Group) == 0 })
	require.EqualValues(t, killDocuments, have())
	assert.Empty(t, k.deadLetters(t))
	found := map[string]bool{}
	q := store.Query{Limit: store.MaxLimit}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		page, err := st.Search(ctx, q)
		cancel()
		require.NoError(t, err)
		for _, h := range page.Hits {
			require.False(t, found[h.ID], "%s is there twice", h.ID)
			found[h.ID] = true
		}
		if page.Next == "" {
			break
		}
		q.After = page.Next
	}
	lost := 0
	for _, d := range docs {
		if !found[d.Event.ID] {
			lost++
		}
	}
	assert.Zero(t, lost)
	t.Logf("documents=%d kills_in_flight=%d lost=%d duplicated=%d", killDocuments, inFlight, lost, len(found)-killDocuments+lost)
}
