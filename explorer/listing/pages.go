package listing

import (
	"context"
	"slices"

	"kubescribe/internal/store"
)

// Pages shows the documents that q matches to fn, newest first, page by page, at most limit of them, or all for 0. more says that
// there are others.
func Pages(ctx context.Context, st store.Store, q store.Query, limit int, fn func([]store.Hit) error) (more bool, err error) {
	q.After = ""
	for shown := 0; ; {
		q.Limit = store.MaxLimit
		if limit > 0 {
			q.Limit = min(limit-shown, store.MaxLimit)
		}
		page, err := st.Search(ctx, q)
		if err != nil {
			return false, err
		}
		if err := fn(page.Hits); err != nil {
			return false, err
		}
		shown += len(page.Hits)
		if page.Next == "" || shown == limit {
			return page.Next != "", nil
		}
		q.After = page.Next
	}
}

// Latest are the newest documents that q matches, at most limit, oldest first. more says that there are older ones.
func Latest(ctx context.Context, st store.Store, q store.Query, limit int) (hits []store.Hit, more bool, err error) {
	more, err = Pages(ctx, st, q, limit, func(page []store.Hit) error {
		hits = append(hits, page...)
		return nil
	})
	slices.Reverse(hits)
	return hits, more, err
}
