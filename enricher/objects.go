package enricher

import (
	"context"
	"time"

	"kubescribe/schemas"
)

// Objects knows what the API server says about objects. Implementations are safe for concurrent use.
type Objects interface {
	// Lookup returns what is known about ref and its owners when ctx ends, or earlier. It does not fail: what is not known
	// is named in the result. seen is when the fact about ref was observed: what was there moments ago is looked for
	// harder. The maps of the result are shared; they must not be changed.
	Lookup(ctx context.Context, ref schemas.Subject, seen time.Time) Object
}

// Object is the context of one involved object.
type Object struct {
	// UID is the object's own, which an Event about a node does not always know.
	UID string
	// Labels and Annotations are the object's own, bounded by the cache: see AnnotationsCut.
	Labels, Annotations map[string]string
	// AnnotationsCut says that annotations were too large to be remembered.
	AnnotationsCut bool
	// Found says that the object is known; without it there are neither labels nor owners.
	Found bool
	// Owners is the chain of owners, nearest first, as far as it is known; OwnerLabels are their labels, in the same order,
	// nil where an owner is not known.
	Owners      []schemas.Owner
	OwnerLabels []map[string]string
	// NamespaceLabels and NamespaceAnnotations are those of the object's namespace, of a volume those of its claim's; a namespace
	// is its own.
	NamespaceLabels, NamespaceAnnotations map[string]string
	// Node is the node itself, or that of a pod.
	Node *Node
	// Volume is the state of a PersistentVolume.
	Volume *schemas.VolumeState
	// Services are the names of those that select the pod, sorted.
	Services []string
	// Images are those of the pod's containers.
	Images []Image
	// Revisions are those of the workload that are known, oldest number first; OwnRevision is that of the object, if it is
	// a pod or a ReplicaSet of the workload.
	Revisions   []Revision
	OwnRevision int64
	// Status and Missing are kubescribe.enrichment.
	Status  string
	Missing []string
}

// Node is what is known of a node at the time of the look-up.
type Node struct {
	Name, UID string
	Labels    map[string]string
	// Ready is the status of the condition Ready; Conditions are the types of those that are not as they should be.
	Ready                  string
	Conditions             []string
	Unschedulable, Deleted bool
}

// Image is what one container of a pod is to run.
type Image struct{ Container, Ref string }

// Revision is one state of a workload's pod template.
type Revision struct {
	Number int64
	// Since is when it became the latest.
	Since  time.Time
	Images []string
}

// lack notes that a fact is missing.
func (o *Object) lack(fact, reason string) {
	if o.Status == schemas.EnrichmentComplete {
		o.Status = schemas.EnrichmentPartial
	}
	o.Missing = append(o.Missing, missing(fact, reason))
}

// Recorded is Objects for a recording: there is no API server to ask, and nothing is guessed.
type Recorded struct{}

// Lookup returns status unavailable.
func (Recorded) Lookup(context.Context, schemas.Subject, time.Time) Object {
	return Object{Status: schemas.EnrichmentUnavailable, Missing: []string{missing(factObject, reasonRecording)}}
}

// The facts that can be missing: the involved object's own (and with it everything else but the namespace), the rest of
// its owner chain, and what is around it.
const (
	factObject    = "object"
	factOwner     = "owner"
	factNamespace = "namespace"
	factNode      = "node"
	factServices  = "services"
	factRollout   = "rollout"
)

// Why a fact is missing. They are values of kubescribe.enrichment.missing and of a metric's label.
const (
	reasonRecording   = "recording"    // there is no API server to ask
	reasonNotFound    = "not found"    // it is gone for longer than deleted objects are remembered, or it never was
	reasonReplaced    = "replaced"     // another object has its name now
	reasonForbidden   = "forbidden"    // a permission is missing
	reasonTimeout     = "timeout"      // the batch's deadline came first
	reasonUnreachable = "unreachable"  // the API server does not answer
	reasonUnknownKind = "unknown kind" // the API server serves no such kind
	reasonNeverRead   = "never read"   // Secrets and Events are not looked up
	reasonTooDeep     = "too deep"     // the chain has more owners than maxOwners, or a cycle
	reasonFailed      = "failed"       // the API server answered with another error
)

func missing(fact, reason string) string { return fact + ": " + reason }
