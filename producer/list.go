package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// pageItems is the first page size. A list whose continue token expires, because etcd compacted while it was read, starts
// over with larger pages and in the end without pages.
const pageItems = 1000

// streamSilence is how long a streaming list may say nothing before it is given up for a paged one.
const streamSilence = 30 * time.Second

// listing is a list that was read to its end.
type listing struct {
	rv             uint64
	askedAt, until time.Time
}

// lister reads lists of Events, retrying for ever what is transient.
type lister struct {
	api     *client
	now     func() time.Time
	attempt func(ctx context.Context, fn func() error) error
}

// read calls start at the beginning of each try, then each with the protobuf of every item, valid until start is called again. With
// exact it reads the list as it was at that resourceVersion, in pages; its error is then classified as expired when the server has
// forgotten it. Without, the server streams the list if it can, which spares it holding pages. Items of one list are all at the same
// resourceVersion; their order is the server's, by namespace and name.
func (p *lister) read(ctx context.Context, exact uint64, start func(), each func(raw []byte) error) (listing, error) {
	if exact == 0 && !p.api.paged.Load() {
		start()
		l, err := p.stream(ctx, each)
		if err == nil || ctx.Err() != nil || !errors.Is(err, errNoStream) {
			return l, err
		}
	}
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

func (p *lister) try(ctx context.Context, exact uint64, size int64, each func(raw []byte) error) (l listing, err error) {
	o := metav1.ListOptions{Limit: size}
	if exact != 0 {
		o.ResourceVersion, o.ResourceVersionMatch = formatRV(exact), metav1.ResourceVersionMatchExact
	}
	for {
		var page eventPage
		err := p.attempt(ctx, func() (err error) {
			if l.rv == 0 {
				l.askedAt = p.now()
			}
			page, err = p.api.page(ctx, o)
			return err
		})
		if err != nil {
			return l, err
		}
		if l.rv == 0 {
			l.until = p.now()
			if l.rv, err = parseRV(page.rv); err != nil {
				return l, err
			}
		}
		for _, raw := range page.items {
			if err := each(raw); err != nil {
				return l, err
			}
		}
		if page.next == "" {
			return l, nil
		}
		o = metav1.ListOptions{Limit: size, Continue: page.next}
	}
}

// errNoStream says that the list is to be read in pages.
var errNoStream = errors.New("the server does not stream this list")

// stream reads a streaming list. The watch that follows it is not used: emitting the list can take longer than a server holds
// back what a watch owes.
func (p *lister) stream(ctx context.Context, each func(raw []byte) error) (l listing, err error) {
	l.askedAt = p.now()
	w, err := p.api.watchList(ctx)
	if err != nil {
		if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
			p.api.paged.Store(true) // for good: it has no streaming lists
		}
		return l, fmt.Errorf("%w: %w", errNoStream, err)
	}
	defer w.Stop()
	silence := time.NewTimer(streamSilence)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return l, ctx.Err()
		case <-silence.C:
			return l, errNoStream
		case frames, open := <-w.frames:
			if !open {
				return l, errors.Join(errNoStream, w.err)
			}
			silence.Reset(streamSilence)
			for i := range frames {
				f := &frames[i]
				switch {
				case f.kind == watch.Error || f.bad != nil:
					return l, errors.Join(errNoStream, f.status, f.bad)
				case f.kind == watch.Added:
					if err := each(f.raw); err != nil {
						return l, err
					}
				case f.kind == watch.Bookmark && isListEnd(f.raw):
					e := scanEvent(f.raw)
					l.until = p.now()
					l.rv, err = parseRV(string(e.rv))
					return l, err
				}
			}
		}
	}
}

// isListEnd reports whether a bookmark says that the list is through.
func isListEnd(raw []byte) bool {
	e := wireEvent{raw: raw}
	ev, err := e.decode()
	return err == nil && ev.Annotations[metav1.InitialEventsAnnotationKey] == "true"
}
