package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	brakeWindow = 1000
	brakeLeast  = 50
	// brakeShare is the divisor of the tolerated share: more than 1/20, that is 5 %.
	brakeShare = 20
)

// window remembers which of a partition's last records were poison.
type window struct {
	poison   [brakeWindow]bool
	next     int
	filled   int
	poisoned int
}

func (w *window) add(poison bool) {
	if w.filled == brakeWindow {
		if w.poison[w.next] {
			w.poisoned--
		}
	} else {
		w.filled++
	}
	w.poison[w.next] = poison
	if poison {
		w.poisoned++
	}
	w.next = (w.next + 1) % brakeWindow
}

func (w *window) tripped() bool {
	return w.poisoned >= brakeLeast && w.poisoned*brakeShare > w.filled
}

// brake decides whether a partition's dead letters may go out. It lives as long as the assignment of the partition: after a
// restart or a rebalance its window is empty, so each of these can let at most 49 more records through before it stops again.
type brake struct {
	window window
	// accepted is the offset below which somebody accepted all poison.
	accepted int64
}

// try looks at a batch that was handled with the poison given, and changes nothing. With ok the batch may be dead-lettered and
// committed; the caller then sets the window that is returned.
func (b *brake) try(records []*kgo.Record, poison map[*kgo.Record]Poison) (next window, ok bool) {
	next = b.window
	for _, r := range records {
		if r.Offset < b.accepted {
			continue
		}
		_, bad := poison[r]
		next.add(bad)
		if bad && next.tripped() {
			return b.window, false
		}
	}
	return next, true
}

// stopped begins the reason of a partition that the brake stopped.
const stopped = "stopped: "

// Stopped says of a reason of HealthReporter that a partition is stopped until somebody accepts its poison: no waiting helps.
func Stopped(reason string) bool { return strings.Contains(reason, stopped) }

func stoppedReason(group string, tp topicPartition) string {
	return fmt.Sprintf(stopped+"more than 5 %% of its last records are poison; see `kubescribe deadletter list`, "+
		"mend the cause, or go on with `kubescribe deadletter accept %s --group %s`", tp, group)
}

// acceptedGroup is the shadow group, without members, whose committed offsets say up to where poison is accepted.
func acceptedGroup(group string) string { return group + ".accepted" }

// Accept lets the loop of group, stopped at this partition by the brake, go on: every record below the partition's present end
// is dead-lettered without limit if it is poison. It returns that offset. The loop notices within a few seconds. Accepting a
// partition that isn't stopped does no harm but lifts the brake for what is there already.
func Accept(ctx context.Context, cfg Config, d Deps, group, topic string, partition int32) (int64, error) {
	group = cfg.Scoped(group)
	cl, err := newClient(cfg, d.withDefaults(), "accept")
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("reading the end of %s/%d: %w", topic, partition, explain(topic, err))
	}
	end, ok := ends.Lookup(topic, partition)
	if !ok {
		return 0, fmt.Errorf("topic %s has no partition %d", topic, partition)
	}
	if end.Err != nil {
		return 0, fmt.Errorf("reading the end of %s/%d: %w", topic, partition, explain(topic, end.Err))
	}
	var commit kadm.Offsets
	commit.AddOffset(topic, partition, end.Offset, -1)
	if err := adm.CommitAllOffsets(ctx, acceptedGroup(group), commit); err != nil {
		return 0, fmt.Errorf("noting the acceptance of %s/%d: %w", topic, partition, explain("group "+acceptedGroup(group), err))
	}
	return end.Offset, nil
}

// acceptedOffset is the offset that was accepted for the partition, 0 if none.
func acceptedOffset(ctx context.Context, cl *kgo.Client, group string, tp topicPartition) (int64, error) {
	offsets, err := groupOffsets(ctx, cl, acceptedGroup(group))
	if err != nil {
		return 0, fmt.Errorf("reading what is accepted: %w", err)
	}
	if o, ok := offsets.Lookup(tp.topic, tp.partition); ok && o.Err == nil {
		return max(o.At, 0), nil
	}
	return 0, nil
}

// groupOffsets are a group's committed offsets; a group that doesn't exist has none. A coordinator that is just being found is
// given some seconds.
func groupOffsets(ctx context.Context, cl *kgo.Client, group string) (kadm.OffsetResponses, error) {
	for retry, tries := newBackoff(), 0; ; tries++ {
		offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
		switch {
		case err == nil:
			return offsets, nil
		case errors.Is(err, kerr.GroupIDNotFound):
			return nil, nil
		case tries == 5, classify(err) != transient, !sleep(ctx, retry.next(nil)):
			return nil, err
		}
	}
}
