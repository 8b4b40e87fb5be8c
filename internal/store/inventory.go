package store

import (
	"context"
	"time"
)

// Inventory is what a store can say about which documents it holds, for whoever compares it with what should be there. Documents
// that somebody else has put beside ours, without @timestamp or event.id, are not counted. All methods may be called
// concurrently.
type Inventory interface {
	// Hours counts a cluster's documents from a full hour on, by class and hour. Where the privileges allow it, everything that
	// was stored before the call is seen. The order is undefined.
	Hours(ctx context.Context, cluster string, from time.Time) ([]Hour, error)
	// IDs shows the ids of a cluster's documents of one class and hour to fn, in ascending byte order and in parts. An error of fn
	// ends it and is returned.
	IDs(ctx context.Context, cluster, class string, hour time.Time, fn func(ids []string) error) error
	// Have says of each item whether its document is in its place. It reads by id, so that it sees what no search shows yet. The
	// bodies don't matter. Give it some hundred items.
	Have(ctx context.Context, items []Item) ([]bool, error)
}

// Hour is the number of documents of one class in one hour of event time, in UTC.
type Hour struct {
	Class string
	Start time.Time
	Count int64
}
