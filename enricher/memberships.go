package enricher

import (
	"sync"
	"time"
)

// memberships remember which Services' EndpointSlices list a pod, by its UID: an address that another pod has taken over
// says nothing. What has ended stays for a while, for the events that arrive after the pod's deletion. They are safe for
// concurrent use.
type memberships struct {
	keep time.Duration

	mu    sync.RWMutex
	byPod map[string]map[member]time.Time // until when; zero: still listed
	ended []ending                        // oldest first
}

// member is one Service in one EndpointSlice.
type member struct{ service, slice string }

type ending struct {
	pod    string
	member member
	at     time.Time
}

func newMemberships(keep time.Duration) *memberships {
	return &memberships{keep: keep, byPod: map[string]map[member]time.Time{}}
}

// change takes over what a slice lists now instead of what it listed before; old or e is nil when it was not there.
func (m *memberships) change(old, e *entry, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	listed := map[string]bool{}
	if f, ok := factsOfSlice(e); ok {
		as := member{f.service, e.uid}
		for _, pod := range f.pods {
			listed[pod] = true
			if m.byPod[pod] == nil {
				m.byPod[pod] = map[member]time.Time{}
			}
			m.byPod[pod][as] = time.Time{}
		}
	}
	if f, ok := factsOfSlice(old); ok {
		was := member{f.service, old.uid}
		for _, pod := range f.pods {
			if until, in := m.byPod[pod][was]; in && until.IsZero() && !listed[pod] {
				m.byPod[pod][was] = now
				m.ended = append(m.ended, ending{pod, was, now})
			}
		}
	}
	m.sweep(now)
}

// sweep forgets what ended too long ago. The caller holds mu.
func (m *memberships) sweep(now time.Time) {
	n := 0
	for ; n < len(m.ended) && now.Sub(m.ended[n].at) > m.keep; n++ {
		e := m.ended[n]
		if m.byPod[e.pod][e.member].Equal(e.at) {
			if delete(m.byPod[e.pod], e.member); len(m.byPod[e.pod]) == 0 {
				delete(m.byPod, e.pod)
			}
		}
	}
	if n > 0 {
		clear(m.ended[:n])
		m.ended = m.ended[n:]
	}
}

// of calls fn with the Services whose slices list the pod; of a pod that is gone, also those whose slices did.
func (m *memberships) of(pod string, lives bool, now time.Time, fn func(service string)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for in, until := range m.byPod[pod] {
		if until.IsZero() || !lives && now.Sub(until) <= m.keep {
			fn(in.service)
		}
	}
}

func factsOfSlice(e *entry) (*sliceFacts, bool) {
	if e == nil {
		return nil, false
	}
	f, ok := e.facts.(*sliceFacts)
	return f, ok && f.service != ""
}
