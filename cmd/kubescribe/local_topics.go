package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kubescribe/alerter"
	"kubescribe/enricher"
	"kubescribe/internal/stream"
)

const (
	// localPartitions: one process has no use for more, and each costs a sync to disk of its own.
	localPartitions = 1
	// keepOffsets is how many records of a topic stay after everybody has read them.
	keepOffsets = 20_000
	trimEvery   = 5 * time.Second
	// keptBytes bounds the topics that are kept for people: alerts and dead letters.
	keptBytes = "268435456"
)

// localSpecs are the topics as the embedded broker needs them. What only passes through is freed when it was read (trim), so
// that a reader that is behind loses nothing, however large a recording is. With retention by age a kill could empty a topic.
func localSpecs(c *config) []stream.TopicSpec {
	c.Topics = topicsConfig{Partitions: localPartitions, Replication: 1}
	t := c.topics()
	passing := map[string]bool{t.Events(c.Cluster): true, t.Enriched(c.Cluster): true, t.Matches(): true}
	specs := c.specs([]string{c.Cluster})
	for i, s := range specs {
		if s.Compacted {
			s.Configs["cleanup.policy"] = "compact"
			delete(specs[i].Configs, "retention.ms")
			continue
		}
		s.Configs["retention.ms"] = "-1"
		s.Configs["retention.bytes"] = keptBytes
		if passing[s.Name] {
			s.Configs["retention.bytes"] = "-1"
		}
	}
	return specs
}

// trim frees what every reader has read, until ctx ends.
func (l *local) trim(ctx context.Context, d stream.Deps) error {
	t := l.c.topics()
	readers := map[string][]string{
		t.Events(l.c.Cluster):   {enricher.Group(l.c.Cluster)},
		t.Enriched(l.c.Cluster): {l.c.Indexer.Group},
		t.Matches():             {alerter.DecideGroup},
	}
	if l.rules != "" {
		readers[t.Enriched(l.c.Cluster)] = []string{l.c.Indexer.Group, alerter.MatchGroup}
	}
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for topic, groups := range readers {
			if _, err := stream.Trim(ctx, l.c.Kafka, d, topic, keepOffsets, groups...); err != nil && !errors.Is(err, context.Canceled) {
				d.Log.Warn("trimming failed; tried again", "topic", topic, "err", err)
			}
		}
	}
}

const throughEvery = 50 * time.Millisecond

// through returns when what the producer has written is through all services: each group has read everything of its topic,
// asked for in the order of the stream, so that nothing can follow.
func (l *local) through(ctx context.Context) error {
	t := l.c.topics()
	events, enriched := t.Events(l.c.Cluster), t.Enriched(l.c.Cluster)
	chain := []struct{ group, topic string }{{enricher.Group(l.c.Cluster), events}, {l.c.Indexer.Group, enriched}}
	if l.rules != "" {
		chain = append(chain, []struct{ group, topic string }{
			{alerter.MatchGroup, enriched},
			{alerter.DecideGroup, t.Matches()},
		}...)
		for _, group := range l.c.Alerter.NotifyGroups() {
			chain = append(chain, struct{ group, topic string }{group, t.Alerts()})
		}
	}
	d := l.deps("drain")
	tick := time.NewTicker(throughEvery)
	defer tick.Stop()
	for _, reader := range chain {
		for {
			ok, err := stream.Drained(ctx, l.c.Kafka, d, reader.group, reader.topic)
			if err != nil && ctx.Err() == nil {
				l.log.Debug("asking how far a group is failed; asked again", "group", reader.group, "err", err)
			}
			if ok && err == nil {
				break
			}
			if err := l.stuck(); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case err := <-l.stages.failed:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// stuck is an error when a service has stopped for what only a person can decide.
func (l *local) stuck() error {
	for _, reason := range l.health.Reasons() {
		if l.o.once && stream.Stopped(reason) {
			return fmt.Errorf("it does not go on by itself: %s", reason)
		}
	}
	return nil
}
