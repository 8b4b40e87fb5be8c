package crashlog

import (
	"sync"
	"time"
)

// bucket is a budget that fills up within a minute. It may go below zero: what is charged after the fact is paid back first.
type bucket struct {
	size, left float64
	at         time.Time
}

func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.left = min(b.size, b.left+b.size*d.Minutes())
	}
	b.at = now
}

// maxWorkloads is how many workloads' buckets are kept before the full ones are dropped.
const maxWorkloads = 1000

// budget admits requests. It is safe for concurrent use.
type budget struct {
	now func() time.Time

	mu              sync.Mutex
	requests, bytes bucket
	perWorkload     float64
	workloads       map[string]*bucket
}

func newBudget(c Config, now func() time.Time) *budget {
	full := func(n int) bucket { return bucket{size: float64(n), left: float64(n), at: now()} }
	return &budget{
		now: now, requests: full(c.RequestsPerMinute), bytes: full(c.BytesPerMinute),
		perWorkload: float64(c.WorkloadRequestsPerMinute), workloads: map[string]*bucket{},
	}
}

// admit takes one request of a workload out of all buckets, or out of none.
func (b *budget) admit(workload string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	w := b.workloads[workload]
	if w == nil {
		if len(b.workloads) >= maxWorkloads {
			b.sweep(now)
		}
		w = &bucket{size: b.perWorkload, left: b.perWorkload, at: now}
		b.workloads[workload] = w
	}
	w.fill(now)
	b.requests.fill(now)
	b.bytes.fill(now)
	if w.left < 1 || b.requests.left < 1 || b.bytes.left <= 0 {
		return false
	}
	w.left--
	b.requests.left--
	return true
}

// charge takes what was read out of the budget.
func (b *budget) charge(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes.left -= float64(bytes)
}

// sweep drops the buckets that are full again. The caller holds mu.
func (b *budget) sweep(now time.Time) {
	for k, w := range b.workloads {
		if w.fill(now); w.left >= w.size {
			delete(b.workloads, k)
		}
	}
}
