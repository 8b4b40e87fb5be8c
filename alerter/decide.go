package alerter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/alerter/decision"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// decide counts, deduplicates and resolves.
func (a *alerter) decide(ctx context.Context) error {
	c := &decider{alerter: a, groups: map[int32]*decision.Groups{}}
	return stream.RunTransform(ctx, a.kafka, a.deps, stream.TransformOptions{
		Group: DecideGroup, TransactionalID: a.transactionalID(DecideGroup), Topics: []string{a.topics.Matches()}, DeadLetter: a.deadLetter,
		Assigned: c.assigned, Lost: c.lost, TickEvery: a.cfg.TickInterval, Tick: c.tick,
	}, c.transform)
}

// decider remembers the groups of its partitions. State of partition n of matches is in partition n of alert-state. The loop
// calls all its methods from one goroutine.
type decider struct {
	*alerter
	groups map[int32]*decision.Groups
}

// assigned restores the states of partitions. What was committed before is below the high watermark by now: the loop that owned
// them is gone, and its open transaction can't commit any more.
func (c *decider) assigned(ctx context.Context, partitions map[string][]int32) error {
	for _, n := range partitions[c.topics.Matches()] {
		groups := decision.NewGroups()
		err := stream.ReadTable(ctx, c.kafka, c.deps, c.topics.AlertState(), n, func(r *kgo.Record) error {
			if r.Value == nil {
				groups.Delete(string(r.Key))
				return nil
			}
			s, err := schemas.DecodeAlertState(r.Value)
			if err != nil {
				// Nothing can mend the record, and holding a cluster's alerts for it would be worse than a group that starts anew.
				c.metrics.undecodable.Inc()
				c.deps.Log.Error("state of a group is undecodable and left out", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "err", err)
				groups.Delete(string(r.Key))
				return nil
			}
			groups.Put(string(r.Key), *s)
			return nil
		})
		if err != nil {
			return err
		}
		c.groups[n] = groups
	}
	c.count()
	return nil
}

func (c *decider) lost(partitions map[string][]int32) {
	for _, n := range partitions[c.topics.Matches()] {
		delete(c.groups, n)
	}
	c.count()
}

func (c *decider) count() {
	n := 0
	for _, groups := range c.groups {
		n += groups.Len()
	}
	c.metrics.groups.Set(float64(n))
}

func (c *decider) transform(_ context.Context, records []*kgo.Record) (stream.Output, error) {
	now := c.deps.Now()
	step := c.begin()
	var poison []stream.Poison
	for _, r := range records {
		m, err := schemas.DecodeMatch(r.Value)
		if err != nil {
			poison = append(poison, stream.Poison{Record: r, Reason: "undecodable", Err: err})
			continue
		}
		groups, mine := c.groups[r.Partition]
		if !mine {
			return stream.Output{}, fmt.Errorf("partition %d of %s has no state here", r.Partition, r.Topic)
		}
		if err := step.note(step.of(r.Partition, groups).Take(m, now), r); err != nil {
			return stream.Output{}, err
		}
	}
	out, err := step.output()
	out.Poison = poison
	return out, err
}

const (
	// ticked bounds what one tick writes; the next goes on.
	ticked = 1000
	// fresh is how young an unread match may be so that timers don't wait for it: under load there is always one.
	fresh = 5 * time.Second
	// unreadTimeout bounds the look for unread matches of a partition.
	unreadTimeout = 5 * time.Second
)

// tick runs the timers that are due.
func (c *decider) tick(ctx context.Context, now time.Time) (stream.Output, error) {
	step := c.begin()
	ran := 0
	for n, groups := range c.groups {
		due := due(groups, now)
		if len(due) == 0 || ran >= ticked {
			continue
		}
		read, err := c.read(ctx, n, now)
		if err != nil {
			return stream.Output{}, err
		}
		if !read {
			continue // what is unread may be the evidence that it goes on
		}
		for _, key := range due[:min(len(due), ticked)] {
			if err := step.note(step.of(n, groups).Expire(key, now), nil); err != nil {
				return stream.Output{}, err
			}
			ran++
		}
	}
	return step.output()
}

// due are the keys of the groups whose timer has run out, in order.
func due(groups *decision.Groups, now time.Time) []string {
	var keys []string
	for key, s := range groups.All() {
		if decision.Due(s).Before(now) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// read says whether every match of a partition has been taken into account that is not just coming in.
func (c *decider) read(ctx context.Context, n int32, now time.Time) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, unreadTimeout)
	defer cancel()
	first, err := stream.FirstUnread(ctx, c.kafka, c.deps, DecideGroup, c.topics.Matches(), n)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return false, nil // an open transaction is in the way: nobody knows yet what is before its end
	case err != nil:
		return false, fmt.Errorf("looking for unread matches: %w", err)
	}
	return first == nil || now.Sub(first.Timestamp) < fresh, nil
}

// step gathers what a call changes, so that memory stays as it is until the commit.
type step struct {
	*decider
	parts   map[int32]*decision.Step
	alerts  []*kgo.Record
	reasons map[decision.Reason]int
	records []schemas.Alert
}

func (c *decider) begin() *step {
	return &step{decider: c, parts: map[int32]*decision.Step{}, reasons: map[decision.Reason]int{}}
}

// of is the part of this step that concerns a partition.
func (s *step) of(n int32, groups *decision.Groups) *decision.Step {
	if s.parts[n] == nil {
		s.parts[n] = groups.Begin()
	}
	return s.parts[n]
}

// note takes down what a match or a timer led to. from is the match's record, nil for a timer.
func (s *step) note(o decision.Outcome, from *kgo.Record) error {
	s.reasons[o.Reason]++
	for _, alert := range o.Alerts {
		value, err := json.Marshal(alert)
		if err != nil {
			return fmt.Errorf("encoding alert: %w", err)
		}
		e := event("alert."+string(alert.Status), alert.ID, alert.Cluster, alert.Rule, alert.StartsAt)
		s.alerts = append(s.alerts, record(s.topics.Alerts(), alert.Fingerprint, value, e, from))
		s.records = append(s.records, alert)
	}
	return nil
}

// output writes the alerts and the last state of each group that changed.
func (s *step) output() (stream.Output, error) {
	out := stream.Output{Records: s.alerts, Committed: s.commit}
	for n, part := range s.parts {
		for key, state := range part.Changes() {
			r := &kgo.Record{Topic: s.topics.AlertState(), Key: []byte(key)} // without a value: a tombstone
			if state.Fingerprint != "" {
				value, err := json.Marshal(state)
				if err != nil {
					return stream.Output{}, fmt.Errorf("encoding alert state: %w", err)
				}
				r = record(s.topics.AlertState(), key, value, event("alert-state", key, state.Cluster, state.Rule, state.LastAt), nil)
			}
			out.Records = append(out.Records, stream.ToPartition(r, n))
		}
	}
	return out, nil
}

// commit takes over into memory what is on the topics now.
func (s *step) commit() {
	for n, part := range s.parts {
		if _, mine := s.groups[n]; mine {
			part.Commit()
		}
	}
	for reason, n := range s.reasons {
		s.metrics.decisions.WithLabelValues(string(reason)).Add(float64(n))
	}
	for _, alert := range s.records {
		s.metrics.alerts.WithLabelValues(alert.Rule, string(alert.Status)).Inc()
	}
	s.count()
}
