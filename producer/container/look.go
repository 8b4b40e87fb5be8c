package container

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

type metaOwner = metav1.OwnerReference

// listed is one container of a pod with what the pod says about it in its spec and its status.
type listed struct {
	kind   schemas.ContainerKind
	path   string // the field path, as the kubelet's Events have it
	spec   *corev1.Container
	status *corev1.ContainerStatus
}

// containers are those that have a status, in the order in which they run.
func containers(p *corev1.Pod) []listed {
	all := make([]listed, 0, len(p.Status.InitContainerStatuses)+len(p.Status.ContainerStatuses))
	for i := range p.Status.InitContainerStatuses {
		c := listed{kind: schemas.KindInit, status: &p.Status.InitContainerStatuses[i]}
		c.spec = named(p.Spec.InitContainers, c.status.Name)
		if c.spec != nil && c.spec.RestartPolicy != nil && *c.spec.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			c.kind = schemas.KindSidecar
		}
		c.path = "spec.initContainers{" + c.status.Name + "}"
		all = append(all, c)
	}
	for i := range p.Status.ContainerStatuses {
		s := &p.Status.ContainerStatuses[i]
		all = append(all, listed{kind: schemas.KindContainer, path: "spec.containers{" + s.Name + "}", spec: named(p.Spec.Containers, s.Name), status: s})
	}
	for i := range p.Status.EphemeralContainerStatuses {
		s := &p.Status.EphemeralContainerStatuses[i]
		c := listed{kind: schemas.KindEphemeral, path: "spec.ephemeralContainers{" + s.Name + "}", status: s}
		for j := range p.Spec.EphemeralContainers {
			if e := &p.Spec.EphemeralContainers[j].EphemeralContainerCommon; e.Name == s.Name {
				c.spec = (*corev1.Container)(e)
			}
		}
		all = append(all, c)
	}
	return all
}

func named(all []corev1.Container, name string) *corev1.Container {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

// The instance of a container is named by the runtime's id, or by how often the container had been restarted before it.

// current is the instance that the status is about: it runs, has ended, or is waited for.
func (c listed) current() string {
	if t := c.status.State.Terminated; t != nil {
		return instance(t.ContainerID, c.status.RestartCount)
	}
	return instance(c.status.ContainerID, c.status.RestartCount)
}

// previous is the instance in lastState. The count grows when the next one is created: while it is waited for because of the
// end of this one, the number is still this one's.
func (c listed) previous() string {
	n := c.status.RestartCount
	if w := c.status.State.Waiting; w == nil || w.Reason != crashLoop {
		n = max(0, n-1)
	}
	return instance(c.status.LastTerminationState.Terminated.ContainerID, n)
}

func instance(id string, restarts int32) string {
	if id != "" {
		return clip(id, maxInstance)
	}
	return strconv.FormatInt(int64(restarts), 10)
}

// crashLoop is the reason of waiting that follows an end.
const crashLoop = "CrashLoopBackOff"

// candidate is a transition that a pod shows, new or not.
type candidate struct {
	id   string
	path string
	time time.Time // zero: nobody noted it
	due  time.Time // zero: at once
	what schemas.ContainerTransition
}

// look finds the transitions that p shows and that Options do not leave out, oldest first for each container, and says which
// instances are still to be seen: ids that begin with one of prefixes may be seen again. It doesn't fill what is the same for
// all containers of a pod.
func (o *Options) look(p *corev1.Pod, clusterUID string) (found []candidate, prefixes []string) {
	ending := mainEnded(p)
	deleted := deletedAt(p)
	for _, c := range containers(p) {
		if name := c.status.Name; name == "" || len(name) > maxContainer || strings.Contains(name, "/") {
			continue // the API server lets no pod have such a container
		}
		id := func(instance string, state schemas.ContainerState, reason string) string {
			return schemas.ContainerID(clusterUID, string(p.UID), c.status.Name, instance, string(state), clip(reason, maxReason))
		}
		last, state := c.status.LastTerminationState.Terminated, c.status.State
		prefix := clusterUID + "/" + string(p.UID) + "/" + c.status.Name + "/"
		prefixes = append(prefixes, prefix+c.current()+"/", prefix+instance("", c.status.RestartCount)+"/")
		if last != nil {
			prefixes = append(prefixes, prefix+c.previous()+"/")
		}
		if o.SkipEphemeral && c.kind == schemas.KindEphemeral || matches(o.Containers, c.status.Name) {
			continue
		}
		abnormal := func(t *corev1.ContainerStateTerminated) bool {
			switch {
			case t == nil, t.ExitCode == 0 && o.meantToEnd(p, c):
				return false
			case c.kind == schemas.KindSidecar && ending:
				return false // the kubelet stops sidecars when the pod's own containers are through
			}
			return !o.SkipDeleted || deleted.IsZero() || !t.FinishedAt.IsZero() && t.FinishedAt.Time.Before(deleted)
		}
		if abnormal(last) {
			x := candidate{path: c.path, what: ended(c, last)}
			x.what.Previous = true
			x.id, x.time = id(c.previous(), schemas.StateTerminated, x.what.Reason), x.what.FinishedAt
			found = append(found, x)
		}
		switch {
		case abnormal(state.Terminated):
			x := candidate{path: c.path, what: ended(c, state.Terminated)}
			if last != nil {
				x.what.Last = termination(last)
			}
			x.id, x.time = id(c.current(), schemas.StateTerminated, x.what.Reason), x.what.FinishedAt
			found = append(found, x)
		case state.Waiting != nil && o.stuck(state.Waiting.Reason) && (!o.SkipDeleted || deleted.IsZero()):
			x := candidate{path: c.path, what: waits(c)}
			x.id = id(c.current(), schemas.StateWaiting, x.what.Reason)
			if x.what.Reason == crashLoop && last != nil {
				x.time = last.FinishedAt.UTC()
			}
			if o.WaitingGrace > 0 {
				x.due = p.CreationTimestamp.Add(o.WaitingGrace)
			}
			found = append(found, x)
		}
	}
	return found, prefixes
}

// mainEnded reports whether all of the pod's own containers have ended for good.
func mainEnded(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return true
	}
	if p.Spec.RestartPolicy == corev1.RestartPolicyAlways || p.Spec.RestartPolicy == "" || len(p.Status.ContainerStatuses) == 0 {
		return false
	}
	for i := range p.Status.ContainerStatuses {
		t := p.Status.ContainerStatuses[i].State.Terminated
		if t == nil || t.ExitCode != 0 && p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure {
			return false
		}
	}
	return true
}

func (o *Options) stuck(reason string) bool {
	if reason == "" {
		return false
	}
	for _, r := range o.OrdinaryWaits {
		if r == reason {
			return false
		}
	}
	return true
}
