package enricher

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"

	"kubescribe/schemas"
)

// How often the API server is asked for its kinds: again for a kind that it did not have, and again after a failure.
const (
	discoverAgain = time.Minute
	discoverRetry = 5 * time.Second
)

// resource is where the objects of a kind are served.
type resource struct {
	schema.GroupVersionResource
	namespaced bool
}

// kinds maps kinds to resources, from the API server's discovery, which it keeps. It is safe for concurrent use.
type kinds struct {
	client discovery.DiscoveryInterface
	now    func() time.Time
	// report is told the outcome of each discovery.
	report func(error)

	mu      sync.Mutex
	mapper  meta.RESTMapper
	byKind  map[string][]schema.GroupKind // for a subject without apiVersion
	known   map[schema.GroupKind]resource
	unknown map[schema.GroupKind]bool // until the next discovery
	last    time.Time                 // when the last discovery began
	err     error                     // its outcome
	flight  chan struct{}             // closed when the running one ends; nil when none runs
}

// find returns the resource of ref's kind, or a reason. It waits for a discovery that ctx has time for.
func (k *kinds) find(ctx context.Context, ref schemas.Subject) (resource, string) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || ref.Kind == "" {
		return resource{}, reasonUnknownKind
	}
	gk := schema.GroupKind{Group: gv.Group, Kind: ref.Kind}
	for {
		k.mu.Lock()
		r, reason, flight := k.step(gk, ref.APIVersion == "")
		k.mu.Unlock()
		if flight == nil {
			return r, reason
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return resource{}, reasonTimeout
		}
	}
}

// step answers from memory, or begins a discovery and returns what to wait for. The caller holds mu.
func (k *kinds) step(gk schema.GroupKind, anyGroup bool) (r resource, reason string, flight chan struct{}) {
	if r, ok := k.known[gk]; ok {
		return r, "", nil
	}
	if k.mapper != nil && !k.unknown[gk] {
		if r, ok := k.resolve(gk, anyGroup); ok {
			k.known[gk] = r
			return r, "", nil
		}
		k.unknown[gk] = true
	}
	reason = reasonUnknownKind
	if k.mapper == nil || k.err != nil {
		reason = reasonUnreachable
	}
	age := k.now().Sub(k.last)
	switch {
	case k.flight != nil && age < discoverRetry:
		return r, reason, k.flight
	case k.flight != nil: // it takes too long to wait for
		return r, reason, nil
	case !k.last.IsZero() && age < discoverRetry, k.mapper != nil && k.err == nil && age < discoverAgain:
		return r, reason, nil
	}
	k.last, k.flight = k.now(), make(chan struct{})
	go k.discover(k.flight)
	return r, reason, k.flight
}

// resolve asks the mapper. A subject without apiVersion is of the core group or, when that has no such kind, of the only
// group that has. The caller holds mu.
func (k *kinds) resolve(gk schema.GroupKind, anyGroup bool) (resource, bool) {
	m, err := k.mapper.RESTMapping(gk)
	if err != nil && anyGroup && len(k.byKind[gk.Kind]) == 1 {
		m, err = k.mapper.RESTMapping(k.byKind[gk.Kind][0])
	}
	if err != nil {
		return resource{}, false
	}
	return resource{m.Resource, m.Scope.Name() == meta.RESTScopeNameNamespace}, true
}

// discover reads the kinds that the API server has now. Groups whose own server is away are left out.
func (k *kinds) discover(flight chan struct{}) {
	groups, err := restmapper.GetAPIGroupResources(k.client)
	k.report(err)
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(flight)
	k.flight, k.err = nil, err
	if err != nil {
		return
	}
	k.mapper, k.byKind = restmapper.NewDiscoveryRESTMapper(groups), map[string][]schema.GroupKind{}
	k.known, k.unknown = map[schema.GroupKind]resource{}, map[schema.GroupKind]bool{}
	for _, g := range groups {
		seen := map[string]bool{}
		for _, resources := range g.VersionedResources {
			for _, r := range resources {
				if !seen[r.Kind] {
					seen[r.Kind] = true
					k.byKind[r.Kind] = append(k.byKind[r.Kind], schema.GroupKind{Group: g.Group.Name, Kind: r.Kind})
				}
			}
		}
	}
}
