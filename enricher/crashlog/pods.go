package crashlog

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// instance is one life of a container.
type instance struct {
	id    string // the runtime's
	over  bool
	ended time.Time // whole seconds; zero when the status does not say
	// crashed: it did not end as it was meant to.
	crashed bool
}

// container is what is remembered of a container's status.
type container struct {
	name          string
	running       bool
	current, last instance
}

// pod is what is remembered of a pod.
type pod struct {
	namespace, name, uid string
	node, workload       string
	deleted              time.Time // when its deletion was asked for
	containers           []container
}

// newPod keeps what is needed to find logs, and no reference to p.
func newPod(p *corev1.Pod) *pod {
	s := &pod{namespace: p.Namespace, name: p.Name, uid: string(p.UID), node: p.Spec.NodeName, workload: string(p.UID)}
	if p.DeletionTimestamp != nil {
		s.deleted = p.DeletionTimestamp.Time
		if g := p.DeletionGracePeriodSeconds; g != nil {
			s.deleted = s.deleted.Add(-time.Duration(*g) * time.Second)
		}
	}
	if o := metav1.GetControllerOfNoCopy(p); o != nil {
		s.workload = string(o.UID)
	}
	always := p.Spec.RestartPolicy == corev1.RestartPolicyAlways
	s.containers = make([]container, 0, len(p.Status.InitContainerStatuses)+len(p.Status.ContainerStatuses)+len(p.Status.EphemeralContainerStatuses))
	s.add(p.Status.InitContainerStatuses, false)
	s.add(p.Status.ContainerStatuses, always)
	s.add(p.Status.EphemeralContainerStatuses, false)
	return s
}

// add remembers statuses; always says that such a container is not meant to end.
func (p *pod) add(statuses []corev1.ContainerStatus, always bool) {
	for i := range statuses {
		st := &statuses[i]
		c := container{name: st.Name, running: st.State.Running != nil, current: instance{id: st.ContainerID}}
		if t := st.State.Terminated; t != nil {
			c.current = ended(t, always)
		}
		if t := st.LastTerminationState.Terminated; t != nil {
			c.last = ended(t, always)
		}
		p.containers = append(p.containers, c)
	}
}

func ended(t *corev1.ContainerStateTerminated, always bool) instance {
	return instance{id: t.ContainerID, over: true, ended: t.FinishedAt.Time, crashed: t.ExitCode != 0 || always}
}

func (p *pod) container(name string) *container {
	if p == nil {
		return nil
	}
	for i := range p.containers {
		if p.containers[i].name == name {
			return &p.containers[i]
		}
	}
	return nil
}

// knows reports whether the status showed the end of an instance.
func (c *container) knows(i instance) bool {
	return c != nil && (c.current.over && c.current.id == i.id || c.last.over && c.last.id == i.id)
}

// pods are the pods that were seen. They are safe for concurrent use.
type pods struct {
	mu    sync.RWMutex
	byUID map[string]*pod
	// changed is closed and replaced by every change while somebody waits for one.
	changed chan struct{}
	waiting int
}

func newPods() *pods { return &pods{byUID: map[string]*pod{}, changed: make(chan struct{})} }

// put stores p and returns what it replaces, nil for a pod that is new.
func (s *pods) put(p *pod) *pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.byUID[p.uid]
	s.byUID[p.uid] = p
	s.tell()
	return old
}

func (s *pods) remove(uid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byUID, uid)
	s.tell()
}

// tell wakes those who wait. The caller holds mu.
func (s *pods) tell() {
	if s.waiting > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *pods) get(uid string) *pod {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byUID[uid]
}

// wait calls again whenever a pod changed, until it returns true or done is closed.
func (s *pods) wait(done <-chan struct{}, again func() bool) {
	s.mu.Lock()
	s.waiting++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}()
	for {
		s.mu.RLock()
		changed := s.changed
		s.mu.RUnlock()
		if again() {
			return
		}
		select {
		case <-changed:
		case <-done:
			return
		}
	}
}
