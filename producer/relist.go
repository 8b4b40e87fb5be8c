package producer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/stream"
	"kubescribe/producer/selection"
	"kubescribe/schemas"
)

// list emits what the server holds that is newer than the checkpoint, because a watch can't. An empty cause means that
// there never was a checkpoint.
func (s *session) list(ctx context.Context, cause schemas.GapCause) error {
	return s.listFrom(ctx, cause, formatRV(s.rv))
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
	floor := formatRV(s.rv)
	s.cp.Epoch++
	s.rv = 0
	return s.listFrom(ctx, schemas.GapRegression, floor)
}

// emit reads the list, at exactly the resourceVersion given unless it is 0, and writes what is newer than the checkpoint in
// the order of resourceVersion. When that does not fit into memory it reads the same list again for the rest.
func (s *session) emit(ctx context.Context, exact uint64) error {
	s.ready.at("listing events")
	for {
		kept, listed, l, err := s.collect(ctx, exact)
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
		s.d.Log.Info("the list is read", "rv", l.rv, "seconds", s.d.Now().Sub(l.askedAt).Seconds(), "emitted", s.cp.List.Emitted)
		now := s.d.Now()
		err = kept.each(func(rv uint64, raw []byte) error {
			s.rv = rv
			s.cp.List.Emitted++
			e := scanEvent(raw)
			return s.write(ctx, &e, now, s.listedOccurrences(&e))
		})
		if err != nil {
			return err
		}
		exact = l.rv
		if kept.cut == 0 {
			s.counts = listed
			return s.finishList(ctx, l.rv)
		}
		if err := s.out.drain(ctx); err != nil {
			return err
		}
	}
}

// listedOccurrences is how often a listed Event has happened since it was observed before. After a restart into an expiry and after
// a restore nobody knows; at the very first start it is known of those that have happened once.
func (s *session) listedOccurrences(e *wireEvent) *int64 {
	switch first := s.cp.List.Cause == ""; {
	case first && e.times() == 1:
		one := int64(1)
		return &one
	case first, s.cp.List.Cause == schemas.GapRegression:
		return nil
	}
	return s.counts.note(e, false)
}

// took notes a new list. The first list of all proves nothing about the time before it.
func (s *session) took(l listing) {
	if s.cp.List.Cause == "" {
		s.cp.ObservedAt = l.askedAt.UTC()
	}
	s.cp.List.ListRV, s.cp.List.AskedAt, s.cp.List.Until = formatRV(l.rv), l.askedAt.UTC(), l.until.UTC()
}

// snapshot is the checkpoint that covers what was emitted, for a transaction of its own: the session goes on changing its own.
func (s *session) snapshot() schemas.Checkpoint {
	cp := s.cp
	cp.RV = formatRV(s.rv)
	if cp.List != nil {
		progress := *cp.List
		cp.List = &progress
	}
	return cp
}

// collect reads the list, keeps what is to be emitted next, and counts all.
func (s *session) collect(ctx context.Context, exact uint64) (kept *sorter, listed counts, l listing, err error) {
	floor, restored := s.rv, s.cp.List.Cause == schemas.GapRegression
	start := func() {
		kept = &sorter{limit: s.cfg.ListBufferBytes}
		listed = counts{whole: true, seen: make(map[countKey]int32, len(s.counts.seen))}
	}
	l, err = s.lister().read(ctx, exact, start, func(raw []byte) error {
		e := scanEvent(raw)
		rv, err := parseRV(string(e.rv))
		if err != nil {
			s.unreadable(raw, err)
			return nil
		}
		listed.remember(&e)
		if rv <= floor || !kept.wants(rv) {
			return nil
		}
		if restored && wasObserved(e.happened(), s.cp.ObservedAt) {
			return nil // it came back with the backup, and is in the topic under its first number
		}
		kept.add(rv, &e)
		return nil
	})
	return kept, listed, l, err
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

func (s *session) lister() *lister { return &lister{api: s.api, now: s.d.Now, attempt: s.attempt} }

// restoreCounts reads how often each Event had happened at the checkpoint, by a list at exactly its resourceVersion. When the server
// has forgotten that, the occurrences of what is observed next are unknown.
func (s *session) restoreCounts(ctx context.Context) error {
	if s.counts.whole || s.cp.List != nil {
		return nil
	}
	s.ready.at("reading the counts of events at the checkpoint")
	var restored counts
	start := func() { restored = counts{whole: true} }
	_, err := s.lister().read(ctx, s.rv, start, func(raw []byte) error {
		e := scanEvent(raw)
		restored.remember(&e)
		return nil
	})
	if err != nil && classify(err) == expired {
		s.doubtful = true
		s.d.Log.Info("the API server has forgotten the checkpoint's list: occurrences are unknown until the next revision of each event", "rv", s.rv)
		return nil
	}
	if err == nil {
		s.counts = restored
	}
	return err
}

// write emits one revision, which s.rv is at.
func (s *session) write(ctx context.Context, e *wireEvent, now time.Time, occurrences *int64) error {
	if !s.api.selected.holds(e.namespace) || s.api.selected.drops(func() *selection.Fact { return eventFact(e) }) {
		s.out.moved()
		return nil
	}
	p, shrunk, err := s.encoder.event(e, s.cp.Epoch, now, occurrences)
	if err != nil {
		s.unreadable(e.raw, err)
		s.out.moved()
		return nil
	}
	if shrunk {
		s.m.shortened.Inc()
	}
	return s.out.put(ctx, p.record, p.fact)
}

// finishList writes the gap record, if the list ended a gap, and the checkpoint that a watch starts from.
func (s *session) finishList(ctx context.Context, rv uint64) error {
	progress := *s.cp.List
	s.d.Log.Info("the list is emitted", "rv", rv, "seconds", s.d.Now().Sub(progress.AskedAt).Seconds(), "emitted", progress.Emitted)
	gap := s.gap(progress)
	s.cp.List = nil
	s.advance(rv, progress.AskedAt)
	if gap == nil {
		s.out.moved()
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
	if err := s.out.put(ctx, r, fact{kind: schemas.TypeGap, time: o.Time}); err != nil {
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

// unreadable puts what nobody can read into the dead letter, so that it holds up nothing behind it. It is written with the checkpoint
// that passes over it; the same bytes go there once in a session.
func (s *session) unreadable(raw []byte, err error) {
	sum := sha256.Sum256(raw)
	if s.letters[sum] {
		return
	}
	if len(s.letters) < maxLettersKnown {
		s.letters[sum] = true
	}
	s.m.unreadable.Inc()
	s.d.Log.Error("an event of the API server can't be read, it goes to the dead letter", "err", err, "rv", s.rv)
	p := stream.Poison{Record: &kgo.Record{Topic: letterTopic, Offset: int64(min(s.rv, math.MaxInt64)), Value: raw}, Reason: "unreadable", Err: err} //nolint:gosec // bounded
	s.out.letter(stream.NewDeadLetter(p, s.topics.DeadLetter(s.cluster.Name), "kubescribe-producer-"+s.cluster.Name, s.d.Now()))
}

const (
	// letterTopic is the origin of what comes from no topic; its offset is the resourceVersion that came before it.
	letterTopic     = "kubernetes/api/v1/events"
	maxLettersKnown = 1000
)
