package stack

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// EventsPrefix is where the API server keeps Events in etcd: both core/v1 and events.k8s.io/v1 are views of the same keys.
const EventsPrefix = "/registry/events/"

// EventRevision is one revision of one Event as etcd holds it. It is the tests' reference, independent of the API server: the
// API server's resourceVersion of an object is the ModRevision of its key.
type EventRevision struct {
	Key         string
	Namespace   string
	Name        string
	UID         string // of the Event; empty for a deletion whose former value is compacted away
	ModRevision int64
	Deleted     bool // the revision removed the key, by a client or by the end of its TTL
}

// ResourceVersion returns ModRevision as the API server writes it.
func (r EventRevision) ResourceVersion() string { return strconv.FormatInt(r.ModRevision, 10) }

// A CompactedError tells that etcd has forgotten revisions that were asked for. What they held is lost to the watcher.
type CompactedError struct {
	Asked  int64 // the first revision that was to be read
	Oldest int64 // the oldest that etcd still has
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("revisions from %d to %d are lost: etcd was compacted", e.Asked, e.Oldest-1)
}

// EventsInEtcd lists the present revision of every Event in etcd at endpoint, ordered by key. All are from one moment.
func EventsInEtcd(ctx context.Context, endpoint string) ([]EventRevision, error) {
	client, err := etcdClient(endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	events, _, err := listEvents(ctx, client)
	return events, err
}

// CompactEtcd makes etcd forget all revisions before the present one, as the API server lets it do every five minutes: a watch of
// events that resumes from before then gets 410 Gone. It returns the revision at which it compacted.
func CompactEtcd(ctx context.Context, endpoint string) (int64, error) {
	client, err := etcdClient(endpoint)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	now, err := client.Get(ctx, EventsPrefix, clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("asking etcd for its revision: %w", err)
	}
	if _, err := client.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		return 0, fmt.Errorf("compacting etcd: %w", err)
	}
	return now.Header.Revision, nil
}

// WatchEvents calls each for every revision of an Event from revision from on, in order, each exactly once; progress is called when
// everything up to a revision was passed to each. With from 0 it begins with the present Events. It survives restarts of etcd.
// It returns nil once drain was closed and each has had everything that etcd held at that moment; else ctx's error, each's error, or
// a [CompactedError]: it never leaves out a revision silently.
func WatchEvents(
	ctx context.Context, endpoint string, from int64, drain <-chan struct{}, each func(EventRevision) error, progress func(revision int64) error,
) error {
	client, err := etcdClient(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	w := &eventWatch{client: client, next: from, target: -1, each: each, progress: progress}
	if from == 0 {
		events, revision, err := listEvents(ctx, client)
		if err != nil {
			return err
		}
		for _, event := range events {
			if err := each(event); err != nil {
				return err
			}
		}
		w.next = revision + 1
		if err := w.tell(revision); err != nil {
			return err
		}
	}
	for {
		done, err := w.stream(ctx, drain)
		if done || err != nil {
			return err
		}
	}
}

// An eventWatch is where WatchEvents stands between two streams.
type eventWatch struct {
	client   *clientv3.Client
	next     int64 // the first revision that each has not had
	told     int64 // the last revision that progress has had
	target   int64 // the revision to stop at, -1 while not draining
	each     func(EventRevision) error
	progress func(int64) error
}

// stream follows one watch until it ends. Its end without an error is a lost connection: the next one resumes at w.next.
func (w *eventWatch) stream(ctx context.Context, drain <-chan struct{}) (done bool, err error) {
	streamCtx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	responses := w.client.Watch(streamCtx, EventsPrefix, clientv3.WithPrefix(), clientv3.WithRev(w.next), clientv3.WithPrevKV())
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("watching events in etcd: %w", ctx.Err())
		case <-ticker.C:
			if w.target < 0 && closed(drain) {
				if w.target, err = w.present(ctx); err != nil {
					return false, nil // etcd is away: it is asked again on the next stream
				}
			}
			if w.target >= 0 && w.next > w.target {
				return true, w.tell(w.next - 1)
			}
			_ = w.client.RequestProgress(streamCtx) // one that fails is asked for again
		case response, open := <-responses:
			if response.CompactRevision > 0 {
				return false, &CompactedError{Asked: w.next, Oldest: response.CompactRevision}
			}
			if !open || response.Err() != nil {
				return false, pause(ctx)
			}
			if err := w.take(response); err != nil {
				return false, err
			}
		}
	}
}

// take passes on what a response holds. A response holds whole revisions, and a progress notification tells that all before it came.
func (w *eventWatch) take(response clientv3.WatchResponse) error {
	for _, e := range response.Events {
		if e.Kv.ModRevision < w.next {
			return fmt.Errorf("watching events in etcd: revision %d came after %d", e.Kv.ModRevision, w.next-1)
		}
	}
	for _, e := range response.Events {
		revision, err := decodeRevision(e)
		if err != nil {
			return err
		}
		if err := w.each(revision); err != nil {
			return err
		}
		w.next = e.Kv.ModRevision + 1
	}
	if response.IsProgressNotify() {
		w.next = max(w.next, response.Header.Revision+1)
		return w.tell(response.Header.Revision)
	}
	return nil
}

func (w *eventWatch) tell(revision int64) error {
	if revision <= w.told {
		return nil
	}
	w.told = revision
	return w.progress(revision)
}

func (w *eventWatch) present(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now, err := w.client.Get(ctx, EventsPrefix, clientv3.WithCountOnly())
	if err != nil {
		return -1, err
	}
	return now.Header.Revision, nil
}

func etcdClient(endpoint string) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("making an etcd client for %s: %w", endpoint, err)
	}
	return client, nil
}

// listEvents reads all Events at one revision, in pages.
func listEvents(ctx context.Context, client *clientv3.Client) ([]EventRevision, int64, error) {
	const page = 2000
	var events []EventRevision
	key, revision := EventsPrefix, int64(0)
	end := clientv3.GetPrefixRangeEnd(EventsPrefix)
	for {
		got, err := client.Get(ctx, key, clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(revision))
		if err != nil {
			return nil, 0, fmt.Errorf("listing events in etcd: %w", err)
		}
		if revision == 0 {
			revision = got.Header.Revision
		}
		for _, kv := range got.Kvs {
			event, err := decodeEvent(kv.Key, kv.Value, kv.ModRevision)
			if err != nil {
				return nil, 0, err
			}
			events = append(events, event)
		}
		if !got.More {
			return events, revision, nil
		}
		key = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	}
}

func decodeRevision(e *clientv3.Event) (EventRevision, error) {
	if e.Type == clientv3.EventTypePut {
		return decodeEvent(e.Kv.Key, e.Kv.Value, e.Kv.ModRevision)
	}
	revision := EventRevision{Key: string(e.Kv.Key), ModRevision: e.Kv.ModRevision, Deleted: true}
	if e.PrevKv != nil {
		before, err := decodeEvent(e.Kv.Key, e.PrevKv.Value, e.Kv.ModRevision)
		if err != nil {
			return EventRevision{}, err
		}
		revision.Namespace, revision.Name, revision.UID = before.Namespace, before.Name, before.UID
	}
	return revision, nil
}

func decodeEvent(key, value []byte, revision int64) (EventRevision, error) {
	object, kind, err := scheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		return EventRevision{}, fmt.Errorf("decoding %s at revision %d: %w", key, revision, err)
	}
	event, ok := object.(*corev1.Event)
	if !ok {
		return EventRevision{}, errors.New("decoding " + string(key) + ": it is a " + kind.String() + ", no core/v1 Event")
	}
	return EventRevision{
		Key: string(key), Namespace: event.Namespace, Name: event.Name, UID: string(event.UID), ModRevision: revision,
	}, nil
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("watching events in etcd: %w", ctx.Err())
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}
