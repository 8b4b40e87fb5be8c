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
	// Owners is the chain of owners, nearest first, as far as it is known.
	Owners []schemas.Owner
	// Status and Missing are kubescribe.enrichment.
	Status  string
	Missing []string
}

// Recorded is Objects for a recording: there is no API server to ask, and nothing is guessed.
type Recorded struct{}

// Lookup returns status unavailable.
func (Recorded) Lookup(context.Context, schemas.Subject, time.Time) Object {
	return Object{Status: schemas.EnrichmentUnavailable, Missing: []string{missing(factObject, reasonRecording)}}
}

// The facts that can be missing: the involved object's own metadata (and with it everything else), and the rest of its
// owner chain.
const (
	factObject = "object"
	factOwner  = "owner"
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
