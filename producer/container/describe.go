package container

import (
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/internal/redact"
	"kubescribe/schemas"
)

// Whoever may write a pod's status chooses these strings; the bounds keep the id below 512 bytes and the record below the topic's
// limit.
const (
	maxReason    = 120
	maxInstance  = 200
	maxContainer = 63
	maxMessage   = 16 << 10
	maxName      = 4 << 10
	maxLabels    = 128
)

// ended describes c by one of its ends.
func ended(c listed, t *corev1.ContainerStateTerminated) schemas.ContainerTransition {
	what := describe(c)
	end := termination(t)
	what.State, what.Reason, what.Message = schemas.StateTerminated, end.Reason, end.Message
	what.ExitCode, what.Signal = &end.ExitCode, end.Signal
	what.StartedAt, what.FinishedAt, what.ContainerID = end.StartedAt, end.FinishedAt, end.ContainerID
	return what
}

// waits describes c by its waiting.
func waits(c listed) schemas.ContainerTransition {
	what := describe(c)
	w := c.status.State.Waiting
	what.State, what.Reason, what.Message = schemas.StateWaiting, clip(w.Reason, maxName), message(w.Message)
	what.ContainerID = clip(c.status.ContainerID, maxName)
	if t := c.status.LastTerminationState.Terminated; t != nil {
		what.Last = termination(t)
		if what.ContainerID == "" {
			what.ContainerID = what.Last.ContainerID
		}
	}
	return what
}

func describe(c listed) schemas.ContainerTransition {
	what := schemas.ContainerTransition{
		Container: c.status.Name, Kind: c.kind, RestartCount: max(0, c.status.RestartCount),
		Image: clip(c.status.Image, maxName), ImageID: clip(c.status.ImageID, maxName),
	}
	if c.spec == nil {
		return what
	}
	if c.spec.Image != "" {
		what.Image = clip(c.spec.Image, maxName)
	}
	for name, q := range c.spec.Resources.Limits {
		if what.Limits == nil {
			what.Limits = map[string]string{}
		}
		what.Limits[string(name)] = q.String()
	}
	return what
}

func termination(t *corev1.ContainerStateTerminated) *schemas.ContainerTermination {
	end := &schemas.ContainerTermination{
		Reason: clip(t.Reason, maxName), Message: message(t.Message), ExitCode: t.ExitCode, Signal: t.Signal,
		StartedAt: utc(t.StartedAt), FinishedAt: utc(t.FinishedAt), ContainerID: clip(t.ContainerID, maxName),
	}
	if end.Signal == 0 && t.ExitCode > 128 && t.ExitCode <= 192 {
		end.Signal = t.ExitCode - 128
	}
	switch {
	case end.Reason != "":
	case t.ExitCode == 0:
		end.Reason = "Completed"
	default:
		end.Reason = "Error"
	}
	return end
}

// utc is t in UTC; the zero time and the epoch, which some runtimes write for "never", are zero.
func utc(t metav1.Time) time.Time {
	if t.IsZero() || t.Unix() == 0 {
		return time.Time{}
	}
	return t.UTC()
}

// addPod fills in what is the same for all containers of a pod.
func addPod(what *schemas.ContainerTransition, p *corev1.Pod) {
	what.Node, what.PodPhase, what.PodReason = clip(p.Spec.NodeName, maxName), string(p.Status.Phase), clip(p.Status.Reason, maxName)
	if r := metav1.GetControllerOfNoCopy(p); r != nil {
		what.Owner = &schemas.Subject{APIVersion: r.APIVersion, Kind: r.Kind, Name: r.Name, UID: string(r.UID)}
	}
	if len(p.Labels) <= maxLabels {
		what.Labels = p.Labels
	}
}

// secrets is for messages that are the last lines of a log: terminationMessagePolicy: FallbackToLogsOnError.
var secrets redact.Redactor

// message bounds a message and takes secrets out of it.
func message(s string) string {
	s, _ = secrets.Redact(s)
	return clip(s, maxMessage)
}

// clip cuts s to at most limit bytes without breaking a character, and keeps no longer string alive.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.Clone(s[:limit])
}

// Latest is the latest time in p's status, of its containers and of its creation: when a revision without a time of arrival was there
// at the earliest.
func Latest(p *corev1.Pod) time.Time {
	latest := p.CreationTimestamp.UTC()
	note := func(t metav1.Time) {
		if u := utc(t); u.After(latest) {
			latest = u
		}
	}
	for _, c := range p.Status.Conditions {
		note(c.LastTransitionTime)
	}
	for _, c := range containers(p) {
		for _, s := range []corev1.ContainerState{c.status.State, c.status.LastTerminationState} {
			if s.Running != nil {
				note(s.Running.StartedAt)
			}
			if s.Terminated != nil {
				note(s.Terminated.FinishedAt)
			}
		}
	}
	return latest
}
