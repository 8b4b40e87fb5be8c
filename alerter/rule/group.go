package rule

import (
	"fmt"
	"slices"
	"strings"
)

// groupFields are the fields that group_by may name. The varying ones (message, time, counts) are left out on purpose: a
// group of its own for each message would page for each.
var groupFields = map[string]func(*Env) string{
	"namespace":     func(e *Env) string { return e.Namespace },
	"kind":          func(e *Env) string { return e.Kind },
	"name":          func(e *Env) string { return e.Name },
	"object":        func(e *Env) string { return e.Object },
	"reason":        func(e *Env) string { return e.Reason },
	"type":          func(e *Env) string { return e.Type },
	"message_hash":  func(e *Env) string { return e.MessageHash },
	"component":     func(e *Env) string { return e.Component },
	"workload":      func(e *Env) string { return e.Workload.String() },
	"workload.kind": func(e *Env) string { return e.Workload.Kind },
	"workload.name": func(e *Env) string { return e.Workload.Name },
	"service":       func(e *Env) string { return e.Service },
	"node":          func(e *Env) string { return e.Node },
	"container":     func(e *Env) string { return e.Container },
	"image":         func(e *Env) string { return e.Image },
	"class":         func(e *Env) string { return e.Class },
	"event_type":    func(e *Env) string { return e.EventType },
	"gap.source":    func(e *Env) string { return e.Gap.Source },
}

// groupField is the reader of one name of group_by. Besides the fixed names, labels.KEY, namespace_labels.KEY and annotations.KEY are allowed.
// cluster is for rules of scope fleet; the alerts of others belong to a cluster anyway.
func groupField(name string, fleet bool) (func(*Env) string, error) {
	if fleet && name == "cluster" {
		return func(e *Env) string { return e.Cluster }, nil
	}
	if f, ok := groupFields[name]; ok {
		return f, nil
	}
	if key, ok := strings.CutPrefix(name, "labels."); ok && key != "" {
		return func(e *Env) string { return e.Labels[key] }, nil
	}
	if key, ok := strings.CutPrefix(name, "namespace_labels."); ok && key != "" {
		return func(e *Env) string { return e.NamespaceLabels[key] }, nil
	}
	if key, ok := strings.CutPrefix(name, "annotations."); ok && key != "" {
		return func(e *Env) string { return e.Annotations[key] }, nil
	}
	switch name {
	case "cluster":
		return nil, fmt.Errorf("group_by: every alert is grouped by cluster already: leave it out")
	case "message":
		return nil, fmt.Errorf("group_by: each message would be a group of its own: use message_hash")
	}
	known := make([]string, 0, len(groupFields))
	for k := range groupFields {
		known = append(known, k)
	}
	slices.Sort(known)
	return nil, fmt.Errorf("group_by: %q is unknown: use labels.KEY, namespace_labels.KEY, annotations.KEY or one of %s", name, strings.Join(known, ", "))
}
