package stream

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

type partitionKey struct{}

// ToPartition sends r to partition n, whatever its key, and returns r. Without it a record goes where Kafka's default partitioner
// puts its key. A loop that keeps state uses it to write the state of input partition n to partition n. A partition that the topic
// doesn't have fails the record.
func ToPartition(r *kgo.Record, n int32) *kgo.Record {
	ctx := r.Context
	if ctx == nil {
		ctx = context.Background()
	}
	r.Context = context.WithValue(ctx, partitionKey{}, n)
	return r
}

// partitioner is the client's default, but for records of ToPartition.
type partitioner struct{ kgo.Partitioner }

// ForTopic implements kgo.Partitioner.
func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.Partitioner.ForTopic(topic)}
}

type topicPartitioner struct{ kgo.TopicPartitioner }

func chosen(r *kgo.Record) (int32, bool) {
	if r.Context == nil {
		return 0, false
	}
	n, ok := r.Context.Value(partitionKey{}).(int32)
	return n, ok
}

// RequiresConsistency implements kgo.TopicPartitioner.
func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	_, ok := chosen(r)
	return ok || p.TopicPartitioner.RequiresConsistency(r)
}

// Partition implements kgo.TopicPartitioner.
func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if c, ok := chosen(r); ok {
		return int(c)
	}
	return p.TopicPartitioner.Partition(r, n)
}

// OnNewBatch implements kgo.TopicPartitionerOnNewBatch: records without a key change partitions there.
func (p topicPartitioner) OnNewBatch() {
	if b, ok := p.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		b.OnNewBatch()
	}
}
