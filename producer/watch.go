package producer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// ending is how a watch ended; it is a metric's label.
type ending string

const (
	endClosed  ending = "closed"  // the server ended it, as it does every half hour or so
	endEmpty   ending = "empty"   // the server ended it at once and without a word
	endExpired ending = "expired" // 410
	endSilent  ending = "silent"  // it was silent, a list shows that it had nothing to say, and another took its place
	endStalled ending = "stalled" // it was silent, and a list shows that it should not have been
	endFailed  ending = "failed"  // an error of the API server, to be retried
	endFatal   ending = "fatal"   // an error that ends the session
)

// emptyWithin is how soon a watch that ends without a word has ended "at once".
const emptyWithin = 2 * time.Second

// quiet is what the silence of a watch means next.
type quiet int

const (
	// listening: after config's silence, list.
	listening quiet = iota
	// owing: a list has shown something newer; if it doesn't come, the watch is dead.
	owing
	// surveyed: a list has shown nothing newer; what was on its way gets a moment, then the watch is renewed.
	surveyed
)

// follower is one watch, and those that took its place without a break.
type follower struct {
	*session
	w         watch.Interface
	state     quiet
	owed      uint64  // in state owing: the newest resourceVersion of the list
	proven    listing // in state surveyed: the list
	timer     *time.Timer
	delivered bool
}

// follow watches from the checkpoint on until the watch ends. The error belongs to endFailed and endFatal.
func (s *session) follow(ctx context.Context) (end ending, delivered bool, err error) {
	opened := time.Now()
	w, err := s.api.watch(ctx, s.rv)
	if err != nil {
		if classify(err) == expired {
			return endExpired, false, nil
		}
		return endFailed, false, err
	}
	s.ready.at("")
	f := &follower{session: s, w: w, timer: time.NewTimer(s.cfg.Silence)}
	defer func() { f.w.Stop() }()
	defer f.timer.Stop()
	end, err = f.loop(ctx)
	if end == endClosed && !f.delivered && time.Since(opened) < emptyWithin {
		end = endEmpty
	}
	return end, f.delivered, err
}

func (f *follower) expect(state quiet, d time.Duration) {
	f.state = state
	f.timer.Reset(d)
}

func (f *follower) loop(ctx context.Context) (ending, error) {
	for {
		select {
		case <-ctx.Done():
			return endClosed, nil
		case ev, ok := <-f.w.ResultChan():
			if !ok {
				return endClosed, nil
			}
			if end, err := f.take(ctx, ev); end != "" {
				return end, err
			}
		case <-f.out.due():
			f.out.expire(ctx)
		case err := <-f.out.done():
			if err := f.out.finish(ctx, err); err != nil {
				return endFatal, err
			}
		case <-f.timer.C:
			if end, err := f.silence(ctx); end != "" {
				return end, err
			}
		}
	}
}

// take handles one event of the watch; an empty ending means that the watch goes on.
func (f *follower) take(ctx context.Context, e watch.Event) (ending, error) {
	if e.Type == watch.Error {
		err := fmt.Errorf("watching events: %w", watchError(e.Object))
		if classify(err) == expired {
			return endExpired, nil
		}
		return endFailed, err
	}
	ev, ok := e.Object.(*corev1.Event)
	if !ok {
		return endFatal, fmt.Errorf("watching events: the server sent a %T", e.Object)
	}
	rv, err := parseRV(ev.ResourceVersion)
	if err != nil {
		return endFatal, err
	}
	f.delivered = true
	if rv <= f.rv {
		if e.Type != watch.Bookmark {
			f.m.skipped.Inc()
		}
		return "", nil
	}
	if e.Type == watch.Added || e.Type == watch.Modified {
		p, err := f.encode(f.topics.Events(f.cluster.Name), ev, rv)
		if err != nil {
			return endFatal, err
		}
		f.advance(rv, f.d.Now())
		if err := f.out.add(ctx, p.record, p.fact, f.cp); err != nil {
			return endFatal, err
		}
	} else {
		f.advance(rv, f.d.Now())
		f.out.move(f.cp)
	}
	f.heard()
	return "", nil
}

// heard puts the silence off.
func (f *follower) heard() {
	if f.state == owing && f.rv < f.owed {
		f.timer.Reset(f.settle)
		return
	}
	f.expect(listening, f.cfg.Silence)
}

// silence is called when the watch has said nothing for as long as the state allows.
func (f *follower) silence(ctx context.Context) (ending, error) {
	switch f.state {
	case owing:
		f.d.Log.Warn("the watch stalled silently, opening a new one", "rv", f.rv, "owed_rv", f.owed)
		return endStalled, nil
	case surveyed:
		return f.renew(ctx)
	}
	return f.survey(ctx)
}

// survey lists to see whether the watch owes something. It emits nothing: a list shows only the last revision of each object,
// a watch every one.
func (f *follower) survey(ctx context.Context) (ending, error) {
	f.m.lists.WithLabelValues("silence").Inc()
	newest := f.rv
	l, err := f.pager().read(ctx, 0, func() { newest = f.rv }, func(ev *corev1.Event) error {
		rv, err := parseRV(ev.ResourceVersion)
		newest = max(newest, rv)
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return endClosed, nil
	case err != nil:
		return endFatal, err
	case l.rv < f.rv:
		return endStalled, nil // the server went back; the next watch begins with noticing it
	case newest > f.rv:
		f.owed = newest
		f.expect(owing, f.settle)
	default:
		f.proven = l
		f.expect(surveyed, f.settle)
	}
	f.ready.at("")
	return "", nil
}

// renew opens a watch beside the silent one and lets it take over once it proves to be open, so that a connection that died
// without a word lasts a minute at most. The new one starts at the checkpoint, and so would show even an Event that was
// created and deleted meanwhile; if the server has forgotten the checkpoint, at the list. If neither can be had, the old one, which
// compaction doesn't touch, stays. Either way the checkpoint moves up to the list, and no gap comes of silence.
func (f *follower) renew(ctx context.Context) (ending, error) {
	for _, from := range []uint64{f.rv, f.proven.rv} {
		w, err := f.api.watch(ctx, from)
		if err != nil {
			continue
		}
		first, alive := f.probe(ctx, w)
		if !alive {
			w.Stop()
			continue
		}
		f.m.watches.WithLabelValues(string(endSilent)).Inc()
		f.w.Stop()
		f.w = w
		if first != nil {
			return f.take(ctx, *first)
		}
		break
	}
	f.advance(f.proven.rv, f.proven.askedAt)
	f.out.move(f.cp)
	f.expect(listening, f.cfg.Silence)
	if err := f.out.flush(ctx); err != nil {
		return endFatal, err
	}
	return "", nil
}

// probe waits for a word of a new watch. Silence is as good as an event; an error or an end is not.
func (f *follower) probe(ctx context.Context, w watch.Interface) (first *watch.Event, alive bool) {
	t := time.NewTimer(f.settle)
	defer t.Stop()
	select {
	case e, ok := <-w.ResultChan():
		return &e, ok && e.Type != watch.Error
	case <-t.C:
		return nil, true
	case <-ctx.Done():
		return nil, false
	}
}
