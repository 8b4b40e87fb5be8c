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
	deleted             time.Time // zero while it lives; guarded by kindCache.mu
}

type objectKey struct{ namespace, name string }

// newEntry keeps what a document needs of an object's metadata, and no reference to the object.
func newEntry(o *metav1.PartialObjectMetadata) *entry {
	e := &entry{key: objectKey{o.Namespace, o.Name}, uid: string(o.UID), labels: o.Labels, owner: controller(o.OwnerReferences)}
	for k, v := range o.Annotations {
		switch {
		case k == lastApplied:
		case len(v) > maxCachedAnnotation:
			e.cut = true
		default:
			if e.annotations == nil {
				e.annotations = make(map[string]string, len(o.Annotations))
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
	// changed is closed and replaced by every change while somebody waits for one.
	changed chan struct{}
	waiting int
	synced  chan struct{} // closed by the first Replace
	isFull  bool          // synced is closed
}

func newKindCache(now func() time.Time, keep time.Duration) *kindCache {
	return &kindCache{
		now: now, keep: keep, byName: map[objectKey]*entry{}, byUID: map[string]*entry{},
		changed: make(chan struct{}), synced: make(chan struct{}),
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
	k.byName[e.key], k.byUID[e.uid] = e, e
}

// bury marks e as deleted; the caller holds mu.
func (k *kindCache) bury(e *entry) {
	if e.deleted.IsZero() {
		e.deleted = k.now()
		k.graves = append(k.graves, e)
	}
}

// sweep forgets what was deleted too long ago, and tells those who wait; the caller holds mu.
func (k *kindCache) sweep() {
	n := 0
	for n < len(k.graves) && (len(k.graves)-n > maxTombstones || !k.remembered(k.graves[n])) {
		e := k.graves[n]
		if k.byUID[e.uid] == e {
			delete(k.byUID, e.uid)
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
