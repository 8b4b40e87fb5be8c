package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	retryFirst   = 100 * time.Millisecond
	retryCap     = 30 * time.Second
	refusedFirst = 5 * time.Second
)

// fullJitter spreads retries over [0, ceiling): after an outage the replicas must not come back in step.
type fullJitter struct {
	ceilings *backoff.ExponentialBackOff
}

func newBackoff() *fullJitter {
	e := backoff.NewExponentialBackOff()
	e.InitialInterval, e.RandomizationFactor, e.Multiplier, e.MaxInterval = retryFirst, 0, 2, retryCap
	e.Reset()
	return &fullJitter{ceilings: e}
}

// next is the wait before the next try. A refusal waits at least some seconds: asking faster changes no configuration.
func (j *fullJitter) next(err error) time.Duration {
	ceiling := j.ceilings.NextBackOff()
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refusedFirst + rand.N(max(ceiling, time.Second))
	}
	return rand.N(ceiling) + time.Millisecond
}

func (j *fullJitter) reset() { j.ceilings.Reset() }

// sleep waits and reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
