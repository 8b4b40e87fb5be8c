package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Trim deletes the records of topic that every group has committed over, but for the last keep offsets of each partition, and
// returns how many offsets it freed. A group that never committed on a partition keeps all of it. It is retention by what was
// read instead of by age or size, for the embedded broker: nothing unread is ever deleted, however far a reader is behind.
func Trim(ctx context.Context, cfg Config, d Deps, topic string, keep int64, groups ...string) (int64, error) {
	if len(groups) == 0 {
		return 0, errors.New("trimming a topic: name the groups that read it")
	}
	cl, err := newClient(cfg, d.withDefaults(), "trim")
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("reading where %s begins: %w", topic, explain("", err))
	}
	ends, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("reading where %s ends: %w", topic, explain("", err))
	}
	upTo := map[int32]int64{}
	for p, end := range ends[topic] {
		upTo[p] = end.Offset - keep
	}
	for _, group := range cfg.scopedAll(groups) {
		committed, err := groupOffsets(ctx, cl, group)
		if err != nil {
			return 0, fmt.Errorf("reading the offsets of group %s: %w", group, explain("", err))
		}
		for p := range upTo {
			at := int64(0)
			if o, ok := committed.Lookup(topic, p); ok && o.Err == nil {
				at = o.At
			}
			upTo[p] = min(upTo[p], at)
		}
	}
	var free kadm.Offsets
	var n int64
	for p, to := range upTo {
		if start, ok := starts.Lookup(topic, p); ok && start.Err == nil && to > start.Offset {
			free.AddOffset(topic, p, to, -1)
			n += to - start.Offset
		}
	}
	if n == 0 {
		return 0, nil
	}
	deleted, err := adm.DeleteRecords(ctx, free)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("trimming %s: %w", topic, explain("", err))
	}
	return n, nil
}
