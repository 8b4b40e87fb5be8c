package schemas

import (
	"errors"
	"fmt"
	"time"
)

// ContainerState is what a container went into.
type ContainerState string

// The states whose beginning is a fact.
const (
	StateTerminated ContainerState = "terminated" // it ended, and not as it should
	StateWaiting    ContainerState = "waiting"    // it cannot start
)

// ContainerKind says which of a pod's lists a container is in.
type ContainerKind string

// The kinds of containers. A sidecar is an init container that is restarted always.
const (
	KindContainer ContainerKind = "container"
	KindInit      ContainerKind = "init"
	KindSidecar   ContainerKind = "sidecar"
	KindEphemeral ContainerKind = "ephemeral"
)

// ContainerTransition is the payload of an observation of type container: one container of a pod ended, or waits and cannot
// start. The observation's subject is the pod, with the container in FieldPath as the kubelet's own Events have it
// (spec.containers{main}); its id is ContainerID; its key is the pod's. Its time is FinishedAt of what ended, for CrashLoopBackOff
// that of the end before it, and otherwise when the producer saw the container wait: Kubernetes notes no time of it.
type ContainerTransition struct {
	Container string         `json:"container" jsonschema:"minLength=1"`
	Kind      ContainerKind  `json:"kind,omitempty"`
	State     ContainerState `json:"state" jsonschema:"enum=terminated,enum=waiting"`
	// Reason is OOMKilled, Error, Completed, …, or of a container that waits CrashLoopBackOff, ImagePullBackOff, …. A runtime
	// that names none gets Error or Completed, by the exit code.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// ExitCode and what follows up to FinishedAt are of a container that ended. Signal is the number of the signal that ended it:
	// the runtime's, else what an exit code between 129 and 192 stands for.
	ExitCode   *int32    `json:"exitCode,omitempty"`
	Signal     int32     `json:"signal,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// ContainerID is the runtime's id, "containerd://…", of the instance that ended; of a container that waits that of the
	// instance before, empty when there was none. Logs are those of this instance.
	ContainerID string `json:"containerID,omitempty"`
	// Previous is set when the end was seen in lastState: the container had been started again, or waited to be.
	Previous bool `json:"previous,omitempty"`
	// RestartCount is the pod status' own number at that revision.
	RestartCount int32  `json:"restartCount" jsonschema:"minimum=0"`
	Image        string `json:"image,omitempty"`   // as the pod asks for it
	ImageID      string `json:"imageID,omitempty"` // as the runtime resolved it
	// Limits are the container's resource limits in Kubernetes' notation: {"memory":"256Mi"}.
	Limits map[string]string `json:"limits,omitempty"`
	// Last is the end of the instance before, if the status still shows it.
	Last *ContainerTermination `json:"last,omitempty"`

	Node      string `json:"node,omitempty"`
	PodPhase  string `json:"podPhase,omitempty"`
	PodReason string `json:"podReason,omitempty"` // why the whole pod failed: Evicted, …
	// Owner is the pod's controller, without a namespace: it is the pod's.
	Owner *Subject `json:"owner,omitempty"`
	// Labels are the pod's.
	Labels map[string]string `json:"labels,omitempty"`
}

// ContainerTermination is how an instance of a container ended.
type ContainerTermination struct {
	Reason      string    `json:"reason,omitempty"`
	Message     string    `json:"message,omitempty"`
	ExitCode    int32     `json:"exitCode"`
	Signal      int32     `json:"signal,omitempty"`
	StartedAt   time.Time `json:"startedAt,omitzero"`
	FinishedAt  time.Time `json:"finishedAt,omitzero"`
	ContainerID string    `json:"containerID,omitempty"`
}

// Validate reports every problem of c at once.
func (c *ContainerTransition) Validate() error {
	var errs []error
	if c.Container == "" {
		errs = append(errs, errors.New("container: is missing"))
	}
	if c.State != StateTerminated && c.State != StateWaiting {
		errs = append(errs, fmt.Errorf("state: %q is neither %q nor %q", c.State, StateTerminated, StateWaiting))
	}
	if c.RestartCount < 0 {
		errs = append(errs, errors.New("restartCount: is negative"))
	}
	return errors.Join(errs...)
}

// DecodeContainerTransition decodes and validates the payload of a container observation.
func DecodeContainerTransition(b []byte) (*ContainerTransition, error) {
	return decode[ContainerTransition](b, "container transition")
}
