package crashlog

import (
	"sync"
	"time"
)

const (
	// breakAfter requests in a row that got no answer, none is sent for breakFor; then one tries.
	breakAfter = 3
	breakFor   = 30 * time.Second
)

// breakers leave nodes alone whose kubelets do not answer, and keep a slow one from taking all slots. They are safe for concurrent use.
type breakers struct {
	now     func() time.Time
	perNode int // requests at once

	mu     sync.Mutex
	byNode map[string]*breaker
	slots  map[string]chan struct{}
}

func newBreakers(concurrency int, now func() time.Time) *breakers {
	return &breakers{now: now, perNode: (concurrency + 1) / 2, byNode: map[string]*breaker{}, slots: map[string]chan struct{}{}}
}

// of returns a node's slots: who puts something in may send a request, and takes it out after.
func (b *breakers) of(node string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.slots[node]
	if s == nil {
		s = make(chan struct{}, b.perNode)
		b.slots[node] = s
	}
	return s
}

type breaker struct {
	failures int       // in a row
	until    time.Time // nothing is sent before
}

// closed reports whether a request may be sent. When the time is over it lets one through, and the next only after that one.
func (b *breakers) closed(node string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.byNode[node]
	if n == nil || n.failures < breakAfter {
		return true
	}
	if b.now().Before(n.until) {
		return false
	}
	n.until = b.now().Add(breakFor)
	return true
}

// note remembers how a request ended.
func (b *breakers) note(node string, answered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if answered {
		delete(b.byNode, node)
		return
	}
	n := b.byNode[node]
	if n == nil {
		n = &breaker{}
		b.byNode[node] = n
	}
	if n.failures++; n.failures >= breakAfter {
		n.until = b.now().Add(breakFor)
	}
}
