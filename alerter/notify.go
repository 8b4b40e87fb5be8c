package alerter

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"kubescribe/alerter/receiver"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// ReceiverGroup is the consumer group that sends to a receiver. Each receiver has a group, so that one that is away holds up none
// of the others. What names no configured receiver is NotifyGroup's.
func ReceiverGroup(name string) string { return NotifyGroup + "-" + name }

// NotifyGroups are the consumer groups that read the topic alerts.
func (c Config) NotifyGroups() []string {
	groups := []string{NotifyGroup}
	for _, name := range c.receiverNames() {
		groups = append(groups, ReceiverGroup(name))
	}
	return groups
}

// notify sends alerts to their receivers.
func (a *alerter) notify(ctx context.Context) error {
	log, err := stream.OpenProducer(a.kafka, a.deps, NotifyGroup+"-log")
	if err != nil {
		return err
	}
	defer log.Close()
	// A receiver that is new begins where the others are, not with the pages of the last weeks. So all have a place before the common
	// group moves on from it.
	for _, name := range a.cfg.receiverNames() {
		if err := stream.StartWhere(ctx, a.kafka, a.deps, ReceiverGroup(name), NotifyGroup, a.topics.Alerts()); err != nil || ctx.Err() != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	run := func(name string, out *outlet) {
		n := &notifier{alerter: a, log: log, outlet: out}
		group.Go(func() error {
			return stream.RunConsumer(ctx, a.kafka, a.deps, stream.ConsumerOptions{
				Group: name, Topics: []string{a.topics.Alerts()}, DeadLetter: a.deadLetter, MaxBatchRecords: 100, Assigned: n.assigned,
			}, nil)
		})
	}
	run(NotifyGroup, nil)
	for _, c := range a.cfg.Receivers {
		run(ReceiverGroup(c.Name), &outlet{Receiver: receiver.New(c, a.cfg.Links)})
	}
	return group.Wait()
}

// notifier is the part of one consumer group. It is safe for concurrent use: partitions are handled at the same time.
type notifier struct {
	*alerter
	log *stream.Producer
	// outlet is nil in the group of what names no configured receiver.
	outlet *outlet
}

// known says whether a receiver of this name is configured.
func (n *notifier) known(name string) bool { return slices.Contains(n.cfg.receiverNames(), name) }

// assigned reads what was sent of a partition before. Notifications of partition n of alerts are in partition n, so the log is
// complete: who sent before has ended, and wrote down what it sent.
func (n *notifier) assigned(ctx context.Context, _ string, partition int32) (stream.Handler, error) {
	d := &deliveries{notifier: n, partition: partition, done: map[string]*delivery{}}
	if n.outlet == nil {
		return d.handle, nil // it sends nothing
	}
	mine := "/" + n.outlet.Name()
	err := stream.ReadTable(ctx, n.kafka, n.deps, n.topics.Notifications(), partition, func(r *kgo.Record) error {
		key := string(r.Key)
		if len(key) < len(mine) || key[len(key)-len(mine):] != mine {
			return nil
		}
		if r.Value == nil {
			delete(d.done, key)
			return nil
		}
		// What was refused is tried again: somebody may have sent it here anew, from the dead letter.
		if sent, err := schemas.DecodeNotification(r.Value); err == nil && sent.Delivery == schemas.DeliverySent {
			d.done[key] = &delivery{ended: sent.SentAt, logged: true}
		}
		return nil
	})
	if err == nil && n.outlet.Repost() > 0 {
		d.reposts, err = n.openReposts(ctx, partition)
	}
	return d.handle, err
}
