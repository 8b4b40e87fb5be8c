package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batch carries polled records through Transform and a transaction. Whatever does not commit comes again by itself.
func (s *session) batch(ctx context.Context, records []*kgo.Record) error {
	s.m.batches.WithLabelValues(s.o.Group).Inc()
	out, ok := s.transform(ctx, records)
	if !ok {
		return s.rewind()
	}
	poison := make(map[*kgo.Record]Poison, len(out.Poison))
	for _, p := range out.Poison {
		poison[p.Record] = p
	}
	windows, stop := s.passes(records, poison)
	if len(stop) > 0 {
		for tp := range stop {
			s.stop(tp, poison)
		}
		return s.rewind()
	}
	committed, produceErr, err := s.transact(out, s.letters(records, poison), nil)
	switch {
	case err != nil:
		return err
	case committed:
		s.account(records, poison, windows)
	case classify(produceErr) == tooLarge:
		s.narrow(records, produceErr)
	case produceErr != nil && classify(produceErr) != transient:
		return produceErr
	case produceErr != nil:
		s.d.Log.Warn("transaction aborted; its records come again", "group", s.o.Group, "records", len(records), "err", produceErr)
		sleep(ctx, retryFirst)
	}
	return nil
}

// transform calls the transform until it has an output. false means that the records must be dropped: revoked or shutting down.
func (s *session) transform(ctx context.Context, records []*kgo.Record) (Output, bool) {
	step, cancel := s.mem.step(s.work)
	defer cancel()
	var aside []Poison
	rest := make([]*kgo.Record, 0, len(records))
	for _, r := range records {
		if err, ok := s.outsize[offsetOf(r)]; ok {
			aside = append(aside, Poison{Record: r, Reason: "output_too_large", Err: err})
		} else {
			rest = append(rest, r)
		}
	}
	for retry := newBackoff(); ; {
		out, err := s.call(step, rest)
		var poisoned *PoisonError
		switch {
		case step.Err() != nil:
			return Output{}, false
		case err == nil:
			if len(out.Poison) > 0 {
				_, err = byRecord(out.Poison, records)
			}
			if err == nil {
				s.health.set("transform", "")
				out.Poison = append(out.Poison, aside...)
				return out, true
			}
		case errors.As(err, &poisoned):
			named, wrong := byRecord(poisoned.Poison, rest)
			if wrong == nil {
				aside = append(aside, slices.Collect(maps.Values(named))...)
				rest = slices.DeleteFunc(slices.Clone(rest), func(r *kgo.Record) bool { _, bad := named[r]; return bad })
				continue
			}
			err = wrong
		}
		kind := "transient"
		var refused *RefusedError
		if errors.As(err, &refused) {
			kind = "refused"
		}
		s.m.retries.WithLabelValues(s.o.Group, kind).Inc()
		s.health.set("transform", err.Error())
		wait := retry.next(err)
		s.d.Log.Warn("transform failed; the records are kept and tried again", "group", s.o.Group, "topic", records[0].Topic,
			"partition", records[0].Partition, "offset", records[0].Offset, "records", len(records), "kind", kind, "wait", wait, "err", err)
		if !s.pause(ctx, step, wait) {
			return Output{}, false
		}
	}
}

// call runs the transform once. With no records left, all of them poison, there is nothing to ask.
func (s *session) call(ctx context.Context, records []*kgo.Record) (Output, error) {
	if len(records) == 0 {
		return Output{}, nil
	}
	begin := time.Now()
	out, err := s.fn(ctx, records)
	s.m.seconds.WithLabelValues(s.o.Group).Observe(time.Since(begin).Seconds())
	return out, err
}

// pause waits for a retry; a shutdown does not wait for records that fail.
func (s *session) pause(ctx, step context.Context, d time.Duration) bool {
	step, cancel := context.WithCancel(step)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return sleep(step, d)
}

// passes asks the brake of each partition, and before it says no, whether somebody accepted the poison.
func (s *session) passes(records []*kgo.Record, poison map[*kgo.Record]Poison) (map[topicPartition]window, map[topicPartition]bool) {
	byPart := map[topicPartition][]*kgo.Record{}
	for _, r := range records {
		tp := topicPartition{r.Topic, r.Partition}
		byPart[tp] = append(byPart[tp], r)
	}
	windows, stop := map[topicPartition]window{}, map[topicPartition]bool{}
	for tp, records := range byPart {
		b := s.brakes[tp]
		next, ok := b.try(records, poison)
		if !ok {
			ctx, cancel := context.WithTimeout(s.work, quitTimeout)
			if accepted, err := acceptedOffset(ctx, s.cl, s.o.Group, tp); err == nil {
				b.accepted = max(b.accepted, accepted)
			}
			cancel()
			next, ok = b.try(records, poison)
		}
		if !ok {
			stop[tp] = true
		}
		windows[tp] = next
	}
	return windows, stop
}

// stop holds a partition: nothing of it is fetched, dead-lettered or committed until the poison is accepted.
func (s *session) stop(tp topicPartition, poison map[*kgo.Record]Poison) {
	reason := stoppedReason(s.o.Group, tp)
	s.cl.PauseFetchPartitions(tp.asMap())
	s.stopped[tp] = time.Now().Add(acceptedEvery)
	s.m.stopped.WithLabelValues(s.o.Group, tp.topic, fmt.Sprint(tp.partition)).Set(1)
	s.health.set(tp.String(), reason)
	s.d.Log.Error("partition stopped", "group", s.o.Group, "topic", tp.topic, "partition", tp.partition, "poison", len(poison), "err", reason)
}

func (s *session) resume(tp topicPartition) {
	if _, held := s.stopped[tp]; !held {
		return
	}
	delete(s.stopped, tp)
	s.cl.ResumeFetchPartitions(tp.asMap())
	s.m.stopped.DeleteLabelValues(s.o.Group, tp.topic, fmt.Sprint(tp.partition))
	s.health.set(tp.String(), "")
}

func (s *session) letters(records []*kgo.Record, poison map[*kgo.Record]Poison) []*kgo.Record {
	if len(poison) == 0 {
		return nil
	}
	letters := make([]*kgo.Record, 0, len(poison))
	for _, r := range records {
		if p, bad := poison[r]; bad {
			letters = append(letters, deadLetter(p, s.o.DeadLetter(r), s.o.Group, s.d.Now()))
		}
	}
	return letters
}

// account takes note of a committed batch.
func (s *session) account(records []*kgo.Record, poison map[*kgo.Record]Poison, windows map[topicPartition]window) {
	for tp, w := range windows {
		s.brakes[tp].window = w
	}
	topics := map[string]int{}
	for _, r := range records {
		topics[r.Topic]++
		delete(s.outsize, offsetOf(r))
	}
	for topic, n := range topics {
		s.m.records.WithLabelValues(s.o.Group, topic).Add(float64(n))
	}
	for _, p := range poison {
		s.m.poison.WithLabelValues(s.o.Group, clip(p.Reason, deadReasonBytes)).Inc()
	}
}

// narrow comes closer to the record whose output Kafka refuses for its size: first one record at a time, then that one is poison.
func (s *session) narrow(records []*kgo.Record, err error) {
	if len(records) == 1 {
		s.outsize[offsetOf(records[0])] = err
	} else {
		s.single = len(records)
	}
}
