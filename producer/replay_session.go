package producer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// fingerprint stands for an id in the set of those that were seen; the ids of a million revisions would need 100 MB.
type fingerprint [16]byte

func fingerprintOf(id string) fingerprint {
	sum := sha256.Sum256([]byte(id))
	return fingerprint(sum[:16])
}

// replay is the time from opening a writer to the end of the recordings or the first error of Kafka.
type replay struct {
	*player
	out     *output
	through map[string]int64 // entries of each recording that are in Kafka, by SHA-256
	seen    map[fingerprint]struct{}
	summary ReplaySummary
	pods    *recordedPods

	// With PaceReal: the wall clock and the recording's clock at the first observation.
	wall, recorded time.Time
}

func (s *replay) session(ctx context.Context) error {
	w, err := s.kafka.open(ctx, transactionalID(s.cluster.UID, "recordings"))
	if err != nil {
		return fmt.Errorf("opening the writer: %w", err)
	}
	s.out = newOutput(w, s.cfg.Batch, s.kafka.topics.Checkpoints(s.cluster.Name), "", s.m, s.ready, s.d.Now)
	defer s.out.close()
	if s.through, err = s.loadProgress(ctx); err != nil {
		return err
	}
	s.ready.at("")
	for i, rec := range s.in {
		if err := s.play(ctx, rec, s.sums[i]); err != nil {
			return err
		}
	}
	return nil
}

// loadProgress reads how far each recording got. The writer must be open already.
func (s *replay) loadProgress(ctx context.Context) (map[string]int64, error) {
	topic := s.kafka.topics.Checkpoints(s.cluster.Name)
	through := map[string]int64{}
	keys := map[string]string{}
	for _, sum := range s.sums {
		keys[schemas.RecordingKey(sum)] = sum
	}
	err := s.kafka.table(ctx, topic, 0, func(r *kgo.Record) error {
		sum, mine := keys[string(r.Key)]
		if !mine || sum == "" || r.Value == nil {
			return nil
		}
		cp, err := schemas.DecodeCheckpoint(r.Value)
		switch {
		case err != nil:
			return fmt.Errorf("offset %d: %w", r.Offset, err)
		case cp.ClusterUID != s.cluster.UID:
			return &ClusterMismatchError{Topic: topic, Want: s.cluster.UID, Got: cp.ClusterUID}
		case cp.Recording == nil:
			return fmt.Errorf("offset %d: the checkpoint of a recording says nothing about it", r.Offset)
		}
		through[sum] = cp.Recording.Lines
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	return through, nil
}

// play writes what is new in one recording.
func (s *replay) play(ctx context.Context, rec Recording, sum string) error {
	s.out.key = ""
	if sum != "" {
		s.out.key = schemas.RecordingKey(sum)
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	entries, ended := read(reading, rec)
	var number int64
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.out.drain(ctx))
		case <-s.out.due():
			s.out.expire(ctx)
		case err := <-s.out.done():
			if err := s.out.finish(ctx, err); err != nil {
				return err
			}
			s.progress()
		case e, ok := <-entries:
			if !ok {
				if err := errors.Join(<-ended, s.out.drain(ctx)); err != nil {
					return err
				}
				s.through[sum] = max(s.through[sum], number)
				s.progress()
				return nil
			}
			var err error
			if number, err = s.take(ctx, rec, sum, number, e); err != nil {
				return err
			}
		}
	}
}

func (s *replay) progress() {
	if s.opts.Progress != nil {
		s.opts.Progress(s.summary)
	}
}

// read scans a recording in a goroutine of its own, because a pipe can block. After entries is closed, ended has the error.
func read(ctx context.Context, rec Recording) (entries <-chan entry, ended <-chan error) {
	out, end := make(chan entry, 64), make(chan error, 1)
	go func() {
		defer close(out)
		end <- func() error {
			file, err := rec.Open()
			if err != nil {
				return &readError{rec.Name, err}
			}
			defer func() { _ = file.Close() }()
			give := func(e entry) bool {
				select {
				case out <- e:
					return true
				case <-ctx.Done():
					return false
				}
			}
			plain, err := uncompressed(file)
			if err != nil {
				give(entry{line: 1, err: err})
				return nil
			}
			if err := scan(plain, give); err != nil {
				return &readError{rec.Name, err}
			}
			return ctx.Err()
		}()
	}()
	return out, end
}

// take handles an entry, of which number entries came before. It returns how many there were with it: each observation of a list
// on one line counts, so that a list can be cut between two transactions.
func (s *replay) take(ctx context.Context, rec Recording, sum string, number int64, e entry) (int64, error) {
	s.summary.Lines++
	observations, ignored, err := s.convert(e, FromJSON, s.pods)
	if err != nil {
		bad := &BadLineError{File: rec.Name, Line: e.line, Err: err}
		if !s.opts.SkipBad {
			return number, errors.Join(bad, s.out.drain(ctx))
		}
		s.summary.Bad++
		s.m.badLines.Inc()
		s.d.Log.Warn("skipping a line of the recording", "err", bad)
	}
	s.summary.Ignored += ignored
	for _, o := range observations {
		number++
		id := fingerprintOf(o.ID)
		if _, ok := s.seen[id]; ok {
			s.covered(sum, number)
			continue
		}
		s.seen[id] = struct{}{}
		s.summary.Observed++
		if sum != "" && number <= s.through[sum] {
			continue
		}
		if err := s.emit(ctx, sum, number, o); err != nil {
			return number, err
		}
	}
	if len(observations) == 0 {
		number++
		s.covered(sum, number)
	}
	return number, nil
}

// covered notes an entry that is through without a record.
func (s *replay) covered(sum string, number int64) {
	if sum != "" && number > s.through[sum] {
		s.out.move(s.checkpoint(sum, number))
	}
}

func (s *replay) checkpoint(sum string, number int64) schemas.Checkpoint {
	return schemas.Checkpoint{
		Source: schemas.SourceEvents, ClusterUID: s.cluster.UID, ObservedAt: s.d.Now().UTC(),
		Recording: &schemas.RecordingProgress{SHA256: sum, Lines: number},
	}
}

func (s *replay) emit(ctx context.Context, sum string, number int64, o *schemas.Observation) error {
	if err := s.await(ctx, o.ObservedAt); err != nil {
		return err
	}
	r, shrunk, err := eventRecord(s.kafka.topics.Events(s.cluster.Name), o)
	if err != nil {
		return err
	}
	if shrunk {
		s.m.shortened.Inc()
	}
	s.summary.Emitted++
	return s.out.add(ctx, r, fact{kind: o.Type, time: o.Time}, s.checkpoint(sum, number))
}

// await waits, with PaceReal, until as much time has passed as had when the recording was made. It goes on writing.
func (s *replay) await(ctx context.Context, at time.Time) error {
	if s.opts.Pace != PaceReal {
		return nil
	}
	if s.wall.IsZero() {
		s.wall, s.recorded = time.Now(), at
	}
	timer := time.NewTimer(at.Sub(s.recorded) - time.Since(s.wall))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.out.drain(ctx))
		case <-s.out.due():
			s.out.expire(ctx)
		case err := <-s.out.done():
			if err := s.out.finish(ctx, err); err != nil {
				return err
			}
			s.progress()
		}
	}
}
