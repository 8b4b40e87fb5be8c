package producer

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	retryFirst = 200 * time.Millisecond
	retryCap   = 10 * time.Second
	// refusedWait is between tries that only a person's change can make succeed.
	refusedWait = 30 * time.Second
)

// pacing are the waits between tries; tests shorten them.
type pacing struct{ first, longest, refused time.Duration }

var steady = pacing{first: retryFirst, longest: retryCap, refused: refusedWait}

// retry counts failures in a row.
type retry struct {
	pacing
	failures int
}

// wait sleeps before the next try, longer each time and never in step with other replicas. It reports whether ctx goes on.
func (r *retry) wait(ctx context.Context, err error) bool {
	ceiling := min(r.longest, r.first<<min(r.failures, 10))
	if classify(err) == refused {
		ceiling = r.refused
	}
	r.failures++
	t := time.NewTimer(ceiling/2 + rand.N(ceiling/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *retry) reset() { r.failures = 0 }
