package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// victim is a service that is killed, and how one sees that it had work in flight.
type victim struct {
	*process
	// backlog is how much has been handed to the service and is not committed by it, counting only what was there when mark
	// was called.
	mark    func(ctx context.Context) (any, error)
	backlog func(ctx context.Context, mark any) (int64, error)
}

// window is the time from a kill to the moment when all that was written before and during it had arrived.
type window struct{ from, to time.Time }

// killInFlight freezes v, looks whether it has work in flight, and kills it with SIGKILL in that very state; a v without work goes
// on and is looked at again. Looking takes longer than a batch does, so a v that was not frozen would be through by then.
func (e *Env) killInFlight(ctx context.Context, v victim) error {
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if err := v.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		mark, err := v.mark(wait)
		if err != nil {
			return err
		}
		n, err := v.backlog(wait, mark)
		if err != nil {
			return err
		}
		open, err := e.broker.openTransactions(wait, v.name)
		if err != nil {
			return err
		}
		if n > 0 || open > 0 {
			e.logf("killing %s with %d records in flight, %d transactions open", v.name, n, open)
			return v.kill()
		}
		if err := v.signal(syscall.SIGCONT); err != nil {
			return err
		}
		if err := pause(wait, time.Duration(1+rand.IntN(40))*time.Millisecond); err != nil { //nolint:gosec // no secret
			return fmt.Errorf("%s had no work in flight for 30 s", v.name)
		}
	}
}

// group is a victim that consumes topics in a group.
func (e *Env) group(p *process, group string, topics ...string) victim {
	return victim{
		process: p,
		mark:    func(ctx context.Context) (any, error) { return e.broker.ends(ctx, topics...) },
		backlog: func(ctx context.Context, mark any) (int64, error) {
			return e.broker.unread(ctx, group, mark.(kadm.ListedOffsets))
		},
	}
}

// watching is the producer: its work in flight is what etcd holds above its committed checkpoint.
func (e *Env) watching(p *process, ref *reference, topics schemas.Topics) victim {
	return victim{
		process: p,
		mark:    func(context.Context) (any, error) { return ref.newest(), nil },
		backlog: func(ctx context.Context, mark any) (int64, error) {
			rv, err := e.checkpoint(ctx, topics)
			if err != nil || rv >= mark.(uint64) {
				return 0, err
			}
			return int64(mark.(uint64) - rv), nil //nolint:gosec // revisions of a test
		},
	}
}

// checkpoint is the committed resourceVersion of the events source.
func (e *Env) checkpoint(ctx context.Context, topics schemas.Topics) (uint64, error) {
	var last *schemas.Checkpoint
	err := e.broker.read(ctx, func(r *kgo.Record) (err error) {
		if string(r.Key) == schemas.CheckpointKey(schemas.SourceEvents) && r.Value != nil {
			last, err = schemas.DecodeCheckpoint(r.Value)
		}
		return err
	}, topics.Checkpoints(cluster))
	if err != nil {
		return 0, err
	}
	if last == nil {
		return 0, errors.New("the producer has committed no checkpoint")
	}
	return strconv.ParseUint(last.RV, 10, 64)
}
