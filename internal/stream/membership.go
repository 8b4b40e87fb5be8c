package stream

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// membership is what the group's callbacks know about the partitions of a transform loop. They come from other goroutines; the
// loop asks between its steps.
//
// The session hides a revoke from its user while an earlier one waits for the end of a transaction. A loop that trusted only
// the callbacks could keep state, and fire timers, for a partition that is gone. So the balancer is wrapped too: each sync of
// the group shows the whole assignment.
type membership struct {
	mu        sync.Mutex
	gained    map[topicPartition]bool
	lost      map[topicPartition]bool
	synced    map[topicPartition]bool // nil until the first sync
	interrupt context.CancelFunc      // ends the step in hand when something is lost
	awake     context.CancelFunc      // ends the poll in hand when anything changes
}

func newMembership() *membership {
	return &membership{
		gained: map[topicPartition]bool{}, lost: map[topicPartition]bool{},
		interrupt: func() {}, awake: func() {},
	}
}

func (m *membership) onAssigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for tp := range each(parts) {
		m.gained[tp] = true
	}
	m.awake()
}

func (m *membership) onLost(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for tp := range each(parts) {
		m.lost[tp] = true
		delete(m.gained, tp)
	}
	if len(parts) > 0 {
		m.interrupt()
		m.awake()
	}
}

func (m *membership) onSync(parts map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = map[topicPartition]bool{}
	for tp := range each(parts) {
		m.synced[tp] = true
	}
	m.awake()
}

// take returns what changed since the last call. lost comes before gained: a partition in both was away in between.
func (m *membership) take(owned map[topicPartition]bool) (lost, gained map[topicPartition]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lost, gained = map[topicPartition]bool{}, m.gained
	for tp := range owned {
		if m.lost[tp] || gained[tp] || m.synced != nil && !m.synced[tp] {
			lost[tp] = true
		}
	}
	m.gained, m.lost = map[topicPartition]bool{}, map[topicPartition]bool{}
	return lost, gained
}

// step derives a context for one step of the loop. It ends when a partition is lost, at once if one was lost since take.
func (m *membership) step(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interrupt = cancel
	if len(m.lost) > 0 {
		cancel()
	}
	return ctx, cancel
}

// poll derives a context for a poll. It ends when anything changes, at once if something did since take.
func (m *membership) poll(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.awake = cancel
	if len(m.lost) > 0 || len(m.gained) > 0 {
		cancel()
	}
	return ctx, cancel
}

// watchedBalancer shows each assignment to a membership.
type watchedBalancer struct {
	kgo.GroupBalancer
	seen func(map[string][]int32)
}

// ParseSyncAssignment implements kgo.GroupBalancer.
func (w *watchedBalancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	parts, err := w.GroupBalancer.ParseSyncAssignment(assignment)
	if err == nil {
		w.seen(parts)
	}
	return parts, err
}

// each walks a map as the client gives it.
func each(parts map[string][]int32) func(yield func(topicPartition) bool) {
	return func(yield func(topicPartition) bool) {
		for topic, numbers := range parts {
			for _, n := range numbers {
				if !yield(topicPartition{topic, n}) {
					return
				}
			}
		}
	}
}

// byTopic is the opposite of each.
func byTopic(parts map[topicPartition]bool) map[string][]int32 {
	m := map[string][]int32{}
	for tp := range parts {
		m[tp.topic] = append(m[tp.topic], tp.partition)
	}
	return m
}
