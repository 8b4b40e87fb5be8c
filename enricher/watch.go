package enricher

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// unwatched kinds change too often to be watched for the few events that they have: a node's lease every ten seconds,
// endpoints with every probe. Their objects are asked for one by one.
var unwatched = map[schema.GroupResource]bool{
	{Group: "coordination.k8s.io", Resource: "leases"}: true,
	{Group: "", Resource: "endpoints"}:                 true,
}

// indexKeys are the keys by which objects of a kind are found.
var indexKeys = map[schema.GroupResource]func(*entry) string{
	serviceResource.GroupResource():  selectorKey,
	replicaSets.GroupResource():      ownerUID,
	revisionResource.GroupResource(): ownerUID,
}

// selectorKey is one pair of a Service's selector, its longest: each pod that it selects has a label like it, and few others.
func selectorKey(e *entry) string {
	f, ok := e.facts.(*serviceFacts)
	if !ok {
		return ""
	}
	var key, value string
	for k, v := range f.selector {
		if n, most := len(k)+len(v), len(key)+len(value); n > most || n == most && k > key {
			key, value = k, v
		}
	}
	if key == "" {
		return ""
	}
	return labelKey(e.key.namespace, key, value)
}

func labelKey(namespace, key, value string) string { return namespace + "/" + key + "=" + value }

func ownerUID(e *entry) string {
	if e.owner == nil {
		return ""
	}
	return e.owner.UID
}

// watchedKind is the cache of one kind, kept up to date by a reflector.
type watchedKind struct {
	*kindCache
	// patience is until when look-ups wait for the cache to fill.
	patience time.Time
	// healthy says that the last list or watch succeeded: what is not in the cache is not there.
	healthy atomic.Bool
	// failed is why the last list or watch did not succeed: a reason of objects.go, empty when it did or none has ended.
	failed atomic.Pointer[string]
}

// state is empty when the cache has been filled once, else why it has not.
func (k *watchedKind) state() string {
	if k.full() {
		return ""
	}
	if why := k.failed.Load(); why != nil && *why != "" {
		return *why
	}
	return reasonTimeout
}

// full reports whether the cache has been filled once.
func (k *watchedKind) full() bool {
	select {
	case <-k.synced:
		return true
	default:
		return false
	}
}

// watches starts a reflector for each kind when it is first asked for. It is safe for concurrent use.
type watches struct {
	ctx      context.Context // ends the reflectors
	sources  sources
	seen     map[schema.GroupResource]func(metav1.Object) // see kindCache.seen; complete before the first watch
	buried   map[schema.GroupResource]func(uid string)    // see kindCache.buried; likewise
	now      func() time.Time
	keep     time.Duration
	syncWait time.Duration
	perms    *permissions
	metrics  *metrics

	mu    sync.RWMutex
	kinds map[schema.GroupResource]*watchedKind
}

// of returns the cache of r's objects, nil for a kind that is not watched.
func (w *watches) of(r resource) *watchedKind {
	gr := r.GroupResource()
	w.mu.RLock()
	k := w.kinds[gr]
	w.mu.RUnlock()
	if k != nil || unwatched[gr] {
		return k
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.kinds[gr]; k != nil {
		return k
	}
	k = &watchedKind{kindCache: newKindCache(w.now, w.keep), patience: w.now().Add(w.syncWait)}
	k.indexKey, k.seen, k.buried = indexKeys[gr], w.seen[gr], w.buried[gr]
	if gr == sliceResource.GroupResource() {
		k.members = newMemberships(w.keep)
	}
	w.kinds[gr] = k
	w.metrics.kinds.Set(float64(len(w.kinds)))
	// client-go's own lines would tell in other words, and again and again, what is reported here once.
	ctx := klog.NewContext(w.ctx, logr.Discard())
	quiet := logr.Discard()
	from := w.sources.of(r)
	reflector := cache.NewReflectorWithOptions(w.listWatch(r, from, k), from.example, k.kindCache,
		cache.ReflectorOptions{Name: "kubescribe-enricher/" + gr.String(), Logger: &quiet})
	go reflector.RunWithContext(ctx)
	return k
}

// listWatch lists and watches r in all namespaces, and notes how that went.
func (w *watches) listWatch(r resource, from source, k *watchedKind) cache.ListerWatcher {
	note := func(verb string, err error) {
		outcome := outcomeOf(err)
		w.metrics.request(verb, outcome)
		k.healthy.Store(err == nil)
		why := reasonOf(outcome)
		k.failed.Store(&why)
		switch outcome {
		case outcomeForbidden:
			w.perms.denied(r, "list", "watch")
		case outcomeOK:
			w.perms.granted(r, "list", "watch")
		}
	}
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := from.list(ctx, o)
			note("list", err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			i, err := from.watch(ctx, o)
			note("watch", err)
			return i, err
		},
	}, from.client)
}

// count sums up what is remembered.
func (w *watches) count() (live, deleted int) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, k := range w.kinds {
		l, d := k.size()
		live, deleted = live+l, deleted+d
	}
	return live, deleted
}

// How a request to the API server ended.
const (
	outcomeOK          = "ok"
	outcomeNotFound    = "not_found"
	outcomeForbidden   = "forbidden"
	outcomeFailed      = "failed"      // the API server answered with another error
	outcomeUnreachable = "unreachable" // no answer, or that it can't answer now
)

// reasonOf is what an outcome leaves missing; empty for outcomeOK.
func reasonOf(outcome string) string {
	switch outcome {
	case outcomeOK:
		return ""
	case outcomeNotFound:
		return reasonNotFound
	case outcomeForbidden:
		return reasonForbidden
	case outcomeFailed:
		return reasonFailed
	}
	return reasonUnreachable
}

// outcomeOf is the one place that judges an error of the API server.
func outcomeOf(err error) string {
	switch status := apierrors.APIStatus(nil); {
	case err == nil:
		return outcomeOK
	case apierrors.IsNotFound(err):
		return outcomeNotFound
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return outcomeForbidden
	case apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err),
		apierrors.IsInternalError(err):
		return outcomeUnreachable
	case asStatus(err, &status):
		return outcomeFailed
	}
	return outcomeUnreachable
}
