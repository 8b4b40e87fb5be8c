package enricher

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kubescribe/schemas"
)

// addContext adds what the API server said about the involved object and its owners.
func addContext(d *schemas.Document, c *cutter, s schemas.Subject, o Object, f Fields) {
	d.Kubescribe.Enrichment = &schemas.Enrichment{Status: o.Status, Missing: o.Missing}
	d.Kubernetes.NamespaceLabels = c.labelsWithin("kubernetes.namespace_labels", o.NamespaceLabels, MaxNamespaceLabelsBytes)
	if team := teamOf(o, f.TeamLabels); team != "" {
		d.Labels = map[string]string{labelTeam: c.name("labels", team)}
	}
	if !o.Found {
		return
	}
	if isNode(s.APIVersion, s.Kind) && d.Kubernetes.Node != nil {
		d.Kubernetes.Node.UID = c.name("kubernetes.node.uid", o.UID)
	}
	d.Kubernetes.Labels = c.labels("kubernetes.labels", o.Labels)
	d.Kubernetes.Annotations = c.labels("kubernetes.annotations", o.Annotations)
	if o.AnnotationsCut {
		c.mark("kubernetes.annotations")
	}
	addOwners(d, c, s, o)
	for _, name := range o.Services {
		d.Kubescribe.Services = append(d.Kubescribe.Services, c.name("kubescribe.services", name))
	}
	if name := serviceName(o, f.ServiceLabels); name != "" {
		d.Service = &schemas.Service{Name: c.name("service.name", name)}
	}
	addRollout(d, c, o, d.Timestamp)
	if v := o.Volume; v != nil {
		const f = "kubescribe.volume"
		d.Kubescribe.Volume = &schemas.VolumeState{
			Phase: c.name(f, v.Phase), StorageClass: c.name(f, v.StorageClass), Capacity: c.name(f, v.Capacity),
			ClaimNamespace: c.name(f, v.ClaimNamespace), Claim: c.name(f, v.Claim),
		}
	}
}

// addOwners adds the chain, and the workload at its top.
func addOwners(d *schemas.Document, c *cutter, s schemas.Subject, o Object) {
	top := schemas.Owner{APIVersion: s.APIVersion, Kind: s.Kind, Name: s.Name, UID: s.UID}
	for i, owner := range o.Owners {
		const f = "kubescribe.owners"
		owner = schemas.Owner{
			APIVersion: c.name(f, owner.APIVersion), Kind: c.name(f, owner.Kind), Name: c.name(f, owner.Name), UID: c.name(f, owner.UID),
		}
		d.Kubescribe.Owners = append(d.Kubescribe.Owners, owner)
		setNames(d, owner.APIVersion, owner.Kind, owner.Name, owner.UID)
		if i == 0 {
			d.Orchestrator.Resource.Parent = &schemas.ResourceParent{Type: strings.ToLower(owner.Kind)}
		}
		if !isNode(owner.APIVersion, owner.Kind) { // a static pod's owner is its node, which is no workload
			top = owner
		}
	}
	d.Kubescribe.Workload = &top
}

// serviceName is the rule of service.name: the first of the service labels that is set on the object, else on the nearest
// owner that has it; else a Service that selects the pod: the one with the workload's name, else the only one, else the
// first by name. Nothing is guessed beyond that.
func serviceName(o Object, serviceLabels []string) string {
	if name := firstSet(serviceLabels, o.Labels); name != "" {
		return name
	}
	if name := firstSet(serviceLabels, o.OwnerLabels...); name != "" {
		return name
	}
	if len(o.Services) == 0 {
		return ""
	}
	for _, name := range o.Services {
		if n := len(o.Owners); n > 0 && name == o.Owners[n-1].Name {
			return name
		}
	}
	return o.Services[0]
}

// teamOf looks for a team, in order: on the object (its labels, then its annotations), on its owners from the nearest up, on
// the namespace.
func teamOf(o Object, keys []string) string {
	return cmp.Or(
		firstSet(keys, o.Labels), firstSet(keys, o.Annotations), firstSet(keys, o.OwnerLabels...),
		firstSet(keys, o.NamespaceLabels), firstSet(keys, o.NamespaceAnnotations),
	)
}

// firstSet is the value of the first source that has one of the keys; among the keys the first wins.
func firstSet(keys []string, sources ...map[string]string) string {
	for _, m := range sources {
		if len(m) == 0 {
			continue
		}
		for _, k := range keys {
			if v := m[k]; v != "" {
				return v
			}
		}
	}
	return ""
}

// addRollout adds the workload's latest revision at the time of the event, and what it replaced. A pod of a revision proves
// that the revision was there, whatever the clocks say.
func addRollout(d *schemas.Document, c *cutter, o Object, at time.Time) {
	latest := -1
	for i, r := range o.Revisions {
		if !r.Since.After(at) || r.Number == o.OwnRevision {
			latest = i
		}
	}
	if latest < 0 {
		return
	}
	r := o.Revisions[latest]
	out := &schemas.Rollout{
		Revision: r.Number, Images: imageNames(c, r.Images), ChangedAt: r.Since.UTC(),
		AgeSeconds: max(0, int64(at.Sub(r.Since)/time.Second)),
	}
	if latest > 0 {
		out.PreviousImages = imageNames(c, o.Revisions[latest-1].Images)
	}
	if o.OwnRevision < r.Number {
		out.PodRevision = o.OwnRevision
	}
	d.Kubescribe.Rollout = out
}

// imageNames returns refs itself when nothing has to change.
func imageNames(c *cutter, refs []string) []string {
	for i, ref := range refs {
		if name := c.name("kubescribe.rollout", ref); name != ref {
			out := slices.Clone(refs)
			for j := i; j < len(out); j++ {
				out[j] = c.name("kubescribe.rollout", out[j])
			}
			return out
		}
	}
	return refs
}

// Labels of nodes that say where they are; the deprecated ones are still all that old clusters have.
var (
	zoneLabels    = []string{"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"}
	regionLabels  = []string{"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"}
	machineLabels = []string{"node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"}
)

// addPlace adds where it happened: the node and the container's image, after the fact itself had its say.
func addPlace(d *schemas.Document, c *cutter, o Object, f Fields) {
	if d.Container != nil && d.Container.Image == nil {
		for _, i := range o.Images {
			if i.Container == d.Container.Name {
				d.Container.Image = &schemas.ContainerImage{Name: c.name("container.image.name", i.Ref)}
				break
			}
		}
	}
	n := o.Node
	if n == nil {
		return
	}
	if d.Kubernetes.Node == nil || d.Kubernetes.Node.Name != n.Name {
		d.Kubernetes.Node = &schemas.KubernetesName{Name: c.name("kubernetes.node", n.Name)}
	}
	if n.UID == "" {
		return // only its name is known
	}
	d.Kubernetes.Node.UID = c.name("kubernetes.node", n.UID)
	d.Kubescribe.Node = &schemas.NodeState{
		Pool: c.name("kubescribe.node", firstSet(f.NodePoolLabels, n.Labels)), Ready: c.name("kubescribe.node", n.Ready),
		Unschedulable: n.Unschedulable, Deleted: n.Deleted,
	}
	for _, t := range n.Conditions[:min(len(n.Conditions), maxConditions)] {
		d.Kubescribe.Node.Conditions = append(d.Kubescribe.Node.Conditions, c.name("kubescribe.node", t))
	}
	cloud := schemas.Cloud{
		AvailabilityZone: c.name("cloud", firstSet(zoneLabels, n.Labels)), Region: c.name("cloud", firstSet(regionLabels, n.Labels)),
	}
	if t := firstSet(machineLabels, n.Labels); t != "" {
		cloud.Machine = &schemas.CloudMachine{Type: c.name("cloud", t)}
	}
	if cloud != (schemas.Cloud{}) {
		d.Cloud = &cloud
	}
}

// maxConditions is how many conditions of a node are named.
const maxConditions = 20
