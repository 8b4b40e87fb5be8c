package enricher

import (
	"encoding/json"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

// maxImages is how many containers' images are remembered of a pod or a pod template.
const maxImages = 20

// image is what one container runs.
type image struct{ container, ref string }

// podFacts are kept of a pod beyond its metadata.
type podFacts struct {
	node   string // empty until it is scheduled
	images []image
}

// nodeFacts are kept of a node.
type nodeFacts struct {
	ready         string
	conditions    []string // the types of those that are not as they should be
	unschedulable bool
}

// serviceFacts are kept of a Service.
type serviceFacts struct{ selector map[string]string }

// sliceFacts are kept of an EndpointSlice: which pods it lists for which Service.
type sliceFacts struct {
	service string
	pods    []string // UIDs
}

// volumeFacts are kept of a PersistentVolume.
type volumeFacts struct{ schemas.VolumeState }

// revisionFacts are kept of a ReplicaSet and of a ControllerRevision: one revision of a workload's pod template.
type revisionFacts struct {
	number int64
	// since is when it became the latest revision.
	since  time.Time
	images []image
}

// factsOf keeps what a document needs of an object beyond its metadata, and no reference to it; nil for kinds of which
// only the metadata counts.
func factsOf(o metav1.Object) any {
	switch o := o.(type) {
	case *corev1.Pod:
		return &podFacts{node: o.Spec.NodeName, images: imagesOf(&o.Spec)}
	case *corev1.Node:
		return factsOfNode(o)
	case *corev1.Service:
		return &serviceFacts{selector: o.Spec.Selector}
	case *discoveryv1.EndpointSlice:
		s := &sliceFacts{service: o.Labels[discoveryv1.LabelServiceName]}
		for i := range o.Endpoints {
			if t := o.Endpoints[i].TargetRef; t != nil && t.Kind == "Pod" && t.UID != "" {
				s.pods = append(s.pods, string(t.UID))
			}
		}
		return s
	case *corev1.PersistentVolume:
		f := &volumeFacts{schemas.VolumeState{Phase: string(o.Status.Phase), StorageClass: o.Spec.StorageClassName}}
		if c, ok := o.Spec.Capacity[corev1.ResourceStorage]; ok {
			f.Capacity = c.String()
		}
		if c := o.Spec.ClaimRef; c != nil {
			f.ClaimNamespace, f.Claim = c.Namespace, c.Name
		}
		return f
	case *appsv1.ReplicaSet:
		return factsOfReplicaSet(o)
	case *appsv1.ControllerRevision:
		return factsOfRevision(o)
	}
	return nil
}

func factsOfNode(o *corev1.Node) *nodeFacts {
	f := &nodeFacts{unschedulable: o.Spec.Unschedulable}
	for _, c := range o.Status.Conditions {
		should := corev1.ConditionFalse
		if c.Type == corev1.NodeReady {
			f.ready, should = string(c.Status), corev1.ConditionTrue
		}
		if c.Status != should {
			f.conditions = append(f.conditions, string(c.Type))
		}
	}
	return f
}

// Annotations that number the revisions of what owns a ReplicaSet: Deployments, and Argo's Rollouts.
var revisionAnnotations = []string{"deployment.kubernetes.io/revision", "rollout.argoproj.io/revision"}

// revisionHistory is on a ReplicaSet that was the latest revision before, and became it again by a rollback.
const revisionHistory = "deployment.kubernetes.io/revision-history"

func factsOfReplicaSet(o *appsv1.ReplicaSet) *revisionFacts {
	f := &revisionFacts{since: o.CreationTimestamp.Time, images: imagesOf(&o.Spec.Template.Spec)}
	for _, a := range revisionAnnotations {
		if n, err := strconv.ParseInt(o.Annotations[a], 10, 64); err == nil {
			f.number = n
			break
		}
	}
	if o.Annotations[revisionHistory] != "" {
		f.since = lastChange(o)
	}
	return f
}

// factsOfRevision reads a revision of a StatefulSet or a DaemonSet, whose data is a patch with the pod template. A rollback
// changes nothing of it but its number.
func factsOfRevision(o *appsv1.ControllerRevision) *revisionFacts {
	f := &revisionFacts{number: o.Revision, since: lastChange(o)}
	var patch struct {
		Spec struct {
			Template struct {
				Spec corev1.PodSpec `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	if json.Unmarshal(o.Data.Raw, &patch) == nil {
		f.images = imagesOf(&patch.Spec.Template.Spec)
	}
	return f
}

// lastChange is when somebody last changed more than the object's status.
func lastChange(o metav1.Object) time.Time {
	last := o.GetCreationTimestamp().Time
	for _, m := range o.GetManagedFields() {
		if m.Subresource == "" && m.Time != nil && m.Time.After(last) {
			last = m.Time.Time
		}
	}
	return last
}

// follow keeps, over an update that makes no new revision, since when the revision is the latest.
func (f *revisionFacts) follow(old *revisionFacts, now time.Time) {
	switch {
	case f.number == old.number:
		f.since = old.since
	case !f.since.After(old.since): // a rollback that the object has no time of
		f.since = now
	}
}

func imagesOf(s *corev1.PodSpec) []image {
	out := make([]image, 0, min(len(s.Containers)+len(s.InitContainers), maxImages))
	add := func(cs []corev1.Container) {
		for i := range cs {
			if len(out) < maxImages {
				out = append(out, image{cs[i].Name, cs[i].Image})
			}
		}
	}
	add(s.Containers)
	add(s.InitContainers)
	return out
}
