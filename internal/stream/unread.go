package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// FirstUnread is the first committed record of a partition that the group has not committed past, or nil if there is none up to
// the high watermark at the time of the call. A timer that must not run out before everything that came earlier is handled asks
// it. It waits for open transactions below that watermark to end, within ctx.
func FirstUnread(ctx context.Context, cfg Config, d Deps, group, topic string, partition int32) (*kgo.Record, error) {
	group = cfg.Scoped(group)
	cl, err := newClient(cfg, d.withDefaults(), "unread")
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	committed, err := kadm.NewClient(cl).FetchOffsets(kadm.RequireStable(ctx), group)
	if err != nil {
		return nil, fmt.Errorf("reading the offsets of group %s: %w", group, explain("", err))
	}
	from := FromStart
	if o, ok := committed.Lookup(topic, partition); ok && o.At >= 0 {
		if o.Err != nil {
			return nil, fmt.Errorf("reading the offsets of group %s: %w", group, explain("", o.Err))
		}
		from = o.At
	}
	var first *kgo.Record
	err = ReadTopic(ctx, cfg, d, ReadOptions{Topic: topic, Partitions: []int32{partition}, From: from}, func(r *kgo.Record) error {
		first = r
		return ErrStop
	})
	return first, err
}
