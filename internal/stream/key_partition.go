package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// PartitionOf is the partition that a record with this key goes to, of a topic with n partitions, unless ToPartition chose another.
// It is pure.
func PartitionOf(key []byte, n int) int32 {
	if key == nil {
		key = []byte{} // a record without a key goes anywhere
	}
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, n))
}

// Partitions is how many partitions a topic has. It opens a client: a keyed topic never grows, so ask once.
func Partitions(ctx context.Context, cfg Config, d Deps, topic string) (int, error) {
	cl, err := newClient(cfg, d.withDefaults(), "partitions")
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	found, missing, err := describe(ctx, cl, []string{topic})
	if err != nil {
		return 0, fmt.Errorf("looking at topic %s: %w", topic, explain("", err))
	}
	if len(missing) > 0 {
		return 0, missingTopics(missing)
	}
	return len(found[topic].partitions), nil
}
