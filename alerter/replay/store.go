package replay

import (
	"context"
	"fmt"
	"time"

	"kubescribe/internal/store"
	"kubescribe/schemas"
)

// late is how long after it happened an event is still looked for: documents are found by when they happened, but played by when they
// were observed.
const late = 2 * time.Hour

// FromStore adds the documents of a store that were observed from the run's From to its To, and flushes. When the producer observed a
// document is the clock. All matches of the time are in memory at once.
func (r *Run) FromStore(ctx context.Context, st store.Store) error {
	q := store.Query{From: r.report.From.Add(-late), To: r.report.To.Add(schemas.MaxFuture), Limit: store.MaxLimit}
	for {
		page, err := st.Search(ctx, q)
		if err != nil {
			return fmt.Errorf("searching documents: %w", err)
		}
		for _, h := range page.Hits {
			if at := observed(h); !at.Before(r.report.From) && at.Before(r.report.To) {
				r.Add(h.Body, at)
			}
		}
		if page.Next == "" {
			r.Flush()
			return nil
		}
		q.After = page.Next
	}
}

func observed(h store.Hit) time.Time {
	d, err := schemas.DecodeDocument(h.Body)
	if err != nil || d.Event.Created.IsZero() {
		return h.Time
	}
	return d.Event.Created
}
