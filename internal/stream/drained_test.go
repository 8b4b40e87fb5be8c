package stream

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A transactional topic ends with a marker that no reader sees: a group at the last record has read everything.
func TestDrained(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		topic, group := b.topic(t, 2), "g-"+uuid.NewString()
		// A broker that has just started has no group coordinator yet.
		drained := func() (ok bool) {
			eventually(t, "an answer", func() bool {
				var err error
				ok, err = Drained(t.Context(), b.cfg, Deps{}, group, topic)
				return err == nil
			})
			return ok
		}
		commit := func(partition int32, at int64) {
			var offsets kadm.Offsets
			offsets.AddOffset(topic, partition, at, -1)
			require.NoError(t, newAdmin(t, b).CommitAllOffsets(t.Context(), group, offsets))
		}
		assert.True(t, drained(), "nothing is there")

		w, err := OpenWriter(t.Context(), b.cfg, Deps{}, "tx-"+uuid.NewString())
		require.NoError(t, err)
		defer w.Close()
		record := func(partition int32) *kgo.Record {
			return ToPartition(&kgo.Record{Topic: topic, Value: []byte("v")}, partition)
		}
		require.NoError(t, w.Write(t.Context(), []*kgo.Record{record(0), record(0), record(1)}))
		assert.False(t, drained(), "nothing is committed")
		commit(0, 2)
		assert.False(t, drained(), "partition 1 is not")
		commit(1, 1)
		assert.True(t, drained(), "only the markers are left")

		// An open transaction hides what may still come.
		tx := b.client(t, kgo.TransactionalID("tx-"+uuid.NewString()))
		require.NoError(t, tx.BeginTransaction())
		require.NoError(t, tx.ProduceSync(t.Context(), record(0)).FirstErr())
		assert.False(t, drained())
		require.NoError(t, tx.EndTransaction(t.Context(), kgo.TryAbort))
		eventually(t, "aborted records are nobody's to read", drained)
	})
}

// Trim frees only what every group has read, and never the last records.
func TestTrim(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		topic, first, second := b.topic(t, 1), "g-"+uuid.NewString(), "g-"+uuid.NewString()
		b.fill(t, topic, 1, 0, 100)
		commit := func(group string, at int64) {
			var offsets kadm.Offsets
			offsets.AddOffset(topic, 0, at, -1)
			require.NoError(t, newAdmin(t, b).CommitAllOffsets(t.Context(), group, offsets))
		}
		trim := func(keep int64) int64 {
			n, err := Trim(t.Context(), b.cfg, Deps{}, topic, keep, first, second)
			require.NoError(t, err)
			return n
		}
		commit(first, 100)
		assert.Zero(t, trim(10), "the second group has read nothing")
		commit(second, 60)
		assert.EqualValues(t, 60, trim(10))
		assert.Len(t, b.read(t, topic), 40)
		commit(second, 100)
		assert.EqualValues(t, 30, trim(10))
		assert.Len(t, b.read(t, topic), 10)
		assert.Zero(t, trim(10))
		_, err := Trim(t.Context(), b.cfg, Deps{}, topic, 0)
		assert.Error(t, err, "without a group everything would be free to go")
	})
}

func TestRequireTopics(t *testing.T) {
	t.Parallel()
	b := startFake(t)
	topic := b.topic(t, 1)
	require.NoError(t, RequireTopics(t.Context(), b.cfg, Deps{}, topic))
	assert.ErrorContains(t, RequireTopics(t.Context(), b.cfg, Deps{}, topic, "a.missing"), "topic a.missing does not exist: create it with `kubescribe topics apply`")
}
