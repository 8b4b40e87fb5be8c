package storetest

import (
	"fmt"
	"time"

	"kubescribe/internal/store"
	"kubescribe/schemas"
)

// Document is the n-th of a series: a warning about pod web-n in one of three namespaces, one second after the one before.
func Document(n int, start time.Time) *schemas.Document {
	t := start.Add(time.Duration(n) * time.Second).UTC()
	namespace := fmt.Sprintf("ns-%d", n%3)
	pod := fmt.Sprintf("web-%d", n)
	one := int64(1)
	return &schemas.Document{
		Timestamp: t,
		Message:   fmt.Sprintf("Back-off restarting failed container app in pod %s_%s(uid-%d)", pod, namespace, n),
		ECS:       schemas.ECS{Version: schemas.ECSVersion},
		Event: schemas.EventInfo{
			ID: fmt.Sprintf("cluster-uid/1/event-uid-%d/%d", n, 1000+n), Kind: "event", Module: "kubernetes", Dataset: "kubernetes.event",
			Type: []string{"error"}, Action: "BackOff", Provider: "kubelet", Created: t, Start: t, End: t,
		},
		Log: &schemas.LogInfo{Level: "warning"},
		Orchestrator: schemas.Orchestrator{
			Type: "kubernetes", Cluster: schemas.ECSName{Name: "test", ID: "cluster-uid"}, Namespace: namespace,
			Resource: schemas.Resource{Type: "pod", Name: pod, ID: fmt.Sprintf("uid-%d", n)},
		},
		Kubernetes: schemas.Kubernetes{
			Namespace: namespace,
			Event: &schemas.KubernetesEvent{
				Type: "Warning", Reason: "BackOff", Count: 3, Source: &schemas.EventSource{Component: "kubelet", Host: "node-1"},
				InvolvedObject: schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: pod, UID: fmt.Sprintf("uid-%d", n)},
			},
			Node: &schemas.KubernetesName{Name: "node-1"}, Pod: &schemas.KubernetesName{Name: pod, UID: fmt.Sprintf("uid-%d", n)},
			Labels: map[string]string{"app": "web", "app.kubernetes.io/name": "web"},
		},
		Service: &schemas.Service{Name: "web"},
		Kubescribe: schemas.Kubescribe{
			Source: schemas.SourceEvents, Type: schemas.TypeEvent, Class: schemas.ClassWarning, Occurrences: &one,
			Workload: &schemas.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
		},
	}
}

// Item is d as the indexer hands it to a store.
func Item(d *schemas.Document) store.Item {
	body, err := d.Encode()
	if err != nil {
		panic(err) // a Document always encodes
	}
	return store.Item{ID: d.Event.ID, Class: d.Kubescribe.Class, Time: d.Timestamp, Body: body}
}

// Items are the first n of a series.
func Items(n int, start time.Time) []store.Item {
	items := make([]store.Item, n)
	for i := range items {
		items[i] = Item(Document(i, start))
	}
	return items
}
