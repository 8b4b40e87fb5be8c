package embedded

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// killed is a copy of a running broker's data: what a SIGKILL at this instant leaves.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "killed")
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

func start(t *testing.T, dir string) *Broker {
	t.Helper()
	b, err := Start(dir, nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func transactional(t *testing.T, b *Broker) *kgo.Client {
	t.Helper()
	return client(t, b, kgo.TransactionalID("tx"), kgo.RequiredAcks(kgo.AllISRAcks()))
}

func begin(t *testing.T, cl *kgo.Client, value string, topics ...string) {
	t.Helper()
	require.NoError(t, cl.BeginTransaction())
	for _, topic := range topics {
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
	}
}

func commit(t *testing.T, cl *kgo.Client) {
	t.Helper()
	require.NoError(t, cl.EndTransaction(t.Context(), kgo.TryCommit))
}

// committedValues are all values that a reader of committed records sees.
func committedValues(t *testing.T, b *Broker, topic string) (values []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cl := client(t, b, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	require.NoError(t, err)
	end, ok := ends.Lookup(topic, 0)
	require.True(t, ok)
	all, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	require.NoError(t, err)
	high, _ := all.Lookup(topic, 0)
	require.Equal(t, high.Offset, end.Offset, "no transaction is open")
	for next := int64(0); next < end.Offset; {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				values = append(values, string(r.Value))
			}
		})
	}
	return values
}

func createTopics(t *testing.T, b *Broker, topics ...string) {
	t.Helper()
	_, err := kadm.NewClient(client(t, b)).CreateTopics(t.Context(), 1, 1, nil, topics...)
	require.NoError(t, err)
}

// A transaction that was open at the kill is gone, and what its producer commits later is there, at once, after a graceful
// stop and after another kill.
func TestMendAbortsTheOpenTransaction(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	createTopics(t, b, "t")
	cl := transactional(t, b)
	begin(t, cl, "one", "t")
	commit(t, cl)
	begin(t, cl, "open", "t")
	dir = killed(t, dir)

	b = start(t, dir)
	cl = transactional(t, b)
	begin(t, cl, "two", "t")
	commit(t, cl)
	want := []string{"one", "two"}
	assert.Equal(t, want, committedValues(t, b, "t"))
	again := killed(t, dir)
	cl.Close()
	b.Close()
	assert.Equal(t, want, committedValues(t, start(t, dir), "t"), "after a graceful stop")
	assert.Equal(t, want, committedValues(t, start(t, again), "t"), "after a second kill")
}

// A kill between the end markers of two partitions: the transaction was committed, so it is committed in both.
func TestMendCompletesTheCommit(t *testing.T) {
	for _, half := range []string{"a", "b"} {
		t.Run(half, func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, dir)
			createTopics(t, b, "a", "b")
			cl := transactional(t, b)
			begin(t, cl, "one", "a", "b")
			commit(t, cl)
			begin(t, cl, "two", "a", "b")
			segment := filepath.Join("partitions", half+"-0", "0.dat")
			before, err := os.Stat(filepath.Join(dir, segment))
			require.NoError(t, err)
			commit(t, cl)
			dir = killed(t, dir)
			require.NoError(t, os.Truncate(filepath.Join(dir, segment), before.Size()))

			b = start(t, dir)
			for _, topic := range []string{"a", "b"} {
				assert.Equal(t, []string{"one", "two"}, committedValues(t, b, topic), topic)
			}
		})
	}
}

// A torn batch, an index that is one entry short and torn logs of the broker's own state cost nothing that was acknowledged.
func TestMendCutsTornEnds(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	createTopics(t, b, "t")
	cl := transactional(t, b)
	begin(t, cl, "one", "t")
	commit(t, cl)
	begin(t, cl, "open", "t")
	commitOffset := func(b *Broker, at int64) {
		offsets := kadm.Offsets{}
		offsets.AddOffset("t", 0, at, -1)
		_, err := kadm.NewClient(client(t, b)).CommitOffsets(t.Context(), "group", offsets)
		require.NoError(t, err)
	}
	commitOffset(b, 1)
	dir = killed(t, dir)
	part := filepath.Join(dir, "partitions", "t-0")
	index, err := os.Stat(filepath.Join(part, "0.idx"))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(filepath.Join(part, "0.idx"), index.Size()-int64(len(indexEntry(false)))))
	for _, name := range []string{filepath.Join(part, "0.dat"), filepath.Join(dir, "groups.log"), filepath.Join(dir, "pids.log")} {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.Write([]byte("\x40\x00\x00\x00torn"))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}

	b = start(t, dir)
	commitOffset(b, 2)
	cl = transactional(t, b)
	begin(t, cl, "two", "t")
	commit(t, cl)
	b = start(t, killed(t, dir))
	assert.Equal(t, []string{"one", "two"}, committedValues(t, b, "t"))
	offsets, err := kadm.NewClient(client(t, b)).FetchOffsets(t.Context(), "group")
	require.NoError(t, err)
	o, ok := offsets.Lookup("t", 0)
	require.True(t, ok)
	assert.EqualValues(t, 2, o.At, "what was committed after the torn end is found after one more kill")
}

func TestMendLeavesAStoppedBrokerAlone(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	createTopics(t, b, "t")
	cl := transactional(t, b)
	begin(t, cl, "one", "t")
	commit(t, cl)
	cl.Close()
	b.Close()
	before := sizes(t, dir)
	require.NoError(t, mend(dir, time.Now(), nil))
	assert.Equal(t, before, sizes(t, dir), "there is nothing to mend")
	require.NoError(t, mend(filepath.Join(dir, "missing"), time.Now(), nil))
}

func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, err := d.Info()
			require.NoError(t, err)
			got[path] = info.Size()
		}
		return err
	}))
	return got
}
