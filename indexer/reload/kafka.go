package reload

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

// slack is how long before its event time a record may have been written: producers move an event time to at most an hour after
// they saw it, and clocks differ by some more.
const slack = 2 * time.Hour

// FromKafka stores the documents of enriched topics whose event time is not before since, up to the topics' present ends. It blocks
// while Kafka is away, until ctx ends. The result tells how far it came also beside an error.
func FromKafka(ctx context.Context, o Options, k stream.Config, d stream.Deps, topics []string, since time.Time, st store.Store) (Result, error) {
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	l := newLoader(o, st, now)
	extents, err := stream.Extents(ctx, k, d, indexer.Group, since.Add(-slack), topics...)
	if err != nil {
		return l.measured(), err
	}
	type part struct {
		topic string
		n     int32
	}
	next := map[part]int64{}
	var spans []stream.Span
	for _, e := range extents {
		from := max(e.Since, o.State.offset(e.Topic, e.Partition))
		if from > e.End {
			return l.measured(), fmt.Errorf("the state file is ahead of %s/%d (%d, the topic ends at %d): the topic was made anew, begin with another state file",
				e.Topic, e.Partition, from, e.End)
		}
		spans = append(spans, stream.Span{Topic: e.Topic, Partition: e.Partition, From: from, To: e.End})
		next[part{e.Topic, e.Partition}] = from
		l.result.Of += e.End - from
	}
	l.save = func() error {
		for p, offset := range next {
			o.State.setOffset(p.topic, p.n, offset)
		}
		return o.State.save()
	}
	err = stream.ReadSpans(ctx, k, d, spans, func(r *kgo.Record) error {
		l.result.Read++
		next[part{r.Topic, r.Partition}] = r.Offset + 1
		at := func() string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }
		item, err := indexer.ItemOf(r)
		switch {
		case err != nil:
			l.refuse(Refusal{At: at(), Reason: err.Error()})
			return nil
		case item.Time.Before(since):
			l.result.Early++
			return nil
		}
		return l.add(ctx, item, at)
	})
	if err == nil {
		// What comes after the last record (marks of transactions) is done, too.
		for _, s := range spans {
			next[part{s.Topic, s.Partition}] = s.To
		}
		err = l.flush(ctx)
	}
	return l.measured(), err
}
