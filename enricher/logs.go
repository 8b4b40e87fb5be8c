package enricher

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"kubescribe/enricher/crashlog"
	"kubescribe/schemas"
)

// Logs is what Objects may be as well: the door to containers' logs.
type Logs interface {
	// Logs returns the log of each want, in their order. It waits a bounded time for all together.
	Logs(ctx context.Context, wants []crashlog.Want) []crashlog.Log
	// Own says which pods' records come to this replica, from now on.
	Own(owns func(namespace, pod string) bool)
}

// logs gives documents the logs of the containers that they are about.
type logs struct {
	source  Logs
	reasons []string
	quoted  [][]byte // reasons as JSON strings
}

func newLogs(source Logs, reasons []string) *logs {
	l := &logs{source: source, reasons: reasons}
	for _, r := range reasons {
		l.quoted = append(l.quoted, []byte(`"`+r+`"`))
	}
	return l
}

// begin asks for the logs of a batch and returns at once. What it returns waits for the answers and gives each item its own.
func (l *logs) begin(ctx context.Context, items []item) (finish func()) {
	if l == nil {
		return func() {}
	}
	var wants []crashlog.Want
	var whose []int
	for i := range items {
		if items[i].o == nil {
			continue
		}
		if w, ok := l.want(items[i].o); ok {
			wants, whose = append(wants, w), append(whose, i)
		}
	}
	if len(wants) == 0 {
		return func() {}
	}
	answers := make(chan []crashlog.Log, 1)
	go func() { answers <- l.source.Logs(ctx, wants) }()
	return func() {
		for n, log := range <-answers {
			items[whose[n]].log = &log
		}
	}
}

// want says which log belongs to an observation, if one does.
func (l *logs) want(o *schemas.Observation) (crashlog.Want, bool) {
	if o.Subject.Kind != "Pod" || o.Subject.UID == "" {
		return crashlog.Want{}, false
	}
	w := crashlog.Want{Namespace: o.Subject.Namespace, Pod: o.Subject.Name, PodUID: o.Subject.UID, Seen: o.ObservedAt}
	switch o.Type {
	case schemas.TypeContainer:
		t, err := schemas.DecodeContainerTransition(o.Payload)
		if err != nil || t.State == schemas.StateWaiting && t.ContainerID == "" {
			return crashlog.Want{}, false // poison, or a container that never ran
		}
		w.Container, w.ContainerID = t.Container, t.ContainerID
		return w, true
	case schemas.TypeEvent:
		if w.Container = containerName(o.Subject.FieldPath); w.Container == "" {
			return crashlog.Want{}, false
		}
		reason := l.reason(o.Payload)
		w.Running = reason != "BackOff" // which is about the instance that ended
		return w, reason != ""
	}
	return crashlog.Want{}, false
}

// reason is an Event's reason if it is one of those that get a log.
func (l *logs) reason(payload []byte) string {
	if !slices.ContainsFunc(l.quoted, func(q []byte) bool { return bytes.Contains(payload, q) }) {
		return "" // most of them, without decoding
	}
	e, err := decodeEvent(payload)
	if err != nil || !slices.Contains(l.reasons, e.Reason) {
		return ""
	}
	return e.Reason
}

// containerName reads a field path like spec.containers{main}; "" when it is another's.
func containerName(fieldPath string) string {
	list, rest, ok := strings.Cut(fieldPath, "{")
	name, end := strings.CutSuffix(rest, "}")
	if !ok || !end {
		return ""
	}
	switch list {
	case "spec.containers", "spec.initContainers", "spec.ephemeralContainers":
		return name
	}
	return ""
}

// addLog adds a container's last lines, or why there are none.
func addLog(d *schemas.Document, log *crashlog.Log) {
	if log == nil {
		return
	}
	info := log.Info
	d.Kubescribe.Log = &info
	if log.Text != "" {
		if d.Error == nil {
			d.Error = &schemas.ErrorInfo{}
		}
		d.Error.StackTrace = log.Text
	}
	if log.Truncated {
		d.Kubescribe.Truncated = append(d.Kubescribe.Truncated, "error.stack_trace")
	}
}
