package rule

import (
	"time"

	"kubescribe/schemas"
)

// Env is what an expression and an annotation's template can see of a document. Expressions use the names in the expr
// tags, templates the Go names. A fact that the document does not have is the empty value, never an error.
type Env struct {
	// Cluster is the cluster's name.
	Cluster string `expr:"cluster"`
	// EventType is the type of the fact: "event", "container" or "gap".
	EventType string `expr:"event_type"`
	// Class is the retention class.
	Class string `expr:"class"`

	// Namespace, Kind and Name are those of the involved object; Object is "Kind/name".
	Namespace string `expr:"namespace"`
	Kind      string `expr:"kind"`
	Name      string `expr:"name"`
	Object    string `expr:"object"`

	// Reason is the Event's reason, or a container's, like "OOMKilled".
	Reason string `expr:"reason"`
	// Type is "Normal" or "Warning"; other facts have the one that fits their level.
	Type string `expr:"type"`
	// Message is what was said.
	Message string `expr:"message"`
	// MessageHash is equal for messages that differ only in durations, hashes, numbers and addresses.
	MessageHash string `expr:"message_hash"`
	// Component is what reported it, like "kubelet".
	Component string `expr:"component"`
	// Count is how often it happened since the Event began, Occurrences since the previous revision (1 when unknown). The
	// names count and type stand for these fields and not for the language's functions: use len(filter(…)) to count.
	Count       int `expr:"count"`
	Occurrences int `expr:"occurrences"`
	// Time is the event time.
	Time time.Time `expr:"time"`

	// Workload is the top of the owner chain. Without enrichment (a recording) it is the involved object itself.
	Workload Object `expr:"workload"`
	// Owners is the chain of controllers, nearest first.
	Owners []Object `expr:"owners"`
	// Service is the service's name by the configured labels, or of a Service that selects the pod.
	Service string `expr:"service"`
	// Node is the node's name: of the pod, or of what reported it.
	Node string `expr:"node"`
	// Container is the container's name, Image its image.
	Container string `expr:"container"`
	Image     string `expr:"image"`
	// Labels and Annotations are those of the involved object; labels["x"] is "" when there is no label x.
	Labels      map[string]string `expr:"labels"`
	Annotations map[string]string `expr:"annotations"`
	// NamespaceLabels are those of the involved object's namespace.
	NamespaceLabels map[string]string `expr:"namespace_labels"`
	// Enrichment is "complete", "partial" or "unavailable".
	Enrichment string `expr:"enrichment"`

	// Gap is set for gap records.
	Gap Gap `expr:"gap"`
	// Rollout is the latest change of the workload's pod template.
	Rollout Rollout `expr:"rollout"`
	// Restarts is how often a container that crashed was restarted before.
	Restarts int `expr:"restarts"`
	// ErrorCode and Log are a crashed container's exit code and last log lines.
	ErrorCode string `expr:"error_code"`
	Log       string `expr:"log"`
}

// Rollout says how long before the event the workload's pod template was changed.
type Rollout struct {
	// Known is false when there is none, or when it could not be found out.
	Known bool `expr:"known"`
	// Revision is its number.
	Revision int `expr:"revision"`
	// PodRevision is the revision of the involved pod, when it is an older one; else 0.
	PodRevision int `expr:"pod_revision"`
	// Age is how long before the event it was.
	Age time.Duration `expr:"age"`
	// Images are those of the revision's containers, PreviousImages those of the revision before.
	Images         []string `expr:"images"`
	PreviousImages []string `expr:"previous_images"`
}

// Object names a Kubernetes object.
type Object struct {
	// Kind and Name are as in its manifest.
	Kind string `expr:"kind"`
	Name string `expr:"name"`
}

// String is "Kind/name", and empty for no object.
func (o Object) String() string {
	if o == (Object{}) {
		return ""
	}
	return o.Kind + "/" + o.Name
}

// Gap is a stretch of time in which revisions may have been missed.
type Gap struct {
	// Certainty is "possible" or "certain", Cause "expired" or "regression", Source like "events".
	Certainty string `expr:"certainty"`
	Cause     string `expr:"cause"`
	Source    string `expr:"source"`
	// From and To are the times between which revisions may be missing.
	From time.Time `expr:"from"`
	To   time.Time `expr:"to"`
}

// NewEnv is the view of d. It shares d's maps.
func NewEnv(d *schemas.Document) *Env {
	k := &d.Kubernetes
	e := &Env{
		Cluster: d.Orchestrator.Cluster.Name, EventType: string(d.Kubescribe.Type), Class: d.Kubescribe.Class,
		Namespace: k.Namespace, Reason: d.Event.Action, Type: levelType(d.Log), Message: d.Message,
		MessageHash: d.Kubescribe.MessageHash, Component: d.Event.Provider, Occurrences: 1, Time: d.Timestamp,
		Service: serviceName(d.Service), Node: objectName(k.Node), Container: objectName(k.Container),
		Labels: k.Labels, Annotations: k.Annotations, NamespaceLabels: k.NamespaceLabels,
	}
	if e.Namespace == "" {
		e.Namespace = d.Orchestrator.Namespace
	}
	if n := d.Kubescribe.Occurrences; n != nil {
		e.Occurrences = int(*n)
	}
	e.setEvent(k.Event)
	e.setObject(d)
	e.setOwners(d)
	e.setContainer(d)
	if g := d.Kubescribe.Gap; g != nil {
		e.Gap = Gap{Certainty: string(g.Certainty), Cause: string(g.Cause), Source: string(g.Source), From: g.From, To: g.To}
	}
	if en := d.Kubescribe.Enrichment; en != nil {
		e.Enrichment = en.Status
	}
	return e
}

func (e *Env) setEvent(ev *schemas.KubernetesEvent) {
	if ev == nil {
		return
	}
	e.Kind, e.Name, e.Count = ev.InvolvedObject.Kind, ev.InvolvedObject.Name, int(ev.Count)
	if ev.Reason != "" {
		e.Reason = ev.Reason
	}
	if ev.Type != "" {
		e.Type = ev.Type
	}
	if ev.Source != nil {
		if e.Component == "" {
			e.Component = ev.Source.Component
		}
		if e.Node == "" {
			e.Node = ev.Source.Host
		}
	}
}

func (e *Env) setObject(d *schemas.Document) {
	if e.Kind == "" && d.Kubernetes.Pod != nil {
		e.Kind, e.Name = "Pod", d.Kubernetes.Pod.Name
	}
	if e.Kind != "" || e.Name != "" {
		e.Object = e.Kind + "/" + e.Name
	}
	if e.Kind == "Node" {
		e.Node = e.Name
	}
}

func (e *Env) setOwners(d *schemas.Document) {
	for _, o := range d.Kubescribe.Owners {
		e.Owners = append(e.Owners, Object{Kind: o.Kind, Name: o.Name})
	}
	switch w := d.Kubescribe.Workload; {
	case w != nil:
		e.Workload = Object{Kind: w.Kind, Name: w.Name}
	case len(e.Owners) > 0:
		e.Workload = e.Owners[len(e.Owners)-1]
	default:
		e.Workload = Object{Kind: e.Kind, Name: e.Name}
	}
}

func (e *Env) setContainer(d *schemas.Document) {
	if c := d.Container; c != nil {
		if e.Container == "" {
			e.Container = c.Name
		}
		if c.Image != nil {
			e.Image = c.Image.Name
		}
	}
	if r := d.Kubescribe.Rollout; r != nil {
		e.Rollout = Rollout{
			Known: true, Revision: int(r.Revision), PodRevision: int(r.PodRevision), Age: time.Duration(r.AgeSeconds) * time.Second,
			Images: r.Images, PreviousImages: r.PreviousImages,
		}
	}
	if c := d.Kubescribe.Container; c != nil {
		e.Restarts = int(c.RestartCount)
	}
	if d.Error != nil {
		e.ErrorCode, e.Log = d.Error.Code, d.Error.StackTrace
	}
}

func levelType(l *schemas.LogInfo) string {
	if l == nil || l.Level == "info" {
		return "Normal"
	}
	return "Warning"
}

func objectName(n *schemas.KubernetesName) string {
	if n == nil {
		return ""
	}
	return n.Name
}

func serviceName(s *schemas.Service) string {
	if s == nil {
		return ""
	}
	return s.Name
}
