package listing

import (
	"fmt"
	"strings"
	"unicode"
)

// Subject is one Kubernetes object that a timeline is about.
type Subject struct{ Kind, Name, Namespace string }

// kinds are kubectl's short and plural names.
var kinds = map[string]string{
	"po": "pod", "pods": "pod", "deploy": "deployment", "deployments": "deployment", "rs": "replicaset", "replicasets": "replicaset",
	"sts": "statefulset", "statefulsets": "statefulset", "ds": "daemonset", "daemonsets": "daemonset", "no": "node", "nodes": "node",
	"jobs": "job", "cj": "cronjob", "cronjobs": "cronjob", "svc": "service", "services": "service", "pvc": "persistentvolumeclaim",
	"persistentvolumeclaims": "persistentvolumeclaim", "pv": "persistentvolume", "persistentvolumes": "persistentvolume",
	"hpa": "horizontalpodautoscaler", "horizontalpodautoscalers": "horizontalpodautoscaler", "ing": "ingress", "ingresses": "ingress",
	"ns": "namespace", "namespaces": "namespace", "cm": "configmap", "configmaps": "configmap",
}

// workloads have pods of their own.
var workloads = map[string]bool{"deployment": true, "statefulset": true, "daemonset": true, "job": true, "cronjob": true, "replicaset": true}

// ParseSubject reads KIND/NAME, as kubectl takes it.
func ParseSubject(s, namespace string) (Subject, error) {
	kind, name, ok := strings.Cut(s, "/")
	if !ok || kind == "" || name == "" || strings.Contains(name, "/") {
		return Subject{}, fmt.Errorf("%q is no KIND/NAME, such as pod/web-0 or deployment/web", s)
	}
	kind = strings.ToLower(kind)
	if long, ok := kinds[kind]; ok {
		kind = long
	}
	return Subject{Kind: kind, Name: name, Namespace: namespace}, nil
}

// Expression is what a timeline of s shows: what happened to the object itself; for a workload, what happened to everything below
// it; for a node, what happened on it that was more than normal; and the gaps in the record.
func (s Subject) Expression() string {
	name := quote(s.Name)
	about := fmt.Sprintf("(kind:%s and name:%s)", quote(s.Kind), name)
	switch {
	case workloads[s.Kind]:
		kind := kubeKinds[s.Kind]
		about += fmt.Sprintf(" or (workload_kind:%s and workload:%s)", kind, name)
		// Where nobody could ask for owners, as in a recording, the names tell.
		about += fmt.Sprintf(" or (kind:(pod or replicaset or job) and name:%s-* and not workload_kind:%s)", escape(s.Name), kind)
	case s.Kind == "node":
		about += fmt.Sprintf(" or (node:%s and not type:Normal)", name)
	}
	if s.Namespace != "" {
		about = fmt.Sprintf("namespace:%s and (%s)", quote(s.Namespace), about)
	}
	return about + " or fact:gap"
}

// escape takes the language's meaning from every character of a name.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '.' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// kubeKinds are the kinds of workloads as they are written in documents.
var kubeKinds = map[string]string{
	"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet", "job": "Job", "cronjob": "CronJob", "replicaset": "ReplicaSet",
}
