package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// storm writes Events through the API server at a steady rate, every third write a count bump. It goes on through failures; what
// really was written is read from etcd.
type storm struct {
	client kubernetes.Interface
	rate   int // writes a second

	written atomic.Int64
	bumps   atomic.Int64
	serial  atomic.Int64
	newest  atomic.Uint64                 // resourceVersion that the API server acknowledged
	objects [stormWriters][]*corev1.Event // the youngest of each writer, in its latest revision
}

const (
	stormWriters = 12
	stormKept    = 40
)

// write writes n revisions and returns when the API server has taken all.
func (s *storm) write(ctx context.Context, n int) error {
	tokens := make(chan struct{}, s.rate)
	go func() {
		defer close(tokens)
		began := time.Now()
		for sent := 0; sent < n; {
			for due := int(time.Since(began).Seconds() * float64(s.rate)); sent < min(due, n); sent++ {
				tokens <- struct{}{}
			}
			if pause(ctx, 5*time.Millisecond) != nil {
				return
			}
		}
	}()
	var group sync.WaitGroup
	errs := make([]error, stormWriters)
	for writer := range stormWriters {
		group.Go(func() {
			for range tokens {
				if errs[writer] == nil {
					errs[writer] = s.one(ctx, writer)
				}
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// one writes one revision; an API server that is away is waited for.
func (s *storm) one(ctx context.Context, writer int) error {
	n := s.serial.Add(1)
	for {
		err := s.try(ctx, writer, n)
		if err == nil {
			s.written.Add(1)
			return nil
		}
		if p := pause(ctx, 100*time.Millisecond); p != nil {
			return fmt.Errorf("writing an Event: %w", err)
		}
	}
}

func (s *storm) try(ctx context.Context, writer int, n int64) error {
	events := s.client.CoreV1().Events("default")
	own := s.objects[writer]
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if n%3 == 0 && len(own) > 0 {
		i := rand.IntN(len(own)) //nolint:gosec // no secret
		e := own[i].DeepCopy()
		e.Count++
		e.LastTimestamp = metav1.Now()
		u, err := events.Update(ctx, e, metav1.UpdateOptions{})
		switch {
		case err == nil:
			own[i] = u
			s.bumps.Add(1)
			return s.note(u)
		case !apierrors.IsNotFound(err) && !apierrors.IsConflict(err):
			return err
		}
		// It expired, or an update of which the answer was lost went through: another one is written in its place.
		s.objects[writer] = append(own[:i], own[i+1:]...)
	}
	now := metav1.Now()
	e, err := events.Create(ctx, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("storm.%06d.%x", n, now.UnixNano()), Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: fmt.Sprintf("pod-%d", n%97), FieldPath: "spec.containers{main}",
		},
		Type: corev1.EventTypeNormal, Reason: "Storm", Message: fmt.Sprintf("event %d of the end-to-end test", n), Count: 1,
		FirstTimestamp: now, LastTimestamp: now, Source: corev1.EventSource{Component: "e2e", Host: "node-1"},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	own = append(s.objects[writer], e)
	s.objects[writer] = own[max(0, len(own)-stormKept):]
	return s.note(e)
}

func (s *storm) note(e *corev1.Event) error {
	rv, err := strconv.ParseUint(e.ResourceVersion, 10, 64)
	if err != nil {
		return fmt.Errorf("reading a resourceVersion: %w", err)
	}
	for {
		if was := s.newest.Load(); rv <= was || s.newest.CompareAndSwap(was, rv) {
			return nil
		}
	}
}
