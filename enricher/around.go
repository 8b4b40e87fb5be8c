package enricher

import (
	"cmp"
	"context"
	"slices"
	"time"

	"kubescribe/schemas"
)

// maxServices is how many Services of one pod are named.
const maxServices = 20

// whole reports whether more than the metadata of r is read.
func (l *Live) whole(r resource) bool {
	_, ok := l.watches.sources.whole[r.GroupResource()]
	return ok
}

// ready returns the cache of r once it is full, or why it is not.
func (l *Live) ready(ctx context.Context, r resource) (*watchedKind, string) {
	k := l.watches.of(r)
	if !k.full() {
		awaitSync(ctx, k)
	}
	return k, k.state()
}

// addNamespace adds the namespace of a namespaced object. Of an object that is not known a missing namespace is not worth a
// word: what is wrong has been said.
func (l *Live) addNamespace(ctx context.Context, o *Object, ref schemas.Subject, seen time.Time) {
	if ref.Namespace == "" || !l.whole(podResource) {
		return
	}
	e, reason := l.findIn(ctx, namespaceResource, schemas.Subject{APIVersion: "v1", Kind: "Namespace", Name: ref.Namespace}, seen)
	switch {
	case reason == "":
		o.NamespaceLabels, o.NamespaceAnnotations = e.labels, e.annotations
	case o.Found:
		o.lack(factNamespace, reason)
	}
}

// addNode adds the node of a pod that has one, and a node's own state.
func (l *Live) addNode(ctx context.Context, o *Object, e *entry, seen time.Time) {
	n := e
	switch f := e.facts.(type) {
	case *nodeFacts:
	case *podFacts:
		for _, i := range f.images {
			o.Images = append(o.Images, Image{i.container, i.ref})
		}
		if f.node == "" {
			return
		}
		o.Node = &Node{Name: f.node}
		var reason string
		if n, reason = l.findIn(ctx, nodeResource, schemas.Subject{APIVersion: "v1", Kind: "Node", Name: f.node}, seen); reason != "" {
			o.lack(factNode, reason)
			return
		}
	default:
		return
	}
	o.Node = &Node{Name: n.key.name, UID: n.uid, Labels: n.labels, Deleted: l.watches.of(nodeResource).dead(n)}
	if f, ok := n.facts.(*nodeFacts); ok {
		o.Node.Ready, o.Node.Conditions, o.Node.Unschedulable = f.ready, f.conditions, f.unschedulable
	}
}

// addServices adds the Services that select a pod: those whose selector its labels match, and those whose EndpointSlices
// list it (or, of a deleted pod, listed it). A Service that is gone selects none but the pods that are gone too.
func (l *Live) addServices(ctx context.Context, o *Object, e *entry) {
	if _, isPod := e.facts.(*podFacts); !isPod || !l.whole(serviceResource) {
		return
	}
	lives := !l.watches.of(podResource).dead(e)
	names := map[string]bool{}
	services, why := l.ready(ctx, serviceResource)
	if why != "" {
		o.lack(factServices, why)
	}
	for k, v := range e.labels {
		services.each(labelKey(e.key.namespace, k, v), func(s *entry, exists bool) {
			if (exists || !lives) && selects(s.facts.(*serviceFacts).selector, e.labels) {
				names[s.key.name] = true
			}
		})
	}
	slicesOf, alsoWhy := l.ready(ctx, sliceResource)
	if alsoWhy != "" && why == "" {
		o.lack(factServices, alsoWhy)
	}
	slicesOf.members.of(e.uid, lives, slicesOf.now(), func(service string) { names[service] = true })
	for name := range names {
		o.Services = append(o.Services, name)
	}
	slices.Sort(o.Services)
	o.Services = o.Services[:min(len(o.Services), maxServices)]
}

// selects reports whether labels have every pair of a selector.
func selects(selector, labels map[string]string) bool {
	for k, want := range selector {
		if have, ok := labels[k]; !ok || have != want {
			return false
		}
	}
	return true
}

// The kinds whose revisions are ReplicaSets, and those whose revisions are ControllerRevisions.
var (
	byReplicaSet = map[string]bool{"Deployment": true, "ReplicaSet": true, "Rollout": true}
	byRevision   = map[string]bool{"StatefulSet": true, "DaemonSet": true}
)

// addRollout adds the revisions of the nearest in the chain that has some.
func (l *Live) addRollout(ctx context.Context, o *Object, ref schemas.Subject, e *entry, owners []*entry) {
	type link struct{ kind, uid, name string }
	chain := []link{{ref.Kind, e.uid, e.key.name}}
	for _, owner := range o.Owners {
		chain = append(chain, link{owner.Kind, owner.UID, owner.Name})
	}
	for _, c := range chain {
		r := replicaSets
		switch {
		case byRevision[c.kind]:
			r = revisionResource
		case !byReplicaSet[c.kind]:
			continue
		}
		if !l.whole(r) {
			continue
		}
		revisions, why := l.ready(ctx, r)
		if why != "" {
			o.lack(factRollout, why)
			return
		}
		hash := e.labels["controller-revision-hash"]
		revisions.each(c.uid, func(rev *entry, _ bool) {
			f, ok := rev.facts.(*revisionFacts)
			if !ok || f.number == 0 {
				return
			}
			o.addRevision(f)
			if hash != "" && (rev.key.name == hash || rev.key.name == c.name+"-"+hash) {
				o.OwnRevision = f.number
			}
		})
		if len(o.Revisions) > 0 {
			break
		}
	}
	for _, known := range append([]*entry{e}, owners...) {
		if f, ok := known.facts.(*revisionFacts); ok && f.number > 0 {
			o.OwnRevision = f.number
			o.addRevision(f) // asked for one by one, it may be ahead of the watch
			break
		}
	}
	slices.SortFunc(o.Revisions, func(a, b Revision) int { return cmp.Or(cmp.Compare(a.Number, b.Number), a.Since.Compare(b.Since)) })
}

// addRevision adds f unless there is one of its number.
func (o *Object) addRevision(f *revisionFacts) {
	if slices.ContainsFunc(o.Revisions, func(r Revision) bool { return r.Number == f.number }) {
		return
	}
	r := Revision{Number: f.number, Since: f.since, Images: make([]string, len(f.images))}
	for i := range f.images {
		r.Images[i] = f.images[i].ref
	}
	o.Revisions = append(o.Revisions, r)
}
