package alerter

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kubescribe/alerter/receiver"
)

// outlet is a receiver, and when it may be asked again. It is safe for concurrent use.
type outlet struct {
	receiver.Receiver
	mu    sync.Mutex
	until time.Time
}

// rest is called when the receiver asked to be left alone.
func (o *outlet) rest(until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = until
}

// shortRest is how long a receiver's pause may be for alerts to be held in hand; a longer one is a failure that is shown.
const shortRest = 10 * time.Second

// wait blocks while the receiver wants to be left alone for a moment, or until ctx ends. now is the wall clock.
func (o *outlet) wait(ctx context.Context, now time.Time) error {
	o.mu.Lock()
	busy := o.until.Sub(now)
	o.mu.Unlock()
	switch {
	case busy <= 0:
		return nil
	case busy > shortRest:
		return fmt.Errorf("receiver %s asked to wait %s longer", o.Name(), busy.Round(time.Second))
	}
	t := time.NewTimer(busy)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
