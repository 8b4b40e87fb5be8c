package enricher

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Add, Update, Delete, Replace, Resync and Transformer are cache.TransformingStore, for the reflector alone.

// Add stores an object.
func (k *kindCache) Add(obj any) error {
	if e := k.newEntry(obj); e != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.put(e)
		k.sweep()
	}
	return nil
}

// Update stores an object.
func (k *kindCache) Update(obj any) error { return k.Add(obj) }

// Delete keeps the object as a deleted one, also when it was never seen alive.
func (k *kindCache) Delete(obj any) error {
	if e := k.newEntry(obj); e != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.byUID[e.uid] == nil {
			k.put(e)
		}
		k.bury(k.byUID[e.uid])
		k.sweep()
	}
	return nil
}

// Replace stores what a list held; what is not in it was deleted meanwhile.
func (k *kindCache) Replace(objs []any, _ string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	listed := make(map[string]bool, len(objs))
	for _, obj := range objs {
		if e := k.newEntry(obj); e != nil {
			listed[e.uid] = true
			k.put(e)
		}
	}
	for uid, e := range k.byUID {
		if !listed[uid] {
			k.bury(e)
		}
	}
	if !k.isFull {
		k.isFull = true
		close(k.synced)
	}
	k.sweep()
	return nil
}

// Resync does nothing.
func (k *kindCache) Resync() error { return nil }

// Transformer shrinks objects as they arrive, so that a list of a large kind is never held whole.
func (k *kindCache) Transformer() cache.TransformFunc { return k.shrink }

// shrunk carries an entry through the reflector's own store, which asks for the object's name.
type shrunk struct {
	metav1.PartialObjectMetadata
	entry *entry
}

// shrink shows the object to seen, if there is somebody, and keeps its entry.
func (k *kindCache) shrink(obj any) (any, error) {
	o, ok := obj.(metav1.Object)
	if !ok {
		return obj, nil
	}
	if _, done := obj.(*shrunk); done {
		return obj, nil
	}
	s := &shrunk{entry: k.newEntry(obj)}
	s.Namespace, s.Name, s.UID, s.ResourceVersion = o.GetNamespace(), o.GetName(), o.GetUID(), o.GetResourceVersion()
	return s, nil
}

func (k *kindCache) newEntry(obj any) *entry {
	switch o := obj.(type) {
	case *shrunk:
		return o.entry
	case metav1.Object:
		if k.seen != nil {
			k.seen(o)
		}
		return newEntry(o)
	}
	return nil
}
