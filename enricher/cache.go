package enricher

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

// The bounds of what is remembered of one kind.
const (
	// maxCachedAnnotation is the longest annotation that is remembered, in bytes.
	maxCachedAnnotation = 4 << 10
	// maxTombstones is how many deleted objects of a kind are remembered at once; beyond it the oldest is forgotten.
	maxTombstones = 20_000
)

// lastApplied is never copied: it repeats the whole object, environment variables included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// entry is what is remembered of one object. It is never changed after it was stored, except for deleted.
type entry struct {
	key                 objectKey
	uid                 string
	labels, annotations map[string]string
	cut                 bool // annotations were left out
	owner               *schemas.Owner
	facts               any       // of facts.go; nil when only the metadata was read
	deleted             time.Time // zero while it lives; guarded by kindCache.mu
}

type objectKey struct{ namespace, name string }

// newEntry keeps what a document needs of an object, and no reference to it.
func newEntry(o metav1.Object) *entry {
	e := &entry{
		key: objectKey{o.GetNamespace(), o.GetName()}, uid: string(o.GetUID()), labels: o.GetLabels(),
		owner: controller(o.GetOwnerReferences()), facts: factsOf(o),
	}
	for k, v := range o.GetAnnotations() {
		switch {
		case k == lastApplied:
		case len(v) > maxCachedAnnotation:
			e.cut = true
		default:
			if e.annotations == nil {
				e.annotations = make(map[string]string, len(o.GetAnnotations()))
			}
			e.annotations[k] = v
		}
	}
	return e
}

// controller is the owner that controls the object or, when none claims to, the only one.
func controller(refs []metav1.OwnerReference) *schemas.Owner {
	pick := -1
	for i, r := range refs {
		if r.Controller != nil && *r.Controller {
			pick = i
			break
		}
	}
	if pick < 0 {
		if len(refs) != 1 {
			return nil
		}
		pick = 0
	}
	r := refs[pick]
	return &schemas.Owner{APIVersion: r.APIVersion, Kind: r.Kind, Name: r.Name, UID: string(r.UID)}
}

// kindCache remembers the objects of one kind, deleted ones included for a while. A cache.Reflector fills it; it is that
// reflector's store. It is safe for concurrent use.
type kindCache struct {
	now  func() time.Time
	keep time.Duration // how long deleted objects stay

	mu     sync.RWMutex
	byName map[objectKey]*entry // the latest of each name, living or deleted
	byUID  map[string]*entry
	graves []*entry // deleted entries, oldest first
	// index finds entries, deleted ones included, by a key that indexKey gives them; "" is no key. members notes what slices list.
	index    map[string]map[string]*entry // key → UID → entry
	indexKey func(*entry) string
	members  *memberships
	// changed is closed and replaced by every change while somebody waits for one.
	changed chan struct{}
	waiting int
	synced  chan struct{}       // closed by the first Replace
	seen    func(metav1.Object) // called with each object before it is shrunk; set before the first
	buried  func(uid string)    // called for each object that was deleted, under mu; set before the first
	isFull  bool                // synced is closed
}

func newKindCache(now func() time.Time, keep time.Duration) *kindCache {
	return &kindCache{
		now: now, keep: keep, byName: map[objectKey]*entry{}, byUID: map[string]*entry{},
		changed: make(chan struct{}), synced: make(chan struct{}), index: map[string]map[string]*entry{},
	}
}

// find returns the entry that ref means: by UID when it has one, else the latest of its name. anyUID accepts the latest of
// the name whatever its UID. other reports that another object has the name.
func (k *kindCache) find(ref schemas.Subject, anyUID bool) (e *entry, other bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if ref.UID != "" && !anyUID {
		if e = k.byUID[ref.UID]; e != nil && k.remembered(e) {
			return e, false
		}
	}
	e = k.byName[objectKey{ref.Namespace, ref.Name}]
	if e == nil || !k.remembered(e) {
		return nil, false
	}
	if ref.UID == "" || anyUID || e.uid == ref.UID {
		return e, false
	}
	return nil, e.deleted.IsZero()
}

// remembered reports whether e lives or died recently enough. The caller holds mu.
func (k *kindCache) remembered(e *entry) bool {
	return e.deleted.IsZero() || k.now().Sub(e.deleted) <= k.keep
}

// dead reports whether e was deleted.
func (k *kindCache) dead(e *entry) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return !e.deleted.IsZero()
}

// wait calls again whenever the cache changed, until it returns true or done is closed.
func (k *kindCache) wait(done <-chan struct{}, again func() bool) bool {
	k.mu.Lock()
	k.waiting++
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.waiting--
		k.mu.Unlock()
	}()
	for {
		k.mu.RLock()
		changed := k.changed
		k.mu.RUnlock()
		if again() {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

// size counts living and deleted objects.
func (k *kindCache) size() (live, deleted int) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.byUID) - len(k.graves), len(k.graves)
}

// put stores e; the caller holds mu.
func (k *kindCache) put(e *entry) {
	if old := k.byName[e.key]; old != nil && old.uid != e.uid {
		k.bury(old) // its deletion was not seen
	}
	if old := k.byUID[e.uid]; old != nil && !old.deleted.IsZero() {
		return // a deleted object does not come back
	}
	old := k.byUID[e.uid]
	if old != nil {
		if was, ok := old.facts.(*revisionFacts); ok {
			e.facts.(*revisionFacts).follow(was, k.now())
		}
		k.unindex(old)
	}
	if k.members != nil {
		k.members.change(old, e, k.now())
	}
	if key := k.keyOf(e); key != "" {
		if k.index[key] == nil {
			k.index[key] = map[string]*entry{}
		}
		k.index[key][e.uid] = e
	}
	k.byName[e.key], k.byUID[e.uid] = e, e
}

func (k *kindCache) keyOf(e *entry) string {
	if k.indexKey == nil {
		return ""
	}
	return k.indexKey(e)
}

// unindex takes e out of the index; the caller holds mu.
func (k *kindCache) unindex(e *entry) {
	key := k.keyOf(e)
	if set := k.index[key]; set[e.uid] == e {
		if delete(set, e.uid); len(set) == 0 {
			delete(k.index, key)
		}
	}
}

// each calls fn for what the index has under key, with whether it lives.
func (k *kindCache) each(key string, fn func(e *entry, lives bool)) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, e := range k.index[key] {
		if k.remembered(e) {
			fn(e, e.deleted.IsZero())
		}
	}
}

// bury marks e as deleted; the caller holds mu.
func (k *kindCache) bury(e *entry) {
	if e.deleted.IsZero() {
		e.deleted = k.now()
		if k.buried != nil {
			k.buried(e.uid)
		}
		k.graves = append(k.graves, e)
		if k.members != nil {
			k.members.change(e, nil, k.now())
		}
	}
}

// sweep forgets what was deleted too long ago, and tells those who wait; the caller holds mu.
func (k *kindCache) sweep() {
	n := 0
	for n < len(k.graves) && (len(k.graves)-n > maxTombstones || !k.remembered(k.graves[n])) {
		e := k.graves[n]
		if k.byUID[e.uid] == e {
			delete(k.byUID, e.uid)
			k.unindex(e)
		}
		if k.byName[e.key] == e {
			delete(k.byName, e.key)
		}
		n++
	}
	if n > 0 {
		clear(k.graves[:n])
		if k.graves = k.graves[n:]; len(k.graves) == 0 {
			k.graves = nil
		}
	}
	if k.waiting > 0 {
		close(k.changed)
		k.changed = make(chan struct{})
	}
}
