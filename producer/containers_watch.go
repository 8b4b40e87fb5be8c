package producer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"kubescribe/schemas"
)

// podPage is the size of a page of pods: a few MiB decoded.
const podPage = 250

// follow watches from the checkpoint on until the watch ends. Pods have a watch cache and bookmarks about every minute, so a watch
// that is silent for longer has died, or the server sends none; either way a new one from the checkpoint shows what it owes.
func (s *containerSession) follow(ctx context.Context) (end ending, delivered bool, err error) {
	opened := time.Now()
	s.age()
	w, err := s.api.watchPods(ctx, s.selected, s.rv)
	if err != nil {
		if classify(err) == expired {
			return endExpired, false, nil
		}
		return endFailed, false, err
	}
	defer w.Stop()
	s.ready.at("")
	silence := time.NewTimer(s.podSilence())
	defer silence.Stop()
	pending := time.NewTimer(time.Hour)
	defer pending.Stop()
	for {
		s.arm(pending)
		select {
		case <-ctx.Done():
			return endClosed, delivered, nil
		case ev, ok := <-w.ResultChan():
			switch {
			case !ok && !delivered && time.Since(opened) < emptyWithin:
				return endEmpty, false, nil
			case !ok:
				return endClosed, delivered, nil
			}
			if end, err := s.take(ctx, ev); end != "" {
				return end, delivered, err
			}
			delivered = true
			silence.Reset(s.podSilence())
		case <-pending.C:
			if err := s.expire(ctx); err != nil {
				return endFatal, delivered, err
			}
		case <-s.out.due():
			s.out.expire(ctx)
		case err := <-s.out.done():
			if err := s.out.finish(ctx, err); err != nil {
				return endFatal, delivered, err
			}
		case <-silence.C:
			return endSilent, delivered, nil
		}
	}
}

func (s *containerSession) podSilence() time.Duration { return 2*s.cfg.Silence + 5*time.Second }

// arm sets the timer to when the next pending fact is due.
func (s *containerSession) arm(t *time.Timer) {
	if len(s.due) == 0 {
		t.Stop()
		return
	}
	t.Reset(max(0, s.due[0].at.Sub(s.d.Now())))
}

// take handles one event of the watch; an empty ending means that the watch goes on.
func (s *containerSession) take(ctx context.Context, e watch.Event) (ending, error) {
	if e.Type == watch.Error {
		err := fmt.Errorf("watching pods: %w", watchError(e.Object))
		if classify(err) == expired {
			return endExpired, nil
		}
		return endFailed, err
	}
	pod, ok := e.Object.(*corev1.Pod)
	if !ok {
		return endFatal, fmt.Errorf("watching pods: the server sent a %T", e.Object)
	}
	rv, err := parseRV(pod.ResourceVersion)
	if err != nil {
		return endFatal, err
	}
	if rv <= s.rv {
		if e.Type != watch.Bookmark {
			s.m.skipped.Inc()
		}
		return "", nil
	}
	s.advance(rv, s.d.Now())
	s.out.move(s.snapshot())
	switch e.Type {
	case watch.Added, watch.Modified:
		_, err = s.step(ctx, pod)
	case watch.Deleted:
		err = s.forget(ctx, pod.UID)
	}
	if err != nil {
		return endFatal, err
	}
	return "", nil
}

// list says what the pods show that was not said yet, forgets those that are gone, and moves the checkpoint to the list. What ends
// a gap is followed by a gap record: pods may have come, crashed and gone, and containers may have ended more often than a status
// shows.
func (s *containerSession) list(ctx context.Context) error {
	s.ready.at("listing pods")
	s.age()
	progress := s.cp.List
	name := string(progress.Cause)
	if name == "" {
		name = "first"
	}
	s.m.lists.WithLabelValues(name).Inc()
	var live map[types.UID]struct{}
	rv, asked, err := s.readPods(ctx, func() { live = map[types.UID]struct{}{} }, func(pod *corev1.Pod) error {
		live[pod.UID] = struct{}{}
		said, err := s.step(ctx, pod)
		progress.Emitted += said
		return err
	})
	if err != nil {
		return err
	}
	for uid := range s.states {
		if _, ok := live[uid]; !ok {
			if err := s.forget(ctx, uid); err != nil {
				return err
			}
		}
	}
	s.silent = false
	return s.finishList(ctx, rv, asked)
}

// finishList writes the gap record, if the list ended a gap, and the checkpoint that a watch starts from.
func (s *containerSession) finishList(ctx context.Context, rv uint64, asked time.Time) error {
	progress := *s.cp.List
	progress.ListRV, progress.AskedAt, progress.Until = formatRV(rv), asked.UTC(), s.d.Now().UTC()
	gap := s.gap(progress)
	s.cp.List = nil
	s.advance(rv, asked)
	if gap == nil {
		s.out.move(s.snapshot())
		return s.out.drain(ctx)
	}
	// How long an outage was does not matter: pods outlive it, or they don't.
	gap.Source, gap.Certainty, gap.EventTTL = schemas.SourceContainers, schemas.GapPossible, ""
	o, err := gapObservation(gap, s.cluster, s.d.Now())
	if err != nil {
		return err
	}
	r, err := observationRecord(s.topics.Events(s.cluster.Name), schemas.GapKey(schemas.SourceContainers), o)
	if err != nil {
		return err
	}
	if err := s.out.add(ctx, r, fact{kind: schemas.TypeGap, time: o.Time}, s.snapshot()); err != nil {
		return err
	}
	if err := s.out.drain(ctx); err != nil {
		return err
	}
	s.m.gaps.WithLabelValues(string(gap.Cause), string(gap.Certainty)).Inc()
	s.d.Log.Warn("gap: transitions of containers in this time may be missing",
		"cause", gap.Cause, "from", gap.From, "to", gap.To, "listed_newer", gap.ListedNewer)
	return nil
}

// readPods lists all pods page by page, as they were at one resourceVersion. start is called for the first page of each try: a
// continue token that expires, because etcd compacted while the list was read, starts it over without pages.
func (s *containerSession) readPods(ctx context.Context, start func(), each func(*corev1.Pod) error) (rv uint64, asked time.Time, err error) {
	for limit := int64(podPage); ; limit *= 8 {
		if limit > podPage*64 {
			limit = 0
		}
		start()
		rv, asked, err = s.tryPods(ctx, limit, each)
		if err == nil || classify(err) != expired || rv == 0 || limit == 0 {
			return rv, asked, err
		}
	}
}

func (s *containerSession) tryPods(ctx context.Context, limit int64, each func(*corev1.Pod) error) (rv uint64, asked time.Time, err error) {
	o := metav1.ListOptions{Limit: limit}
	for {
		var page *corev1.PodList
		err := s.attempt(ctx, func() (err error) {
			if rv == 0 {
				asked = s.d.Now()
			}
			page, err = s.api.pods(ctx, s.selected, o)
			return err
		})
		if err != nil {
			return rv, asked, err
		}
		if rv == 0 {
			if rv, err = parseRV(page.ResourceVersion); err != nil {
				return rv, asked, err
			}
		}
		for i := range page.Items {
			if err := each(&page.Items[i]); err != nil {
				return rv, asked, err
			}
		}
		if page.Continue == "" {
			return rv, asked, nil
		}
		o = metav1.ListOptions{Limit: limit, Continue: page.Continue}
	}
}
