package producer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubescribe/schemas"
)

// list emits what the server holds that is newer than the checkpoint, because a watch can't. An empty cause means that
// there never was a checkpoint.
func (s *session) list(ctx context.Context, cause schemas.GapCause) error {
	return s.listFrom(ctx, cause, s.cp.RV)
}

func (s *session) listFrom(ctx context.Context, cause schemas.GapCause, floor string) error {
	s.cp.List = &schemas.ListProgress{Floor: floor, Cause: cause}
	name := string(cause)
	if name == "" {
		name = "first"
	}
	s.m.lists.WithLabelValues(name).Inc()
	return s.emit(ctx, 0)
}

// resumeList goes on with the list that the checkpoint is in the middle of.
func (s *session) resumeList(ctx context.Context) error {
	exact, err := parseRV(s.cp.List.ListRV)
	if err != nil {
		return fmt.Errorf("reading the checkpoint: %w", err)
	}
	s.m.lists.WithLabelValues("resumed").Inc()
	return s.emit(ctx, exact)
}

// regress begins a new epoch: the server's numbers start over below the checkpoint, so none of them can be compared with it.
func (s *session) regress(ctx context.Context) error {
	floor := s.cp.RV
	s.cp.Epoch++
	s.rv, s.cp.RV = 0, "0"
	return s.listFrom(ctx, schemas.GapRegression, floor)
}

// emit reads the list, at exactly the resourceVersion given unless it is 0, and writes what is newer than the checkpoint in
// the order of resourceVersion. When that does not fit into memory it reads the same list again for the rest.
func (s *session) emit(ctx context.Context, exact uint64) error {
	s.ready.at("listing events")
	for {
		kept, l, err := s.collect(ctx, exact)
		if exact != 0 && err != nil && classify(err) == expired {
			if s.cp.List.Cause == "" {
				// What was superseded between the first list and the one that takes its place is lost: that is a gap.
				s.cp.List.Cause = schemas.GapExpired
			}
			s.d.Log.Warn("the API server has forgotten the list that was being emitted, taking a newer one", "rv", exact)
			exact = 0
			continue
		}
		if err != nil {
			return err
		}
		if exact == 0 {
			s.took(l)
		}
		more := kept.cut != 0
		for _, p := range kept.sorted() {
			s.rv, s.cp.RV = p.rv, formatRV(p.rv)
			s.cp.List.Emitted++
			if err := s.out.add(ctx, p.record, p.fact, s.snapshot()); err != nil {
				return err
			}
		}
		exact = l.rv
		if !more {
			return s.finishList(ctx, l.rv)
		}
		if err := s.out.drain(ctx); err != nil {
			return err
		}
	}
}

// took notes a new list. The first list of all proves nothing about the time before it.
func (s *session) took(l listing) {
	if s.cp.List.Cause == "" {
		s.cp.ObservedAt = l.askedAt.UTC()
	}
	s.cp.List.ListRV, s.cp.List.AskedAt, s.cp.List.Until = formatRV(l.rv), l.askedAt.UTC(), l.until.UTC()
}

// snapshot is the checkpoint for a transaction of its own: the progress goes on changing.
func (s *session) snapshot() schemas.Checkpoint {
	cp := s.cp
	if cp.List != nil {
		progress := *cp.List
		cp.List = &progress
	}
	return cp
}

// collect reads the list and keeps what is to be emitted next.
func (s *session) collect(ctx context.Context, exact uint64) (*oldest, listing, error) {
	var kept *oldest
	floor, restored := s.rv, s.cp.List.Cause == schemas.GapRegression
	topic := s.topics.Events(s.cluster.Name)
	start := func() { kept = &oldest{limit: s.cfg.ListBufferBytes} }
	l, err := s.pager().read(ctx, exact, start, func(ev *corev1.Event) error {
		rv, err := parseRV(ev.ResourceVersion)
		if err != nil {
			return err
		}
		if rv <= floor || !kept.wants(rv) {
			return nil
		}
		if restored && wasObserved(EventTime(ev), s.cp.ObservedAt) {
			return nil // it came back with the backup, and is in the topic under its first number
		}
		p, err := s.encode(topic, ev, rv)
		if err == nil {
			kept.add(p)
		}
		return err
	})
	return kept, l, err
}

// wasObserved reports whether an Event of this time lies before the last observation. Most have a time in whole seconds, cut off
// and not rounded: one that may be later counts as later, because twice in the topic is better than never.
func wasObserved(t, observedAt time.Time) bool {
	if t.Nanosecond() == 0 {
		observedAt = observedAt.Truncate(time.Second)
		return t.Before(observedAt)
	}
	return !t.After(observedAt)
}

func (s *session) pager() *pager { return &pager{api: s.api, now: s.d.Now, attempt: s.attempt} }

func (s *session) encode(topic string, ev *corev1.Event, rv uint64) (pending, error) {
	o, err := FromEvent(ev, s.cluster, s.cp.Epoch, s.d.Now())
	if err != nil {
		return pending{}, fmt.Errorf("converting event %s/%s: %w", ev.Namespace, ev.Name, err)
	}
	r, shrunk, err := eventRecord(topic, o)
	if err != nil {
		return pending{}, err
	}
	if shrunk {
		s.m.shortened.Inc()
	}
	return pending{rv: rv, record: r, fact: fact{kind: schemas.TypeEvent, time: o.Time}}, nil
}

// finishList writes the gap record, if the list ended a gap, and the checkpoint that a watch starts from.
func (s *session) finishList(ctx context.Context, rv uint64) error {
	progress := *s.cp.List
	gap := s.gap(progress)
	s.cp.List = nil
	s.advance(rv, progress.AskedAt)
	if gap == nil {
		s.out.move(s.cp)
		return s.out.drain(ctx)
	}
	o, err := gapObservation(gap, s.cluster, s.d.Now())
	if err != nil {
		return err
	}
	r, err := observationRecord(s.topics.Events(s.cluster.Name), schemas.GapKey(schemas.SourceEvents), o)
	if err != nil {
		return err
	}
	if err := s.out.add(ctx, r, fact{kind: schemas.TypeGap, time: o.Time}, s.cp); err != nil {
		return err
	}
	if err := s.out.drain(ctx); err != nil {
		return err
	}
	s.m.gaps.WithLabelValues(string(gap.Cause), string(gap.Certainty)).Inc()
	s.d.Log.Warn("gap: revisions that were superseded in this time may be missing",
		"cause", gap.Cause, "certainty", gap.Certainty, "from", gap.From, "to", gap.To, "listed_newer", gap.ListedNewer)
	return nil
}

// gap is what a finished list has to say about the time before it, nil for the very first.
func (s *session) gap(l schemas.ListProgress) *schemas.Gap {
	if l.Cause == "" {
		return nil
	}
	outage := max(0, l.Until.Sub(s.cp.ObservedAt))
	g := &schemas.Gap{
		Source: schemas.SourceEvents, Cause: l.Cause, Certainty: schemas.GapPossible,
		From: s.cp.ObservedAt, To: s.cp.ObservedAt.Add(outage), // a clock that went back makes an empty stretch, not an invalid one
		Epoch: s.cp.Epoch, CheckpointRV: l.Floor, ListRV: l.ListRV, ListedNewer: l.Emitted,
		EventTTL: s.cfg.EventTTL.String(), OutageSeconds: outage.Seconds(),
	}
	if outage > s.cfg.EventTTL {
		g.Certainty = schemas.GapCertain
	}
	return g
}

func gapObservation(g *schemas.Gap, cluster schemas.Cluster, now time.Time) (*schemas.Observation, error) {
	payload, err := schemas.Encode(g)
	if err != nil {
		return nil, fmt.Errorf("encoding gap: %w", err)
	}
	o := &schemas.Observation{
		ID: schemas.GapID(cluster.UID, g.Epoch, g.Source, g.ListRV), Type: schemas.TypeGap, Cluster: cluster, Source: g.Source, Payload: payload,
	}
	o.SetTime(g.To, now)
	return o, nil
}
