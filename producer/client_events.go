package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// eventsRequest is a request for Events. Answers are read as they are on the wire (wire.go), not through client-go's decoders.
func (c *client) eventsRequest(o metav1.ListOptions) *rest.Request {
	o = c.selected.options(o)
	in := c.selected.in()
	return c.core.RESTClient().Get().NamespaceIfScoped(in, in != "").Resource("events").VersionedParams(&o, scheme.ParameterCodec)
}

// head is the resourceVersion that the server is at now: a list of one with a quorum read.
func (c *client) head(ctx context.Context) (uint64, error) {
	list, err := c.page(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 0, fmt.Errorf("reading the server's resourceVersion: %w", err)
	}
	return parseRV(list.rv)
}

// eventPage is a page of a list.
type eventPage struct {
	rv, next string // next is the continue token
	items    [][]byte
}

func (c *client) page(ctx context.Context, o metav1.ListOptions) (eventPage, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := c.eventsRequest(o).Do(ctx).Raw()
	if err == nil {
		var p eventPage
		if p, err = readPage(body); err == nil {
			return p, nil
		}
	}
	return eventPage{}, fmt.Errorf("listing events: %w", err)
}

var errMalformed = errors.New("the API server's answer is no protobuf and no JSON of Events")

// readPage takes a list apart; the items are parts of body.
func readPage(body []byte) (p eventPage, err error) {
	if isJSON(body) {
		return readJSONPage(body)
	}
	_, raw, ok := unwrap(body)
	if !ok {
		return p, errMalformed
	}
	for c := (cursor{b: raw}); ; {
		field, kind, _, value, more := c.next()
		switch {
		case c.bad:
			return p, errMalformed
		case !more:
			return p, nil
		case field == 1 && kind == wireBytes:
			var meta metav1.ListMeta
			if err := meta.Unmarshal(value); err != nil {
				return p, errors.Join(errMalformed, err)
			}
			p.rv, p.next = meta.ResourceVersion, meta.Continue
		case field == 2 && kind == wireBytes:
			p.items = append(p.items, value)
		}
	}
}

// readJSONPage is for servers and proxies that know no protobuf.
func readJSONPage(body []byte) (p eventPage, err error) {
	var list corev1.EventList
	if err := kjson.Unmarshal(body, &list); err != nil {
		return p, errors.Join(errMalformed, err)
	}
	p.rv, p.next = list.ResourceVersion, list.Continue
	for i := range list.Items {
		raw, err := list.Items[i].Marshal()
		if err != nil {
			return p, errors.Join(errMalformed, err)
		}
		p.items = append(p.items, raw)
	}
	return p, nil
}

var protobufMagic = []byte{'k', '8', 's', 0}

// unwrap takes the envelope off an object that is protobuf.
func unwrap(b []byte) (kind string, raw []byte, ok bool) {
	b, ok = bytes.CutPrefix(b, protobufMagic)
	if !ok {
		return "", nil, false
	}
	for c := (cursor{b: b}); ; {
		field, wire, _, value, more := c.next()
		switch {
		case c.bad:
			return "", nil, false
		case !more:
			return kind, raw, true
		case field == 1 && wire == wireBytes:
			for t := (cursor{b: value}); ; {
				field, _, _, value, more := t.next()
				if !more {
					break
				}
				if field == 2 {
					kind = string(value)
				}
			}
		case field == 2 && wire == wireBytes:
			raw = value
		}
	}
}

// isJSON tells an answer in JSON from one in protobuf, of which none begins so: neither an object nor a frame of a watch, which
// begins with its length.
func isJSON(b []byte) bool { return len(b) > 0 && b[0] == '{' }

// watch opens a watch of what is newer than rv. The caller stops it.
func (c *client) watch(ctx context.Context, rv uint64) (*eventWatch, error) {
	return c.openWatch(ctx, metav1.ListOptions{ResourceVersion: formatRV(rv), AllowWatchBookmarks: true})
}

// watchList opens a watch that begins with all Events there are, and says with a bookmark when it has shown them.
func (c *client) watchList(ctx context.Context) (*eventWatch, error) {
	yes := true
	return c.openWatch(ctx, metav1.ListOptions{
		AllowWatchBookmarks: true, SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
}

func (c *client) openWatch(ctx context.Context, o metav1.ListOptions) (*eventWatch, error) {
	ctx, cancel := context.WithCancel(ctx)
	overdue := time.AfterFunc(openTimeout, cancel)
	o.Watch = true
	body, err := c.eventsRequest(o).Stream(ctx)
	if !overdue.Stop() && err == nil {
		_ = body.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watching events: %w", err)
	}
	return newEventWatch(ctx, cancel, body), nil
}
