package producer

import (
	"context"
	"fmt"
	"strings"
	"time"

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
	w         *eventWatch
	state     quiet
	owed      uint64  // in state owing: the newest resourceVersion of the list
	shown     listing // in state surveyed: the list
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
	f := &follower{session: s, w: w, timer: time.NewTimer(s.cfg.Silence)}
	if s.doubtful {
		f.timer.Reset(s.settle) // the server says yes first and that the resourceVersion is too old afterwards
	} else {
		s.ready.at("")
	}
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
		case frames, open := <-f.w.frames:
			if !open && f.w.err != nil {
				return endFailed, f.w.err
			}
			if !open {
				return endClosed, nil
			}
			if end, err := f.takeAll(ctx, frames); end != "" {
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

// takeAll handles frames that came together; an empty ending means that the watch goes on.
func (f *follower) takeAll(ctx context.Context, frames []frame) (ending, error) {
	now := f.d.Now()
	before := f.rv
	shown := map[watch.EventType]int{}
	defer func() {
		for kind, n := range shown {
			f.m.watchEvents.WithLabelValues(strings.ToLower(string(kind))).Add(float64(n))
		}
	}()
	for i := range frames {
		if frames[i].bad == nil && frames[i].kind != watch.Error {
			shown[frames[i].kind]++
		}
		if end, err := f.take(ctx, &frames[i], now); end != "" {
			return end, err
		}
	}
	f.proven()
	if f.rv > before {
		f.heard()
	}
	return "", nil
}

func (f *follower) take(ctx context.Context, fr *frame, now time.Time) (ending, error) {
	if fr.kind == watch.Error {
		if classify(fr.status) == expired {
			return endExpired, nil
		}
		return endFailed, fmt.Errorf("watching events: %w", fr.status)
	}
	if fr.bad != nil {
		f.unreadable(fr.raw, fr.bad)
		return "", nil
	}
	e := scanEvent(fr.raw)
	rv, err := parseRV(string(e.rv))
	if err != nil {
		f.unreadable(fr.raw, err)
		return "", nil
	}
	f.delivered = true
	if rv <= f.rv {
		if fr.kind != watch.Bookmark {
			f.m.skipped.Inc()
		}
		return "", nil
	}
	f.advance(rv, now)
	switch fr.kind {
	case watch.Added, watch.Modified:
		if err := f.write(ctx, &e, now, f.counts.note(&e, fr.kind == watch.Added)); err != nil {
			return endFatal, err
		}
	case watch.Deleted:
		f.counts.forget(&e)
		f.out.moved()
	default:
		f.out.moved()
	}
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
	l, err := f.lister().read(ctx, 0, func() { newest = f.rv }, func(raw []byte) error {
		e := scanEvent(raw)
		if rv, err := parseRV(string(e.rv)); err == nil { // one without can't be waited for
			newest = max(newest, rv)
		}
		return nil
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
		f.shown = l
		f.expect(surveyed, f.settle)
	}
	f.proven()
	return "", nil
}

// proven notes that the watch is open.
func (f *follower) proven() {
	f.doubtful = false
	f.ready.at("")
}

// renew opens a watch beside the silent one and lets it take over once it proves to be open, so that a connection that died
// without a word lasts a minute at most. The new one starts at the checkpoint, and so would show even an Event that was
// created and deleted meanwhile; if the server has forgotten the checkpoint, at the list. If neither can be had, the old one, which
// compaction doesn't touch, stays. Either way the checkpoint moves up to the list, and no gap comes of silence.
func (f *follower) renew(ctx context.Context) (ending, error) {
	for _, from := range []uint64{f.rv, f.shown.rv} {
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
			return f.takeAll(ctx, first)
		}
		break
	}
	f.advance(f.shown.rv, f.shown.askedAt)
	f.out.moved()
	f.expect(listening, f.cfg.Silence)
	if err := f.out.flush(ctx); err != nil {
		return endFatal, err
	}
	return "", nil
}

// probe waits for a word of a new watch. Silence is as good as events; an error or an end is not.
func (f *follower) probe(ctx context.Context, w *eventWatch) (first []frame, alive bool) {
	t := time.NewTimer(f.settle)
	defer t.Stop()
	select {
	case frames, open := <-w.frames:
		return frames, open && frames[0].kind != watch.Error
	case <-t.C:
		return nil, true
	case <-ctx.Done():
		return nil, false
	}
}
