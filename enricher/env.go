package enricher

import (
	"reflect"

	"kubescribe/schemas"
)

const stringKind = reflect.String

// Env is what the expressions of enricher.set and enricher.classes can see of a document, by the names in the expr tags. They
// are those of the alerter's rules. A fact that the document does not have is the empty value.
type Env struct {
	Cluster     string            `expr:"cluster"`
	EventType   string            `expr:"event_type"` // event, container or gap
	Class       string            `expr:"class"`      // as it is without a rule
	Namespace   string            `expr:"namespace"`
	Kind        string            `expr:"kind"` // of the involved object
	Name        string            `expr:"name"`
	Reason      string            `expr:"reason"`
	Type        string            `expr:"type"` // Normal or Warning
	Message     string            `expr:"message"`
	Component   string            `expr:"component"`
	Workload    EnvObject         `expr:"workload"`
	Service     string            `expr:"service"`
	Team        string            `expr:"team"`
	Node        string            `expr:"node"`
	Pool        string            `expr:"pool"`
	Container   string            `expr:"container"`
	Image       string            `expr:"image"`
	Labels      map[string]string `expr:"labels"`
	Annotations map[string]string `expr:"annotations"`
	// NamespaceLabels are the labels of the namespace.
	NamespaceLabels map[string]string `expr:"namespace_labels"`
	ErrorCode       string            `expr:"error_code"` // a container's exit code
	// Enrichment is complete, partial or unavailable.
	Enrichment string `expr:"enrichment"`
}

// EnvObject names an object.
type EnvObject struct {
	Kind string `expr:"kind"`
	Name string `expr:"name"`
}

// newEnv is the view of d; it shares d's maps.
func newEnv(d *schemas.Document) Env {
	k := &d.Kubernetes
	e := Env{
		Cluster: d.Orchestrator.Cluster.Name, EventType: string(d.Kubescribe.Type), Class: d.Kubescribe.Class,
		Namespace: k.Namespace, Reason: d.Event.Action, Type: "Normal", Message: d.Message, Component: d.Event.Provider,
		Team: d.Labels[labelTeam], Labels: k.Labels, Annotations: k.Annotations, NamespaceLabels: k.NamespaceLabels,
		Name: d.Orchestrator.Resource.Name,
	}
	if d.Log != nil && d.Log.Level != "info" {
		e.Type = "Warning"
	}
	if k.Event != nil {
		e.Kind = k.Event.InvolvedObject.Kind
	} else if k.Pod != nil {
		e.Kind = "Pod"
	}
	if w := d.Kubescribe.Workload; w != nil {
		e.Workload = EnvObject{w.Kind, w.Name}
	}
	if d.Service != nil {
		e.Service = d.Service.Name
	}
	if k.Node != nil {
		e.Node = k.Node.Name
	}
	if d.Kubescribe.Node != nil {
		e.Pool = d.Kubescribe.Node.Pool
	}
	if d.Container != nil {
		e.Container = d.Container.Name
		if d.Container.Image != nil {
			e.Image = d.Container.Image.Name
		}
	}
	if d.Error != nil {
		e.ErrorCode = d.Error.Code
	}
	if d.Kubescribe.Enrichment != nil {
		e.Enrichment = d.Kubescribe.Enrichment.Status
	}
	return e
}
