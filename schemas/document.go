package schemas

import (
	"errors"
	"fmt"
	"time"
)

// ECSVersion is the version of the Elastic Common Schema that documents follow.
const ECSVersion = "8.17.0"

// Document is the value of enriched.<c>, and byte for byte the document in Elasticsearch: ECS names, plus Beats'
// kubernetes.* names, plus what neither has under kubescribe.*. Absent facts are absent fields.
type Document struct {
	Timestamp    time.Time    `json:"@timestamp"`
	Message      string       `json:"message,omitempty"`
	ECS          ECS          `json:"ecs"`
	Event        EventInfo    `json:"event"`
	Log          *LogInfo     `json:"log,omitempty"`
	Orchestrator Orchestrator `json:"orchestrator"`
	Kubernetes   Kubernetes   `json:"kubernetes"`
	Container    *Container   `json:"container,omitempty"`
	Service      *Service     `json:"service,omitempty"`
	Process      *Process     `json:"process,omitempty"`
	Error        *ErrorInfo   `json:"error,omitempty"`
	Cloud        *Cloud       `json:"cloud,omitempty"`
	// Labels are ECS labels.*: the team, and what users set; flattened.
	Labels     map[string]string `json:"labels,omitempty"`
	Kubescribe Kubescribe        `json:"kubescribe"`
}

// ECS says which version of the schema a document follows.
type ECS struct {
	Version string `json:"version"`
}

// EventInfo is ECS event.*.
type EventInfo struct {
	ID       string    `json:"id"`                 // the fact's identity, the document's _id
	Kind     string    `json:"kind"`               // "event"; "state" for a container's transition
	Module   string    `json:"module"`             // "kubernetes"
	Dataset  string    `json:"dataset"`            // "kubernetes.event", "kubernetes.container", "kubernetes.gap"
	Type     []string  `json:"type,omitempty"`     // "info" or "error"
	Action   string    `json:"action,omitempty"`   // the Event's reason
	Provider string    `json:"provider,omitempty"` // the component that reported it
	Created  time.Time `json:"created"`            // when the producer observed it
	Start    time.Time `json:"start,omitzero"`     // its first occurrence
	End      time.Time `json:"end,omitzero"`       // its last occurrence
	Original string    `json:"original,omitempty"` // the payload, when configured; not indexed
}

// LogInfo is ECS log.*.
type LogInfo struct {
	Level string `json:"level"` // "info", "warning" or "error"
}

// Orchestrator is ECS orchestrator.*.
type Orchestrator struct {
	Type      string   `json:"type"` // "kubernetes"
	Cluster   ECSName  `json:"cluster"`
	Namespace string   `json:"namespace,omitempty"`
	Resource  Resource `json:"resource,omitzero"`
}

// ECSName is a name and an id.
type ECSName struct {
	Name string `json:"name,omitempty"`
	ID   string `json:"id,omitempty"`
}

// Resource is the involved object as ECS has it.
type Resource struct {
	Type   string          `json:"type,omitempty"` // the kind in lower case
	Name   string          `json:"name,omitempty"`
	ID     string          `json:"id,omitempty"`
	Parent *ResourceParent `json:"parent,omitempty"`
}

// ResourceParent is the direct owner.
type ResourceParent struct {
	Type string `json:"type"`
}

// Kubernetes is Beats' kubernetes.*.
type Kubernetes struct {
	Namespace   string            `json:"namespace,omitempty"`
	Event       *KubernetesEvent  `json:"event,omitempty"`
	Node        *KubernetesName   `json:"node,omitempty"`
	Pod         *KubernetesName   `json:"pod,omitempty"`
	Container   *KubernetesName   `json:"container,omitempty"`
	Deployment  *KubernetesName   `json:"deployment,omitempty"`
	ReplicaSet  *KubernetesName   `json:"replicaset,omitempty"`
	StatefulSet *KubernetesName   `json:"statefulset,omitempty"`
	DaemonSet   *KubernetesName   `json:"daemonset,omitempty"`
	Job         *KubernetesName   `json:"job,omitempty"`
	CronJob     *KubernetesName   `json:"cronjob,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`      // of the involved object; flattened
	Annotations map[string]string `json:"annotations,omitempty"` // of the involved object; flattened
	// NamespaceLabels are the labels of the involved object's namespace; flattened.
	NamespaceLabels map[string]string `json:"namespace_labels,omitempty"`
}

// KubernetesName is the name and UID of one object.
type KubernetesName struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
}

// KubernetesEvent is Beats' kubernetes.event.*, plus the series.
type KubernetesEvent struct {
	Type           string          `json:"type,omitempty"` // Normal or Warning
	Reason         string          `json:"reason,omitempty"`
	Count          int64           `json:"count,omitempty"` // count, else series.count
	Timestamp      *EventTimestamp `json:"timestamp,omitempty"`
	Source         *EventSource    `json:"source,omitempty"`
	Metadata       EventMetadata   `json:"metadata"`
	InvolvedObject Subject         `json:"involved_object"`
	Related        *Subject        `json:"related,omitempty"`
}

// EventTimestamp holds the first and the last occurrence.
type EventTimestamp struct {
	FirstOccurrence time.Time `json:"first_occurrence,omitzero"`
	LastOccurrence  time.Time `json:"last_occurrence,omitzero"`
}

// EventSource is who reported it.
type EventSource struct {
	Component string `json:"component,omitempty"`
	Host      string `json:"host,omitempty"`
}

// EventMetadata is the Event object's own metadata.
type EventMetadata struct {
	Name            string `json:"name,omitempty"`
	Namespace       string `json:"namespace,omitempty"`
	UID             string `json:"uid,omitempty"`
	ResourceVersion string `json:"resource_version,omitempty"`
}

// Container is ECS container.*.
type Container struct {
	ID      string          `json:"id,omitempty"`      // without the runtime
	Runtime string          `json:"runtime,omitempty"` // containerd, cri-o, …
	Name    string          `json:"name,omitempty"`
	Image   *ContainerImage `json:"image,omitempty"`
}

// ContainerImage is ECS container.image.*.
type ContainerImage struct {
	Name string `json:"name,omitempty"`
}

// Process is ECS process.*: the container's main process, of a container that ended.
type Process struct {
	ExitCode *int64    `json:"exit_code,omitempty"`
	Start    time.Time `json:"start,omitzero"`
	End      time.Time `json:"end,omitzero"`
}

// Cloud is ECS cloud.*: where the node is, by its well-known labels.
type Cloud struct {
	AvailabilityZone string        `json:"availability_zone,omitempty"`
	Region           string        `json:"region,omitempty"`
	Machine          *CloudMachine `json:"machine,omitempty"`
}

// CloudMachine is ECS cloud.machine.*.
type CloudMachine struct {
	Type string `json:"type,omitempty"`
}

// Service is ECS service.*.
type Service struct {
	Name string `json:"name,omitempty"`
}

// ErrorInfo is ECS error.*; for a crash the container's last log lines are its stack_trace.
type ErrorInfo struct {
	Code       string `json:"code,omitempty"` // the exit code
	Type       string `json:"type,omitempty"` // the reason, like OOMKilled
	Message    string `json:"message,omitempty"`
	StackTrace string `json:"stack_trace,omitempty"`
}

// Kubescribe holds what neither ECS nor Beats has a name for.
type Kubescribe struct {
	Source       Source   `json:"source"`
	Type         Type     `json:"type"`
	Class        string   `json:"class"` // the retention class
	TimeAdjusted bool     `json:"time_adjusted,omitempty"`
	Occurrences  *int64   `json:"occurrences,omitempty"`  // since the previous revision
	MessageHash  string   `json:"message_hash,omitempty"` // of the message without what varies
	Workload     *Owner   `json:"workload,omitempty"`     // the top of the owner chain, or the object itself
	Owners       []Owner  `json:"owners,omitempty"`       // the chain, nearest first
	Services     []string `json:"services,omitempty"`     // those that select the pod, in the order of their names
	// Node is the state of the node when the document was made.
	Node    *NodeState `json:"node,omitempty"`
	Rollout *Rollout   `json:"rollout,omitempty"`
	// Volume is the state of a PersistentVolume when the document was made.
	Volume *VolumeState `json:"volume,omitempty"`
	// Container is what a container's transition says and ECS has no name for.
	Container  *ContainerFact `json:"container,omitempty"`
	Log        *ContainerLog  `json:"log,omitempty"`
	Gap        *GapInfo       `json:"gap,omitempty"`
	Enrichment *Enrichment    `json:"enrichment,omitempty"`
	Truncated  []string       `json:"truncated,omitempty"` // fields that were cut to a limit
}

// Owner is one controller in the chain.
type Owner struct {
	APIVersion string `json:"api_version,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
}

// NodeState is what is known of a node beyond its name.
type NodeState struct {
	Pool string `json:"pool,omitempty"` // the node pool or group, by a label
	// Ready is the status of its condition Ready: True, False or Unknown.
	Ready string `json:"ready,omitempty"`
	// Conditions are the types of the conditions that are not as they should be: Ready that is not True, others that are not False.
	Conditions    []string `json:"conditions,omitempty"`
	Unschedulable bool     `json:"unschedulable,omitempty"`
	Deleted       bool     `json:"deleted,omitempty"` // it was deleted by then
}

// VolumeState is what is known of a PersistentVolume, and which claim it is bound to.
type VolumeState struct {
	Phase          string `json:"phase,omitempty"`
	StorageClass   string `json:"storage_class,omitempty"`
	Capacity       string `json:"capacity,omitempty"`
	ClaimNamespace string `json:"claim_namespace,omitempty"`
	Claim          string `json:"claim,omitempty"`
}

// Rollout is the latest change of the workload's pod template at the time of the event: was it the deploy?
type Rollout struct {
	Revision int64 `json:"revision"`
	// PodRevision is the revision of the involved pod, when it is an older one.
	PodRevision int64 `json:"pod_revision,omitempty"`
	// Images are those of the revision's containers, in their order; PreviousImages those of the revision before.
	Images         []string `json:"images,omitempty"`
	PreviousImages []string `json:"previous_images,omitempty"`
	// ChangedAt is when the revision became the latest, AgeSeconds how long before the event that was.
	ChangedAt  time.Time `json:"changed_at,omitzero"`
	AgeSeconds int64     `json:"age_seconds"`
}

// ContainerFact is the part of a ContainerTransition that neither ECS nor Beats has a name for.
type ContainerFact struct {
	Kind         ContainerKind     `json:"kind,omitempty"`
	State        ContainerState    `json:"state"`
	RestartCount int64             `json:"restart_count"`
	Signal       int64             `json:"signal,omitempty"`
	Previous     bool              `json:"previous,omitempty"`
	ImageID      string            `json:"image_id,omitempty"`
	Limits       map[string]string `json:"limits,omitempty"` // flattened
	PodPhase     string            `json:"pod_phase,omitempty"`
	PodReason    string            `json:"pod_reason,omitempty"`
}

// ContainerLog says whose lines error.stack_trace holds and when they were read, or why it has none. It is there on every document
// that a log belongs to: a container's end, and the Events that are configured.
type ContainerLog struct {
	// Missing is why there are no lines: gone, not_started, forbidden, timeout, budget, unreachable, failed; empty when there are
	// some, or the log was empty.
	Missing string `json:"missing,omitempty"`
	// Instance is which log was asked for: the container's current one, or that of the previous instance. ContainerID is the
	// runtime's id of the instance.
	Instance    string `json:"instance,omitempty"`
	ContainerID string `json:"container_id,omitempty"`
	Lines       int64  `json:"lines,omitempty"`
	// Redactions is how many secrets were replaced.
	Redactions int64 `json:"redactions,omitempty"`
	// FetchedAt is when the log was asked for, by the enricher's clock; DelayMillis how long after the container's end that was,
	// of which Kubernetes notes whole seconds. It is nil for a container that runs.
	FetchedAt   time.Time `json:"fetched_at,omitzero"`
	DelayMillis *int64    `json:"delay_ms,omitempty"`
}

// GapInfo are the bounds of a gap record.
type GapInfo struct {
	Certainty Certainty `json:"certainty"`
	Cause     GapCause  `json:"cause"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Source    Source    `json:"source"`
}

// Enrichment statuses.
const (
	EnrichmentComplete    = "complete"    // everything that was asked for is there
	EnrichmentPartial     = "partial"     // something is missing; Missing says what and why
	EnrichmentUnavailable = "unavailable" // there is no API server to ask (a recording), or it did not answer in time
)

// Enrichment says how complete the context is, so that what is missing is never silent.
type Enrichment struct {
	Status string `json:"status"`
	// Missing is what could not be found and why, like "owner: not found".
	Missing []string `json:"missing,omitempty"`
}

// Validate reports every problem of d at once.
func (d *Document) Validate() error {
	var errs []error
	if d.Timestamp.IsZero() {
		errs = append(errs, errors.New("@timestamp: is missing"))
	}
	if d.Event.ID == "" || len(d.Event.ID) > MaxIDBytes {
		errs = append(errs, fmt.Errorf("event.id: has %d bytes, 1 to %d are allowed", len(d.Event.ID), MaxIDBytes))
	}
	if d.Kubescribe.Type == "" {
		errs = append(errs, errors.New("kubescribe.type: is missing"))
	}
	if d.Orchestrator.Cluster.Name == "" {
		errs = append(errs, errors.New("orchestrator.cluster.name: is missing"))
	}
	if err := ValidateClass(d.Kubescribe.Class); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Headers are the headers of the record that carries d.
func (d *Document) Headers() []Header {
	return CloudEvent{
		ID: d.Event.ID, Source: "/clusters/" + d.Orchestrator.Cluster.Name + "/" + string(d.Kubescribe.Source),
		Type: TypePrefix + string(d.Kubescribe.Type), Time: d.Timestamp, Class: d.Kubescribe.Class,
	}.Headers()
}

// DecodeDocument decodes and validates a value of enriched.<c>.
func DecodeDocument(b []byte) (*Document, error) { return decode[Document](b, "document") }
