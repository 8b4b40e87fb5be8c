package enricher

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"kubescribe/enricher/crashlog"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// The bounds of a look-up.
const (
	// maxOwners is how long an owner chain is followed.
	maxOwners = 10
	// catchUp is how long a look-up waits for the watch when the API server no longer has an object that must have
	// existed a moment ago.
	catchUp = 100 * time.Millisecond
	// discoveryTimeout bounds a request of the discovery.
	discoveryTimeout = 10 * time.Second
	// settled is how long after it was observed an object that a working watch does not know is gone for sure, and not
	// asked for. A backlog of old events therefore costs no requests.
	settled = time.Minute
)

// neverRead kinds are not looked up: Secrets for what they hold, Events because they have no context of their own.
var neverRead = map[schema.GroupKind]bool{
	{Kind: "Secret"}:                        true,
	{Kind: "Event"}:                         true,
	{Group: "events.k8s.io", Kind: "Event"}: true,
}

// Live is Objects from an API server. For each kind that is asked for it watches all objects, of most kinds their metadata
// only, and keeps deleted ones for a while; what a watch does not know yet is asked for one by one.
type Live struct {
	kinds   *kinds
	watches *watches
	fetcher *fetcher
	begin   sync.Once
	logs    *crashlog.Collector // nil when no logs are read
}

// NewObjects connects to the API server of rc; it sends no request before the first look-up. Everything that it starts
// ends with ctx. rc is copied, and its rate limits are replaced by cfg's.
func NewObjects(ctx context.Context, cfg Config, rc *rest.Config, d stream.Deps) (*Live, error) {
	rc = rest.CopyConfig(rc)
	rc.QPS, rc.RateLimiter = -1, nil // Live has limits of its own; client-go's would hold back watches as well
	meta, err := metadata.NewForConfig(metadata.ConfigFor(rc))
	if err != nil {
		return nil, fmt.Errorf("creating the metadata client: %w", err)
	}
	whole := rest.CopyConfig(rc)
	whole.ContentType, whole.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	typed, err := kubernetes.NewForConfig(whole)
	if err != nil {
		return nil, fmt.Errorf("creating the client: %w", err)
	}
	rc.Timeout = discoveryTimeout
	disc, err := discovery.NewDiscoveryClientForConfig(rc)
	if err != nil {
		return nil, fmt.Errorf("creating the discovery client: %w", err)
	}
	l := newLive(ctx, cfg, sources{meta, wholeSources(typed)}, disc, d)
	return l, l.collectLogs(ctx, cfg.Logs, rc, d)
}

// newLive reads the kinds of from.whole whole; without an entry there, a kind's metadata is all that is read of it, and what
// would need more is left out.
func newLive(ctx context.Context, cfg Config, from sources, disc discovery.DiscoveryInterface, d stream.Deps) *Live {
	log, now := d.Log, d.Now
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	m := newMetrics(d.Metrics)
	perms := &permissions{log: log, reported: map[string]bool{}}
	l := &Live{
		kinds: &kinds{
			client: disc, now: now, known: map[schema.GroupKind]resource{}, unknown: map[schema.GroupKind]bool{},
			report: func(err error) { m.request("discover", outcomeOf(err)) },
		},
		watches: &watches{
			ctx: ctx, sources: from, seen: map[schema.GroupResource]func(metav1.Object){}, buried: map[schema.GroupResource]func(string){},
			now: now, keep: cfg.KeepDeleted, syncWait: cfg.SyncWait, perms: perms, metrics: m,
			kinds: map[schema.GroupResource]*watchedKind{},
		},
		fetcher: &fetcher{
			ctx: ctx, sources: from, now: now, timeout: cfg.LookupTimeout, perms: perms, metrics: m,
			limit:   flowcontrol.NewTokenBucketRateLimiter(float32(cfg.APIQPS), cfg.APIBurst),
			answers: map[string]answer{}, denied: map[schema.GroupResource]time.Time{},
		},
	}
	m.countObjects(d.Metrics, l.watches.count)
	return l
}

// OnPod has fn called with every pod as the watch shows it, in the order of its changes and before the pod can be looked up,
// gone with the UID of each that was deleted, and begins to watch pods. fn keeps no reference to the pod, neither blocks, and fn is
// called from one goroutine at a time. They are set at most once, before the first look-up.
func (l *Live) OnPod(fn func(*corev1.Pod), gone func(uid string)) {
	l.watches.buried[podResource.GroupResource()] = gone
	l.watches.seen[podResource.GroupResource()] = func(o metav1.Object) {
		if pod, ok := o.(*corev1.Pod); ok {
			fn(pod)
		}
	}
	l.watches.of(podResource)
}

// Lookup implements Objects. Objects in the caches are answered without waiting.
func (l *Live) Lookup(ctx context.Context, ref schemas.Subject, seen time.Time) Object {
	l.begin.Do(l.watchAround)
	o := Object{Status: schemas.EnrichmentComplete}
	e, reason := l.find(ctx, ref, seen)
	if reason != "" {
		o.Status = schemas.EnrichmentPartial
		if reason == reasonTimeout || reason == reasonUnreachable {
			o.Status = schemas.EnrichmentUnavailable
		}
		o.lack(factObject, reason)
		l.addNamespace(ctx, &o, ref, seen)
		return o
	}
	o.Found, o.UID, o.Labels, o.Annotations, o.AnnotationsCut = true, e.uid, e.labels, e.annotations, e.cut
	self := e
	owners := l.chain(ctx, &o, e, seen)
	switch f, isVolume := e.facts.(*volumeFacts); {
	case isVolume:
		o.Volume = &f.VolumeState
		l.addNamespace(ctx, &o, schemas.Subject{Namespace: f.ClaimNamespace}, seen)
	case ref.Kind == "Namespace":
		o.NamespaceLabels, o.NamespaceAnnotations = e.labels, e.annotations
	default:
		l.addNamespace(ctx, &o, ref, seen)
	}
	l.addNode(ctx, &o, self, seen)
	l.addServices(ctx, &o, self)
	l.addRollout(ctx, &o, ref, self, owners)
	return o
}

// watchAround begins to watch what every pod needs, so that these caches fill side by side.
func (l *Live) watchAround() {
	for _, r := range []resource{podResource, namespaceResource, nodeResource, serviceResource, sliceResource, replicaSets, revisionResource} {
		if l.whole(r) || r == namespaceResource && l.whole(podResource) {
			l.watches.of(r)
		}
	}
}

// chain adds the owners of e, and returns what is known of them.
func (l *Live) chain(ctx context.Context, o *Object, e *entry, seen time.Time) []*entry {
	var known []*entry
	for owner := e.owner; owner != nil; owner = e.owner {
		if len(o.Owners) == maxOwners {
			o.lack(factOwner, reasonTooDeep)
			return known
		}
		o.Owners, o.OwnerLabels = append(o.Owners, *owner), append(o.OwnerLabels, nil)
		if isNode(owner.APIVersion, owner.Kind) {
			return known // a node has no owner
		}
		// An owner lives in the namespace of what it owns, or in none.
		up := schemas.Subject{APIVersion: owner.APIVersion, Kind: owner.Kind, Namespace: e.key.namespace, Name: owner.Name, UID: owner.UID}
		var reason string
		if e, reason = l.find(ctx, up, seen); reason != "" {
			o.lack(factOwner, reason)
			return known
		}
		o.OwnerLabels[len(o.OwnerLabels)-1] = e.labels
		known = append(known, e)
	}
	return known
}

// find returns the entry of one object, or why there is none.
func (l *Live) find(ctx context.Context, ref schemas.Subject, seen time.Time) (*entry, string) {
	group, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || ref.Kind == "" || ref.Name == "" {
		return nil, reasonUnknownKind
	}
	if neverRead[schema.GroupKind{Group: group.Group, Kind: ref.Kind}] {
		return nil, reasonNeverRead
	}
	r, reason := l.kinds.find(ctx, ref)
	if reason != "" {
		return nil, reason
	}
	if neverRead[schema.GroupKind{Group: r.Group, Kind: ref.Kind}] {
		return nil, reasonNeverRead // an Event without apiVersion
	}
	return l.findIn(ctx, r, ref, seen)
}

// findIn is find for a kind whose resource is known.
func (l *Live) findIn(ctx context.Context, r resource, ref schemas.Subject, seen time.Time) (*entry, string) {
	if !r.namespaced {
		ref.Namespace = ""
	} else if ref.Namespace == "" {
		return nil, reasonNotFound
	}
	// The kubelet puts a node's name where controllers put its UID: there the name decides.
	q := question{resource: r, ref: ref, anyUID: isNode(r.GroupVersion().String(), ref.Kind), seen: seen}
	k := l.watches.of(r)
	if k == nil {
		e, reason, _ := l.ask(ctx, q, true)
		return e, reason
	}
	if e, _ := k.find(ref, q.anyUID); e != nil {
		return e, ""
	}
	if !k.full() {
		awaitSync(ctx, k)
		if e, _ := k.find(ref, q.anyUID); e != nil {
			return e, ""
		}
	}
	return l.missed(ctx, k, q)
}

// question is which object is looked for.
type question struct {
	resource
	ref    schemas.Subject
	anyUID bool // the name decides
	seen   time.Time
}

// awaitSync waits until the cache is full, its patience is over, or ctx ends.
func awaitSync(ctx context.Context, k *watchedKind) {
	left := k.patience.Sub(k.now())
	if left <= 0 {
		return
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-k.synced:
	case <-t.C:
	case <-ctx.Done():
	}
}

// missed finds an object that the cache of its kind does not hold.
func (l *Live) missed(ctx context.Context, k *watchedKind, q question) (*entry, string) {
	trusted := k.full() && k.healthy.Load()
	var e *entry
	reason, fresh := reasonSpent, false
	if !trusted || k.now().Sub(q.seen) < settled {
		if e, reason, fresh = l.ask(ctx, q, !trusted); reason == "" {
			return e, ""
		}
	}
	var other bool
	look := func() bool { e, other = k.find(q.ref, q.anyUID); return e != nil }
	if look() {
		return e, ""
	}
	if !trusted {
		return nil, reason
	}
	switch reason {
	case reasonNotFound, reasonReplaced:
		// It was there a moment ago and is deleted: the watch is about to tell what it was.
		short, cancel := context.WithTimeout(ctx, catchUp)
		defer cancel()
		if fresh && k.wait(short.Done(), look) {
			return e, ""
		}
	case reasonSpent, reasonForbidden:
		// The watch works, so it is believed: it lags by moments only.
		if reason = reasonNotFound; other {
			reason = reasonReplaced
		}
	}
	return nil, reason
}

// reasonSpent never reaches a document: no request was spent on this object.
const reasonSpent = "spent"

// ask asks the API server for one object. fresh says that the answer was not remembered.
func (l *Live) ask(ctx context.Context, q question, force bool) (e *entry, reason string, fresh bool) {
	a, remembered := l.fetcher.remembered(q.resource, q.ref)
	if !remembered {
		var ok bool
		if a, ok = l.fetcher.get(ctx, q.resource, q.ref, force); !ok {
			if ctx.Err() == nil && !force {
				return nil, reasonSpent, false
			}
			return nil, reasonTimeout, false
		}
	}
	if a.outcome == outcomeOK && q.ref.UID != "" && !q.anyUID && a.e.uid != q.ref.UID {
		return nil, reasonReplaced, !remembered
	}
	return a.e, reasonOf(a.outcome), !remembered
}
