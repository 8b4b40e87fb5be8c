package stream

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Transform turns consumed records into what is produced in the transaction of their offsets. The records are of any partitions,
// in order within each. It must not change memory that outlives the call: after an abort the same records come again, alone or
// in other company. Output.Committed is the place for that.
//
// An error is transient: the records are kept, heartbeats go on, and the call is repeated; a *RefusedError waits longer. A
// *PoisonError sets the records that it names aside for the dead letter and has the call repeated with the rest. ctx ends when a
// partition is revoked (the records are dropped and come again, to whoever owns them) and when a shutdown takes too long.
type Transform func(ctx context.Context, records []*kgo.Record) (Output, error)

// Output is what one call wants to have written.
type Output struct {
	// Records are produced. Their order within a partition is kept. The loop owns them from then on.
	Records []*kgo.Record
	// Poison are consumed records that can never succeed. They are dead-lettered in the same transaction.
	Poison []Poison
	// Committed, if set, runs after the commit succeeded and never otherwise, before the next call of any callback. Memory changes
	// only there.
	Committed func()
}

// TransformOptions say what RunTransform reads and how. All callbacks, Transform and Output.Committed are called from one
// goroutine: memory that only they touch needs no lock.
type TransformOptions struct {
	// Group is the consumer group; it also names the loop in metrics and health.
	Group string
	// TransactionalID should be stable where the replica has a stable name: its next start then ends an open transaction of its
	// last life at once. It must be unique among live members. Empty means a random one: after a kill, others wait out the
	// transaction timeout (10 s).
	TransactionalID string
	// Topics are read from their start if the group never committed. Either Topics or TopicPattern must be set; see
	// ConsumerOptions.
	Topics       []string
	TopicPattern string
	// InstanceID makes the member static; see ConsumerOptions.
	InstanceID string
	// MaxBatchRecords bounds the records of a call. Default 2,000.
	MaxBatchRecords int
	// ShutdownTimeout is how long the call in hand and its commit may take after ctx is done. Default 20 s.
	ShutdownTimeout time.Duration
	// DeadLetter names the dead-letter topic of a record.
	DeadLetter func(r *kgo.Record) (topic string)

	// Assigned, if set, runs before the first records of these partitions reach Transform, and before a Tick: restore state here,
	// with ReadTable. An error is transient. ctx ends when the assignment changes: the call is then repeated with what is still
	// owned, after Lost for what is not.
	Assigned func(ctx context.Context, partitions map[string][]int32) error
	// Lost, if set, runs when partitions are gone, or must be taken as gone because a commit's outcome is unknown: drop their
	// state. It may name partitions whose Assigned never succeeded.
	Lost func(partitions map[string][]int32)
	// Tick, if set, runs every TickEvery while at least one partition is owned and restored, between calls of Transform. Its
	// output is a transaction without input that commits only while the membership holds, exactly as one with input. An error is
	// logged and the next tick comes in time. Output.Poison must be empty.
	TickEvery time.Duration
	Tick      func(ctx context.Context, now time.Time) (Output, error)
}

func (o TransformOptions) withDefaults() (TransformOptions, error) {
	errs := []error{checkSubscription(o.Group, o.Topics, o.TopicPattern)}
	if o.DeadLetter == nil {
		errs = append(errs, errors.New("stream: DeadLetter is not set"))
	}
	if o.Tick != nil && o.TickEvery <= 0 {
		errs = append(errs, errors.New("stream: Tick is set but TickEvery is not"))
	}
	if o.TransactionalID == "" {
		o.TransactionalID = o.Group + "-" + uuid.NewString()
	}
	setDefault(&o.MaxBatchRecords, 2000)
	setDefault(&o.ShutdownTimeout, 20*time.Second)
	return o, errors.Join(errs...)
}
