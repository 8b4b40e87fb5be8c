package producer

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pageItems is the first page size. A list whose continue token expires, because etcd compacted while it was read, starts
// over with larger pages and in the end without pages.
const pageItems = 500

// listing is a list that was read to its end.
type listing struct {
	rv             uint64
	askedAt, until time.Time
}

// pager reads lists of Events page by page, retrying for ever what is transient.
type pager struct {
	api     *client
	now     func() time.Time
	attempt func(ctx context.Context, fn func() error) error
}

// read calls start for the first page of each try, then each for every item. With exact it reads the list as it was at that
// resourceVersion; its error is then classified as expired when the server has forgotten it. Items of one list are all at the
// same resourceVersion; their order is the server's, by namespace and name.
func (p *pager) read(ctx context.Context, exact uint64, start func(), each func(*corev1.Event) error) (listing, error) {
	for size := int64(pageItems); ; size *= 4 {
		if size > pageItems*64 {
			size = 0
		}
		start()
		l, err := p.try(ctx, exact, size, each)
		if classify(err) == expired && err != nil && (l.rv != 0 && size != 0) {
			continue // not the list but its continue token: the first page had come
		}
		return l, err
	}
}

func (p *pager) try(ctx context.Context, exact uint64, size int64, each func(*corev1.Event) error) (l listing, err error) {
	o := metav1.ListOptions{Limit: size}
	if exact != 0 {
		o.ResourceVersion, o.ResourceVersionMatch = formatRV(exact), metav1.ResourceVersionMatchExact
	}
	for {
		var list *corev1.EventList
		err := p.attempt(ctx, func() (err error) {
			if l.rv == 0 {
				l.askedAt = p.now()
			}
			list, err = p.api.page(ctx, o)
			return err
		})
		if err != nil {
			return l, err
		}
		if l.rv == 0 {
			l.until = p.now()
			if l.rv, err = parseRV(list.ResourceVersion); err != nil {
				return l, err
			}
		}
		for i := range list.Items {
			if err := each(&list.Items[i]); err != nil {
				return l, err
			}
		}
		if list.Continue == "" {
			return l, nil
		}
		o = metav1.ListOptions{Limit: size, Continue: list.Continue}
	}
}

// pending is an encoded revision that waits for its turn.
type pending struct {
	rv     uint64
	record *kgo.Record
	fact   fact
}

// oldest keeps, within a bound of bytes, the revisions with the lowest resourceVersions of all that it is given.
type oldest struct {
	limit, bytes int
	items        newestFirst
	// cut is the lowest resourceVersion that found no room; 0: all did.
	cut uint64
}

// wants reports whether a revision could be kept; asking first saves its encoding.
func (o *oldest) wants(rv uint64) bool { return o.cut == 0 || rv < o.cut }

func (o *oldest) add(p pending) {
	heap.Push(&o.items, p)
	o.bytes += recordSize(p.record)
	for o.bytes > o.limit && len(o.items) > 1 {
		out := heap.Pop(&o.items).(pending)
		o.bytes -= recordSize(out.record)
		o.cut = out.rv
	}
}

// sorted takes what was kept, lowest first.
func (o *oldest) sorted() []pending {
	items := []pending(o.items)
	o.items, o.bytes = nil, 0
	slices.SortFunc(items, func(a, b pending) int {
		if a.rv < b.rv {
			return -1
		}
		return 1
	})
	return items
}

type newestFirst []pending

func (h newestFirst) Len() int           { return len(h) }
func (h newestFirst) Less(i, j int) bool { return h[i].rv > h[j].rv }
func (h newestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *newestFirst) Push(x any)        { *h = append(*h, x.(pending)) }
func (h *newestFirst) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = pending{}
	*h = old[:len(old)-1]
	return p
}
