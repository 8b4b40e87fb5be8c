package enricher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/flowcontrol"

	"kubescribe/schemas"
)

// The bounds of single requests.
const (
	answerTTL  = 30 * time.Second // how long the answer about one object is believed
	maxAnswers = 10_000           // how many are remembered
	// breakAfter requests in a row without an answer, none is sent for breakFor; then one tries.
	breakAfter = 5
	breakFor   = 5 * time.Second
)

func asStatus(err error, s *apierrors.APIStatus) bool { return errors.As(err, s) }

// answer is what the API server said about one object.
type answer struct {
	e       *entry // nil when there is none
	outcome string
	until   time.Time
}

// fetcher asks for single objects: within a rate, each object once at a time, and not at all while the
// API server does not answer. It is safe for concurrent use.
type fetcher struct {
	ctx     context.Context // ends requests
	sources sources
	now     func() time.Time
	timeout time.Duration
	limit   flowcontrol.RateLimiter
	perms   *permissions
	metrics *metrics
	flights singleflight.Group

	mu       sync.Mutex
	answers  map[string]answer
	denied   map[schema.GroupResource]time.Time // until when get is taken as forbidden
	failures int                                // in a row
	broken   time.Time                          // until when nothing is sent
}

// remembered returns the answer that is still believed about an object, if any.
func (f *fetcher) remembered(r resource, ref schemas.Subject) (answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Before(f.denied[r.GroupResource()]) {
		return answer{outcome: outcomeForbidden}, true
	}
	a, ok := f.answers[answerKey(r, ref)]
	return a, ok && now.Before(a.until)
}

// get asks for one object. force waits for its turn in the rate; without it a spent rate is no answer: ok is false.
// When ctx ends first, ok is false too.
func (f *fetcher) get(ctx context.Context, r resource, ref schemas.Subject, force bool) (a answer, ok bool) {
	f.mu.Lock()
	open := f.now().Before(f.broken)
	f.mu.Unlock()
	switch {
	case open:
		return answer{outcome: outcomeUnreachable}, true
	case force:
		if f.limit.Wait(ctx) != nil {
			return answer{}, false
		}
	case !f.limit.TryAccept():
		return answer{}, false
	}
	key := answerKey(r, ref)
	select {
	case res := <-f.flights.DoChan(key, func() (any, error) { return f.ask(key, r, ref), nil }):
		return res.Val.(answer), true
	case <-ctx.Done():
		return answer{}, false
	}
}

// ask sends the request. It outlives the look-up that began it: the answer serves the next one.
func (f *fetcher) ask(key string, r resource, ref schemas.Subject) answer {
	ctx, cancel := context.WithTimeout(f.ctx, f.timeout)
	defer cancel()
	o, err := f.sources.of(r).get(ctx, ref.Namespace, ref.Name)
	a := answer{outcome: outcomeOf(err), until: f.now().Add(answerTTL)}
	if err == nil {
		a.e = newEntry(o)
	}
	f.metrics.request("get", a.outcome)

	f.mu.Lock()
	defer f.mu.Unlock()
	if a.outcome == outcomeUnreachable {
		if f.failures++; f.failures >= breakAfter {
			f.broken = f.now().Add(breakFor)
		}
		return a
	}
	f.failures, f.broken = 0, time.Time{}
	if a.outcome == outcomeForbidden {
		f.denied[r.GroupResource()] = a.until
		f.perms.denied(r, "get")
		return a
	}
	f.perms.granted(r, "get")
	if len(f.answers) >= maxAnswers {
		f.forget()
	}
	f.answers[key] = a
	return a
}

// forget makes room for answers: the expired ones go, or else any half. The caller holds mu.
func (f *fetcher) forget() {
	now := f.now()
	for k, a := range f.answers {
		if !now.Before(a.until) {
			delete(f.answers, k)
		}
	}
	for k := range f.answers {
		if len(f.answers) <= maxAnswers/2 {
			break
		}
		delete(f.answers, k)
	}
}

// answerKey holds the UID, so that an answer about an object's successor does not stand for it.
func answerKey(r resource, ref schemas.Subject) string {
	return fmt.Sprintf("%s/%s/%s/%s/%s", r.Group, r.Resource, ref.Namespace, ref.Name, ref.UID)
}
