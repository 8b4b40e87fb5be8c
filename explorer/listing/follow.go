package listing

import (
	"context"
	"time"

	"kubescribe/internal/store"
)

// late is how long after its event a document may come in to be shown by Follow.
const late = 10 * time.Minute

// Follow shows the documents that q matches as they come in, oldest first, each once: at first those from q.From on, then whatever
// is stored later, as long as its event is at most ten minutes old by then. It looks every so often, until ctx ends, and then
// returns nil. An error of the store that may pass is shown to trouble, and the next look comes when it should.
func Follow(ctx context.Context, st store.Store, q store.Query, every time.Duration, now func() time.Time, show func([]store.Hit) error, trouble func(error)) error {
	seen := map[string]time.Time{}
	from := q.From
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		began := now()
		var fresh []store.Hit
		hits, _, err := Latest(ctx, st, q, 0)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && store.IsRefused(err):
			return err
		case err != nil:
			trouble(err)
		}
		if err == nil {
			for _, h := range hits {
				if _, ok := seen[h.ID]; !ok {
					seen[h.ID] = h.Time
					fresh = append(fresh, h)
				}
			}
			if len(fresh) > 0 {
				if err := show(fresh); err != nil {
					return err
				}
			}
			if q.From = began.Add(-late); q.From.Before(from) {
				q.From = from
			}
			for id, t := range seen {
				if t.Before(q.From) {
					delete(seen, id)
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
