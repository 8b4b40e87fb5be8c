package indexer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"kubescribe/internal/store"
)

// What Put waits for, in all about two minutes.
const (
	putTries     = 10
	putFirstWait = 250 * time.Millisecond
	putMaxWait   = 30 * time.Second
)

// Put stores items outside of the loop, for tools: it sends again what the store wants later, and gives up after about two minutes.
// For each item that can never be stored it returns the store's reason; "" means that it is durable, and existed counts those that
// were there before. After an error any part of the items may be stored: all may be put again.
func Put(ctx context.Context, st store.Store, items []store.Item) (reasons []string, existed int, err error) {
	reasons = make([]string, len(items))
	left := make([]int, len(items))
	for i := range items {
		left[i] = i
	}
	wait := putFirstWait
	for try := 1; len(left) > 0; try++ {
		send := make([]store.Item, len(left))
		for n, i := range left {
			send[n] = items[i]
		}
		out, err := st.Index(ctx, send)
		var again []int
		if err != nil {
			again = left
		}
		for n, o := range out {
			switch i := left[n]; o.Verdict {
			case store.Done:
				if o.Existed {
					existed++
				}
			case store.Poison:
				reasons[i] = o.Reason
			case store.Retry:
				again, err = append(again, i), errors.New(o.Reason)
			case store.Refused:
				return nil, 0, &refusedDocument{o.Reason}
			}
		}
		if left = again; len(left) == 0 {
			break
		}
		if err = fmt.Errorf("storing %d documents: %w", len(left), err); try == putTries || store.IsRefused(err) {
			return nil, 0, err
		}
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			return nil, 0, errors.Join(err, ctx.Err())
		}
		wait = min(2*wait, putMaxWait)
	}
	return reasons, existed, nil
}
