package e2e

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// victim is a service that is killed, and how one sees that it had work in flight.
type victim struct {
	*process
	// backlog is how much had been handed to the service and was not committed by it, counting only what was there when
	// mark was called. It is called before the kill and again after it, when the dead process can't commit any more.
	mark    func(ctx context.Context) (any, error)
	backlog func(ctx context.Context, mark any) (int64, error)
}

// window is the time from a kill to the moment when all that was written before and during it had arrived.
type window struct{ from, to time.Time }

// killInFlight waits until v has work in flight, kills it with SIGKILL at that instant, and says whether the work was still
// open when it was dead. The caller starts it again.
func (e *Env) killInFlight(ctx context.Context, v victim) (bool, error) {
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		mark, err := v.mark(wait)
		if err != nil {
			return false, err
		}
		n, err := v.backlog(wait, mark)
		if err != nil {
			return false, err
		}
		if n == 0 {
			if wait.Err() != nil {
				return false, fmt.Errorf("%s had no work in flight for 20 s", v.name)
			}
			continue
		}
		if err := v.kill(); err != nil {
			return false, err
		}
		n, err = v.backlog(ctx, mark)
		if err != nil {
			return false, err
		}
		open, err := e.broker.openTransactions(ctx, v.name)
		e.logf("killed %s with %d records in flight, %d transactions open", v.name, n, open)
		return n > 0 || open > 0, err
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
