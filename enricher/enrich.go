package enricher

import (
	"strings"

	"kubescribe/schemas"
)

// Enrich builds the document of one observation with the context that was found. It is pure, takes time linear in the
// observation's size, and keeps no reference to o's payload. An error is final for this observation: its payload is not
// what its type says.
func Enrich(o *schemas.Observation, object Object, f Fields) (*schemas.Document, error) {
	var c cutter
	s := subject(&c, o.Subject)
	d := &schemas.Document{
		Timestamp: o.Time,
		ECS:       schemas.ECS{Version: schemas.ECSVersion},
		Event: schemas.EventInfo{
			ID: o.ID, Kind: "event", Module: "kubernetes", Dataset: "kubernetes." + string(o.Type),
			Type: []string{"info"}, Created: o.ObservedAt, End: o.Time,
		},
		Log: &schemas.LogInfo{Level: "info"},
		Orchestrator: schemas.Orchestrator{
			Type: "kubernetes", Cluster: schemas.ECSName{Name: o.Cluster.Name, ID: c.name("orchestrator.cluster.id", o.Cluster.UID)},
			Namespace: s.Namespace, Resource: schemas.Resource{Type: strings.ToLower(s.Kind), Name: s.Name, ID: s.UID},
		},
		Kubernetes: schemas.Kubernetes{Namespace: s.Namespace},
		Kubescribe: schemas.Kubescribe{
			Source: o.Source, Type: o.Type, Class: schemas.ClassNormal,
			TimeAdjusted: o.TimeAdjusted, Occurrences: o.Occurrences,
		},
	}
	setNames(d, s.APIVersion, s.Kind, s.Name, s.UID)
	setContainer(d, s.FieldPath)
	if s.Kind != "" {
		addContext(d, &c, s, object, f)
	}

	var err error
	keep := f.KeepOriginal
	switch o.Type {
	case schemas.TypeEvent:
		err = addEvent(d, &c, s, o.Payload)
	case schemas.TypeGap:
		err = addGap(d, &c, o.Payload)
	case schemas.TypeContainer:
		err = addContainer(d, &c, s, o.Payload, f)
	default:
		// A newer producer's type: what this version can't read stays readable for people.
		keep = true
	}
	if err != nil {
		return nil, err
	}
	if keep {
		d.Event.Original = c.text("event.original", string(o.Payload), MaxOriginalBytes)
	}
	if d.Message != "" {
		d.Kubescribe.MessageHash = MessageHash(d.Message)
	}
	if s.Kind != "" {
		addPlace(d, &c, object, f)
	}
	addUserFields(d, &c, f)
	d.Kubescribe.Truncated = c.fields
	return d, nil
}

// subject bounds the strings of a subject.
func subject(c *cutter, s schemas.Subject) schemas.Subject {
	const f = "kubernetes.event.involved_object"
	return schemas.Subject{
		APIVersion: c.name(f, s.APIVersion), Kind: c.name(f, s.Kind), Namespace: c.name(f, s.Namespace), Name: c.name(f, s.Name),
		UID: c.name(f, s.UID), ResourceVersion: c.name(f, s.ResourceVersion), FieldPath: c.name(f, s.FieldPath),
	}
}

func isNode(apiVersion, kind string) bool {
	return kind == "Node" && (apiVersion == "v1" || apiVersion == "")
}

// setNames fills kubernetes.<kind> for the kinds that Beats has a name for.
func setNames(d *schemas.Document, apiVersion, kind, name, uid string) {
	k := &d.Kubernetes
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		group = ""
	}
	var slot **schemas.KubernetesName
	switch {
	case group == "" && kind == "Pod":
		slot = &k.Pod
	case group == "" && kind == "Node":
		slot = &k.Node
		if uid == name { // the kubelet has only the name to give
			uid = ""
		}
	case group == "apps" && kind == "Deployment":
		slot = &k.Deployment
	case group == "apps" && kind == "ReplicaSet":
		slot = &k.ReplicaSet
	case group == "apps" && kind == "StatefulSet":
		slot = &k.StatefulSet
	case group == "apps" && kind == "DaemonSet":
		slot = &k.DaemonSet
	case group == "batch" && kind == "Job":
		slot = &k.Job
	case group == "batch" && kind == "CronJob":
		slot = &k.CronJob
	default:
		return
	}
	if *slot == nil && name != "" {
		*slot = &schemas.KubernetesName{Name: name, UID: uid}
	}
}

// setContainer fills the container from a field path like spec.containers{main} or spec.initContainers{setup}.
func setContainer(d *schemas.Document, fieldPath string) {
	if name := containerName(fieldPath); name != "" {
		d.Container = &schemas.Container{Name: name}
		d.Kubernetes.Container = &schemas.KubernetesName{Name: name}
	}
}
