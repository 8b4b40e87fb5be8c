package producer

import (
	"sync"

	"kubescribe/internal/stream"
)

// component is the producer's name where it reports its health.
const component = "producer"

// readiness joins the two reasons for which a producer may not be ready, so that neither hides the other's end.
type readiness struct {
	to stream.HealthReporter

	mu           sync.Mutex
	stage, kafka string
	last         string
	told         bool
}

// at notes what the producer is busy with, or what holds it up; "" when it watches.
func (r *readiness) at(stage string) { r.set(&r.stage, stage) }

// waiting notes that Kafka does not answer; "" when it does.
func (r *readiness) waiting(reason string) { r.set(&r.kafka, reason) }

func (r *readiness) set(which *string, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*which = reason
	now := r.kafka
	if now == "" {
		now = r.stage
	}
	if r.told && now == r.last {
		return
	}
	r.told, r.last = true, now
	r.to.Set(component, now)
}
