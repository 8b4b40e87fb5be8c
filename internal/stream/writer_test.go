package stream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func records(topic string, values ...int) []*kgo.Record {
	var rs []*kgo.Record
	for _, v := range values {
		rs = append(rs, ToPartition(&kgo.Record{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "%d", v)}, 0))
	}
	return rs
}

func TestWriterIsAllOrNothing(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		facts, checkpoints := b.topic(t, 1), b.topic(t, 1)
		id := "w-" + uuid.NewString()
		w, err := OpenWriter(t.Context(), b.cfg, deps(nil), id)
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, w.Write(t.Context(), nil))
		require.NoError(t, w.Write(t.Context(), append(records(facts, 1, 2), records(checkpoints, 2)...)))
		require.NoError(t, w.Write(t.Context(), append(records(facts, 3), records(checkpoints, 3)...)))
		err = w.Write(t.Context(), append(records(facts, 4), ToPartition(&kgo.Record{Topic: checkpoints, Value: make([]byte, 5<<20)}, 0)))
		require.ErrorIs(t, err, ErrTooLarge)
		assert.ErrorContains(t, err, checkpoints)
		assert.Error(t, w.Write(t.Context(), records(facts, 5)), "it is dead")
		w.Close()
		w.Close()
		w, err = OpenWriter(t.Context(), b.cfg, deps(nil), id)
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, w.Write(t.Context(), records(facts, 6)))
		assert.Equal(t, []int{1, 2, 3, 6}, b.numbers(t, facts)[0])
		assert.Equal(t, []int{2, 3}, b.numbers(t, checkpoints)[0])
	})
}

// A second writer with the id ends the first one's open transaction and fences it, in whatever state it is.
func TestWriterIsFenced(t *testing.T) {
	onRealBroker(t, func(t *testing.T, b broker) {
		topic := b.topic(t, 1)
		id := "w-" + uuid.NewString()
		idle, err := OpenWriter(t.Context(), b.cfg, deps(nil), id)
		require.NoError(t, err)
		defer idle.Close()
		require.NoError(t, idle.Write(t.Context(), records(topic, 1)))
		// The next one is in the middle of a transaction when it loses the id.
		middle, err := OpenWriter(t.Context(), b.cfg, deps(nil), id)
		require.NoError(t, err)
		defer middle.Close()
		require.ErrorIs(t, idle.Write(t.Context(), records(topic, 2)), ErrFenced)
		require.NoError(t, middle.cl.BeginTransaction())
		require.NoError(t, middle.cl.ProduceSync(t.Context(), records(topic, 3)...).FirstErr())
		newest, err := OpenWriter(t.Context(), b.cfg, deps(nil), id)
		require.NoError(t, err)
		defer newest.Close()
		assert.Equal(t, []int{1}, b.table(t, topic), "nothing holds the reader up: the open transaction is aborted")
		err = middle.cl.EndTransaction(t.Context(), kgo.TryCommit)
		require.Error(t, err)
		assert.Equal(t, fenced, classify(err))
		require.NoError(t, newest.Write(t.Context(), records(topic, 4)))
		require.ErrorIs(t, idle.Write(t.Context(), records(topic, 5)), ErrFenced, "it stays so")
		assert.Equal(t, []int{1, 4}, b.table(t, topic))
	})
}

func TestWriterUnknownOutcome(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	defer cluster.Close()
	b := broker{cfg: configFor(cluster.ListenAddrs()[0])}
	topic := b.topic(t, 1)
	w, err := OpenWriter(t.Context(), b.cfg, deps(nil), "w")
	require.NoError(t, err)
	defer w.Close()
	cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { time.Sleep(3 * time.Second) }) //nolint:forbidigo // the broker is late
		return nil, nil, false
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = w.Write(ctx, records(topic, 1))
	require.ErrorIs(t, err, ErrUnknownOutcome)
	assert.ErrorIs(t, w.Write(t.Context(), records(topic, 2)), ErrUnknownOutcome)
}

func TestOpenWriterSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	defer cluster.Close()
	cfg := configFor(cluster.ListenAddrs()[0])
	cluster.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
		return resp, nil, true
	})
	_, err = OpenWriter(t.Context(), cfg, deps(nil), "mine")
	assert.ErrorContains(t, err, "taking the transactional id mine: an ACL forbids this principal the transactional id")
	_, err = OpenWriter(t.Context(), cfg, deps(nil), "")
	assert.Error(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = OpenWriter(ctx, configFor("127.0.0.1:1"), deps(nil), "mine")
	assert.Error(t, err)
}
