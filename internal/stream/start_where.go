package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// StartWhere gives a group that has never read topic a place to begin: where another group stands, and at the start where that one
// has committed nothing either. A group with a place keeps it. Call it before either group runs in this process; when several
// processes do it at once, none of them can move a group that has members.
//
// It blocks while no broker answers, and returns nil when ctx ends.
func StartWhere(ctx context.Context, cfg Config, d Deps, group, other, topic string) error {
	d, group, other = d.withDefaults(), cfg.Scoped(group), cfg.Scoped(other)
	if err := awaitTopics(ctx, cfg, d, group, []string{topic}); err != nil || ctx.Err() != nil {
		return err
	}
	cl, err := newClient(cfg, d, group+"-start", kgo.RetryTimeout(10*time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	var patience patience
	for retry := newBackoff(); ctx.Err() == nil; {
		err := startWhere(ctx, cl, group, other, topic)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if patience.over(err, false) {
			return fmt.Errorf("giving group %s a place to begin: %w", group, explain("group "+group, err))
		}
		d.Log.Warn("giving a group a place to begin failed; tried again", "group", group, "topic", topic, "err", err)
		sleep(ctx, retry.next(nil))
	}
	return nil
}

func startWhere(ctx context.Context, cl *kgo.Client, group, other, topic string) error {
	own, err := groupOffsets(ctx, cl, group)
	if err != nil {
		return err
	}
	others, err := groupOffsets(ctx, cl, other)
	if err != nil {
		return err
	}
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	var begin kadm.Offsets
	starts.Each(func(start kadm.ListedOffset) {
		if o, ok := own.Lookup(topic, start.Partition); ok && o.Err == nil && o.At >= 0 {
			return
		}
		at := start.Offset
		if o, ok := others.Lookup(topic, start.Partition); ok && o.Err == nil {
			at = max(at, o.At)
		}
		begin.AddOffset(topic, start.Partition, at, -1)
	})
	if len(begin) == 0 {
		return starts.Error()
	}
	err = errors.Join(starts.Error(), adm.CommitAllOffsets(ctx, group, begin))
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress) {
		return nil // the group has members: another process was first
	}
	return err
}
