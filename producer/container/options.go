package container

import (
	"errors"
	"path"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubescribe/schemas"
)

// Options say what is no fact. The zero value leaves nothing out but what ends as it is meant to.
type Options struct {
	// WaitingGrace is how long after a pod's creation a container may wait in a bad state before that is a fact.
	WaitingGrace time.Duration
	// OrdinaryWaits are the reasons of waiting that every start goes through. A container that waits without a reason waits
	// ordinarily too.
	OrdinaryWaits []string
	// BatchKinds are kinds of owners whose containers are meant to end.
	BatchKinds []string
	// SkipDeleted leaves out what a pod's deletion brings about: ends after it was asked for, and waits.
	SkipDeleted bool
	// SkipEphemeral leaves out ephemeral containers: the exit code of a debugging shell is that of its last command.
	SkipEphemeral bool
	// Pods and Containers are patterns (path.Match) of names to leave out; a pod's is matched as name and as namespace/name.
	Pods, Containers []string
}

func (o *Options) leavesOutPod(p *corev1.Pod) bool {
	return matches(o.Pods, p.Name) || matches(o.Pods, p.Namespace+"/"+p.Name)
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil // the configuration was checked
	})
}

// meantToEnd reports whether an exit code of 0 is how the container should end.
func (o *Options) meantToEnd(p *corev1.Pod, c listed) bool {
	switch {
	case c.kind == schemas.KindInit, c.kind == schemas.KindEphemeral, p.Status.Phase == corev1.PodSucceeded:
		return true
	case c.spec != nil && c.spec.RestartPolicy != nil:
		return *c.spec.RestartPolicy != corev1.ContainerRestartPolicyAlways
	case p.Spec.RestartPolicy == corev1.RestartPolicyNever, p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure:
		return true
	}
	return slices.ContainsFunc(p.OwnerReferences, func(r metaOwner) bool { return slices.Contains(o.BatchKinds, r.Kind) })
}

// deletedAt is when the deletion of p was asked for; zero when it was not.
func deletedAt(p *corev1.Pod) time.Time {
	if p.DeletionTimestamp == nil {
		return time.Time{}
	}
	grace := time.Duration(0)
	if s := p.DeletionGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	return p.DeletionTimestamp.Add(-grace)
}

// CheckPattern reports what is wrong with a pattern of Pods or Containers.
func CheckPattern(pattern string) error {
	if pattern == "" {
		return errors.New("it is empty")
	}
	_, err := path.Match(pattern, "")
	return err
}
