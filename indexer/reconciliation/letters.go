package reconciliation

import (
	"context"
	"fmt"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// letters are the records of the cluster that the indexers' group has put into the dead letter.
type letters struct {
	byPlace map[place]string // the reason
	byID    map[hash]string
}

func (l *letters) of(p place, id string) (reason string, dead bool) {
	if reason, dead = l.byPlace[p]; dead {
		return reason, dead
	}
	reason, dead = l.byID[hashOf(id)]
	return reason, dead
}

// readLetters reads the dead letter once.
func (c *comparison) readLetters(ctx context.Context) error {
	if c.letters != nil {
		return nil
	}
	l := &letters{byPlace: map[place]string{}, byID: map[hash]string{}}
	topic := c.topics.Enriched(c.found.Name)
	err := stream.ReadDeadLetters(ctx, c.kafka, c.deps, c.topics.DeadLetter(c.found.Name), func(d stream.DeadLetter) error {
		part, ok := c.parts[d.Partition]
		ours := d.Group == c.Group || d.Group == c.kafka.TopicPrefix+c.Group // which the group is called under another prefix
		if d.Topic != topic || !ours || !ok {
			return nil
		}
		reason := d.Reason + ": " + d.Error
		l.byPlace[place{int32(part), d.Offset}] = reason
		for _, h := range d.Record.Headers {
			if h.Key == schemas.HeaderID && len(h.Value) > 0 {
				l.byID[hashOf(string(h.Value))] = reason
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the dead letter: %w", err)
	}
	c.letters = l
	return nil
}

// judgeUnreadable looks for the records that are no documents in the dead letter, where they belong.
func (c *comparison) judgeUnreadable(ctx context.Context) error {
	for _, u := range c.unreadable {
		p := place{int32(u.part), u.offset}
		if u.offset >= c.extents[u.part].Committed {
			c.found.Pending++
			continue
		}
		if err := c.readLetters(ctx); err != nil {
			return err
		}
		d := Difference{Kind: KindMissing, Record: c.name(p), Reason: u.err.Error()}
		if reason, dead := c.letters.byPlace[p]; dead {
			d.Kind, d.Reason = KindDeadLettered, reason
			c.found.DeadLettered++
		} else {
			c.found.Missing++
		}
		c.found.note(c.Listed, d)
	}
	return nil
}
