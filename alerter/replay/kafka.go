package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/alerter"
	"kubescribe/internal/stream"
)

// step is how much of the time is read at once: its matches are in memory.
const step = time.Hour

// FromKafka adds the documents of topics that were written from the run's From to its To, and flushes. The records' timestamps are the
// clock. It reads without a consumer group and leaves no trace.
func (r *Run) FromKafka(ctx context.Context, k stream.Config, d stream.Deps, topics []string) error {
	from, err := offsets(ctx, k, d, r.report.From, topics)
	if err != nil {
		return err
	}
	for at := begin(from, r.report.From); at.Before(r.report.To); {
		// The last step ends with the topic, not with the hour: a record's timestamp is the writer's clock.
		at = at.Add(step)
		last := !at.Before(r.report.To)
		to, err := offsets(ctx, k, d, at, topics)
		if err != nil {
			return err
		}
		var spans []stream.Span
		for i, e := range from {
			end := to[i].Since
			if last {
				end = to[i].End
			}
			if end > e.Since {
				spans = append(spans, stream.Span{Topic: e.Topic, Partition: e.Partition, From: e.Since, To: end})
			}
		}
		if err := stream.ReadSpans(ctx, k, d, spans, r.record); err != nil {
			return fmt.Errorf("reading documents: %w", err)
		}
		r.Flush()
		from = to
	}
	return nil
}

// begin is from, or when the oldest record was written if that was later: there is nothing before it.
func begin(extents []stream.Extent, from time.Time) time.Time {
	var oldest time.Time
	for _, e := range extents {
		if !e.StartTime.IsZero() && (oldest.IsZero() || e.StartTime.Before(oldest)) {
			oldest = e.StartTime
		}
	}
	if oldest.After(from) {
		return oldest
	}
	return from
}

func (r *Run) record(rec *kgo.Record) error {
	if rec.Timestamp.Before(r.report.From) || !rec.Timestamp.Before(r.report.To) {
		return nil
	}
	r.Add(rec.Value, rec.Timestamp)
	return nil
}

// offsets are where the partitions are at a time, in their order.
func offsets(ctx context.Context, k stream.Config, d stream.Deps, at time.Time, topics []string) ([]stream.Extent, error) {
	return stream.Extents(ctx, k, d, alerter.MatchGroup, at, topics...)
}
