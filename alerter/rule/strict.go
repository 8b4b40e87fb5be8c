package rule

import (
	"slices"
	"strings"
)

// strict notes what the alerter would run but whoever writes rules should not want. `kubescribe rules check` asks for it; the
// alerter does not, so that a stricter version never stops rules that run.
func (f *file) strict(d draft, r *Rule) {
	if r.program != nil {
		f.findings(d.expr, "expr")
	}
	if r.resolve != nil {
		f.findings(d.when, "when")
	}
	if d.alert.tok != nil && !d.hasDedup {
		f.at(d.alert.tok, "alert: has no dedup: say for how long it is not repeated while it fires, like dedup: 4h")
	}
	for _, t := range d.groupBy {
		if why := cardinality(t.value, r); why != "" {
			f.at(t.tok, "group_by: %q %s", t.value, why)
		}
	}
}

// findings notes what of the expression t, the value of the key what, can't be meant.
func (f *file) findings(t text, what string) {
	for _, p := range conditionFindings(t.value) {
		line, column := lineColumn(t.value, p.at)
		f.in(t, line, column, "%s: %s", what, p.message)
	}
}

// lineColumn turns a place in characters, from 0, into a line and a column, from 1.
func lineColumn(s string, at int) (line, column int) {
	runes := []rune(s)
	line, column = 1, 1
	for _, c := range runes[:min(max(at, 0), len(runes))] {
		if column++; c == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// shortLived are the kinds whose names come and go: with them a group is as good as an event.
var shortLived = []string{"Pod", "ReplicaSet", "Job", "Event", "Endpoints", "EndpointSlice", "ReplicationController"}

// generated are labels that get another value with each rollout, pod or job.
var generated = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation", "controller-uid", "job-name",
	"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "statefulset.kubernetes.io/pod-name",
	"apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index",
}

// cardinality says why grouping r by name makes too many groups, "" if it does not.
func cardinality(name string, r *Rule) string {
	if key, ok := strings.CutPrefix(name, "labels."); ok && slices.Contains(generated, key) {
		return "changes with each rollout or pod, so that each would page anew: use workload"
	}
	if strings.HasPrefix(name, "annotations.") {
		return "is free text without a bound on its values: copy it to a label of the object and use labels.KEY"
	}
	if name != "name" && name != "object" {
		return ""
	}
	kinds, known := r.required[byKind]
	if !known {
		return "is another for each pod, so that each would page anew: use workload, or limit the rule to a kind that lasts, like kind == \"Node\""
	}
	for _, k := range kinds {
		if slices.Contains(shortLived, k) {
			return "is another for each " + k + ", so that each would page anew: use workload"
		}
	}
	return ""
}
