package receiver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kubescribe/schemas"
)

// limited lets perMinute tries through in any minute. It forgets when the process ends: the far side's own limit still holds then.
type limited struct {
	Receiver
	perMinute int
	mu        sync.Mutex
	tries     []time.Time // of the last minute, oldest first
}

// limit bounds how often r is asked; 0 is no limit.
func limit(r Receiver, perMinute int) Receiver {
	if perMinute == 0 {
		return r
	}
	return &limited{Receiver: r, perMinute: perMinute}
}

// Send tries, or says how long to wait.
func (l *limited) Send(ctx context.Context, a *schemas.Alert, now time.Time) error {
	if wait := l.take(now); wait > 0 {
		return &BusyError{fmt.Errorf("receiver %s has had its %d alerts of this minute", l.Name(), l.perMinute), wait}
	}
	return l.Receiver.Send(ctx, a, now)
}

// take notes a try, unless there were too many: then it is how long to wait.
func (l *limited) take(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.tries) > 0 && now.Sub(l.tries[0]) >= time.Minute {
		l.tries = l.tries[1:]
	}
	if len(l.tries) >= l.perMinute {
		return l.tries[0].Add(time.Minute).Sub(now)
	}
	l.tries = append(l.tries, now)
	return 0
}
