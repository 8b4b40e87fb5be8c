package stream

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Who knows a key knows its partition: records with that key are there.
func TestPartitionOf(t *testing.T) {
	t.Parallel()
	b := startFake(t)
	topic := b.topic(t, 4)
	n, err := Partitions(t.Context(), b.cfg, deps(nil), topic)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	var rs []*kgo.Record
	for i := range 50 {
		rs = append(rs, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "/Pod/shop/web-%d", i)})
	}
	rs = append(rs, &kgo.Record{Topic: topic, Key: []byte{}})
	require.NoError(t, Produce(t.Context(), b.cfg, deps(nil), rs...))
	got := b.read(t, topic)
	require.Len(t, got, len(rs))
	seen := map[int32]bool{}
	for _, r := range got {
		assert.Equal(t, r.Partition, PartitionOf(r.Key, n), "%q", r.Key)
		seen[r.Partition] = true
	}
	assert.Len(t, seen, 4)
	_, err = Partitions(t.Context(), b.cfg, deps(nil), topic+"-none")
	assert.ErrorContains(t, err, "does not exist")
}
