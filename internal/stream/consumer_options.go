package stream

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Batch is records of one partition, in the order of their offsets. The records belong to the loop; a handler may read them
// until it returns.
type Batch struct {
	Topic     string
	Partition int32
	Records   []*kgo.Record
}

// Handler makes the effects of a batch durable.
//
// nil means that every effect of every record is durable: the loop commits. A *PoisonError names records that can never succeed
// and says that all others are durable: the named ones are dead-lettered and the batch is committed. Any other error is
// transient: the same batch comes again after a while, for ever; a *RefusedError waits longer. Because of that, and because a
// crash can come between the effect and the commit, effects must be idempotent.
//
// ctx ends when the partition is revoked, and when a shutdown takes longer than its timeout. The handler must return soon then;
// what it returns is only believed if it is nil. Batches of one partition come strictly one after the other, those of different
// partitions at the same time.
type Handler func(ctx context.Context, b Batch) error

// ConsumerOptions say what RunConsumer reads and how much it holds.
type ConsumerOptions struct {
	// Group is the consumer group; it also names the loop in metrics and health.
	Group string
	// Topics are read from their start if the group never committed. Either Topics or TopicPattern must be set.
	Topics []string
	// TopicPattern is a regular expression over whole topic names (it is anchored if it isn't already). New topics are found
	// within half a minute.
	TopicPattern string
	// InstanceID makes the member static: a restart within the session timeout (10 s) keeps its partitions without a rebalance,
	// and a clean stop leaves them waiting for as long. Empty for a replica without a stable name.
	InstanceID string
	// MaxBatchRecords and MaxBatchBytes bound a batch; a larger single record makes a batch of its own.
	// Defaults 1,000 and 4 MiB.
	MaxBatchRecords, MaxBatchBytes int
	// MaxBufferedBytes is what may wait over all partitions before only those are fetched that hold nothing; a single partition
	// stops at twice MaxBatchBytes. Beyond the bound there can be two fetches of each broker (8 MiB each, compressed) and, of
	// each partition that held nothing, one fetch (MaxFetchBytes or one producer's batch, at most 4 MiB, compressed). Default 64 MiB.
	MaxBufferedBytes int
	// MaxFetchBytes is how much one fetch may bring of a partition, as the producer compressed it; a single larger batch comes whole.
	// Default 1 MiB.
	MaxFetchBytes int
	// Concurrency is how many handlers may run at once. A batch that waits for its retry does not count. Default 16.
	Concurrency int
	// ShutdownTimeout is how long the batches in hand may take after ctx is done. Default 20 s.
	ShutdownTimeout time.Duration
	// DeadLetter names the dead-letter topic of a record.
	DeadLetter func(r *kgo.Record) (topic string)

	// Assigned, if set, runs once for each assignment of a partition, before its first batch, and returns the handler for as long
	// as the assignment lasts: what it has read is dropped with it. An error is transient. ctx lives as long as the assignment. RunConsumer's own handler is not used
	// then. Calls for different partitions come at the same time.
	Assigned func(ctx context.Context, topic string, partition int32) (Handler, error)
}

func (o ConsumerOptions) withDefaults() (ConsumerOptions, error) {
	errs := []error{checkSubscription(o.Group, o.Topics, o.TopicPattern)}
	if o.DeadLetter == nil {
		errs = append(errs, errors.New("stream: DeadLetter is not set"))
	}
	setDefault(&o.MaxBatchRecords, 1000)
	setDefault(&o.MaxBatchBytes, 4<<20)
	setDefault(&o.MaxBufferedBytes, 64<<20)
	setDefault(&o.MaxFetchBytes, fetchPartitionBytes)
	setDefault(&o.Concurrency, 16)
	setDefault(&o.ShutdownTimeout, 20*time.Second)
	return o, errors.Join(errs...)
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func checkSubscription(group string, topics []string, pattern string) error {
	var errs []error
	if group == "" {
		errs = append(errs, errors.New("stream: Group is empty"))
	}
	if (len(topics) == 0) == (pattern == "") {
		errs = append(errs, errors.New("stream: set either Topics or TopicPattern"))
	}
	if _, err := regexp.Compile(pattern); err != nil {
		errs = append(errs, fmt.Errorf("stream: TopicPattern: %w", err))
	}
	return errors.Join(errs...)
}

// fetchPartitionBytes is what a fetch may bring of one partition.
const fetchPartitionBytes = 1 << 20

// subscribe are the client options of a group's member.
func subscribe(group, instance string, topics []string, pattern string) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(heartbeatInterval),
		// A paused partition that is resumed waits for the fetch in flight: keep that short.
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.FetchMaxBytes(8 << 20),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
	}
	if instance != "" {
		opts = append(opts, kgo.InstanceID(instance))
	}
	if pattern != "" {
		return append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+pattern+")$"))
	}
	return append(opts, kgo.ConsumeTopics(topics...))
}

// recordBytes is about what a record occupies in memory.
func recordBytes(r *kgo.Record) int {
	n := 200 + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 40 + len(h.Key) + len(h.Value)
	}
	return n
}
