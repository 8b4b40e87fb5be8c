package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Drained says whether group has committed over every record of topics that a reader can see at this moment, and that no
// transaction is open on them. It looks at the records: a lag in offsets never gets to zero on a transactional topic, because
// its last offset is a commit marker. It opens a client; ask a few times a second at most.
func Drained(ctx context.Context, cfg Config, d Deps, group string, topics ...string) (bool, error) {
	group = cfg.Scoped(group)
	cl, err := newClient(cfg, d.withDefaults(), "drained")
	if err != nil {
		return false, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	committed, err := groupOffsets(ctx, cl, group)
	if err != nil {
		return false, fmt.Errorf("reading the offsets of group %s: %w", group, explain("", err))
	}
	ends, err := adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return false, fmt.Errorf("reading where topics end: %w", explain("", err))
	}
	stable, err := adm.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return false, fmt.Errorf("reading where topics end: %w", explain("", err))
	}
	for topic, partitions := range ends {
		for p, end := range partitions {
			lso, _ := stable.Lookup(topic, p)
			if err := errors.Join(end.Err, lso.Err); err != nil {
				return false, fmt.Errorf("reading where %s/%d ends: %w", topic, p, explain("", err))
			}
			if lso.Offset < end.Offset {
				return false, nil // a transaction is open
			}
			var from int64
			if o, ok := committed.Lookup(topic, p); ok {
				from = max(o.At, 0)
			}
			if some, err := anyRecord(ctx, cl, topicPartition{topic, p}, from); err != nil || some {
				return false, err
			}
		}
	}
	return true, nil
}

// anyRecord says whether a reader sees a record at or after an offset.
func anyRecord(ctx context.Context, cl *kgo.Client, tp topicPartition, from int64) (some bool, err error) {
	err = readPartition(ctx, cl, tp, from, func(*kgo.Record) error {
		some = true
		return ErrStop
	})
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return some, err
}

// RequireTopics returns an error that names the topics that don't exist and the command that creates them. How they are
// configured is for CheckTopics to judge: a service must not refuse to start because somebody keeps a topic for longer.
func RequireTopics(ctx context.Context, cfg Config, d Deps, names ...string) error {
	cl, err := newClient(cfg, d.withDefaults(), "topics")
	if err != nil {
		return err
	}
	defer cl.Close()
	_, missing, err := describe(ctx, cl, names)
	if err != nil {
		return fmt.Errorf("looking for topics: %w", explain("", err))
	}
	if len(missing) > 0 {
		return missingTopics(missing)
	}
	return nil
}
