package stream

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrFenced says that another writer with the same transactional id has taken over. The holder must stop: whatever it has
// buffered belongs to the past.
var ErrFenced = errors.New("fenced by a newer writer with the same transactional id")

// ErrUnknownOutcome says that a commit was sent and its answer never came: the records may be in Kafka or not. Only reading
// back tells.
var ErrUnknownOutcome = errors.New("the outcome of the commit is unknown")

// ErrTooLarge says that Kafka refuses a record for its size. Nothing of the transaction was written.
var ErrTooLarge = errors.New("the record is larger than Kafka takes")

// Poison is a record that can never succeed, and why. Reason is a short slug with few values (a metric's label); Err is the
// detail, of which the dead letter keeps the first KiB.
type Poison struct {
	Record *kgo.Record
	Reason string
	Err    error
}

// PoisonError is returned by a Handler to say: these records can never succeed, and all others of the batch are durable. The
// records must be those of the batch.
type PoisonError struct{ Poison []Poison }

// Error names the first record and counts the rest.
func (e *PoisonError) Error() string {
	if len(e.Poison) == 0 {
		return "no record is poison"
	}
	p := e.Poison[0]
	at := "a record"
	if p.Record != nil {
		at = fmt.Sprintf("%s/%d offset %d", p.Record.Topic, p.Record.Partition, p.Record.Offset)
	}
	if len(e.Poison) == 1 {
		return fmt.Sprintf("%s is poison (%s): %v", at, p.Reason, p.Err)
	}
	return fmt.Sprintf("%s and %d more are poison (%s): %v", at, len(e.Poison)-1, p.Reason, p.Err)
}

// RefusedError is returned by a Handler or Transform when the far side refuses by its configuration: 401, 403, 404, a write
// block. It is handled like a transient error, only slower: nothing is skipped, and readiness says why.
type RefusedError struct{ Err error }

// Error is that of the cause.
func (e *RefusedError) Error() string { return fmt.Sprintf("refused: %v", e.Err) }

// Unwrap is the cause.
func (e *RefusedError) Unwrap() error { return e.Err }
