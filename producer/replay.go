package producer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// The paces of a replay.
const (
	PaceFast = "fast" // as fast as it goes
	PaceReal = "real" // with the waits between the observations that the recording has
)

// ReplayOptions say how recordings are played.
type ReplayOptions struct {
	Pace string // PaceFast when empty
	// SkipBad counts lines that can't be read and goes on, instead of ending with a BadLineError.
	SkipBad bool
	// ClusterUID is part of every id; empty: schemas.RecordingClusterUID of the cluster's name.
	ClusterUID string
	// Progress, if set, is called after each transaction, in Replay's goroutine. It must not block.
	Progress func(ReplaySummary)
}

// ReplaySummary counts over all recordings of one call.
type ReplaySummary struct {
	Observed int64 // distinct facts in the recordings, also those that an earlier run has written
	Emitted  int64 // observations that this run has written
	Ignored  int64 // objects that are neither Events nor Pods
	Bad      int64 // lines that could not be read
	Lines    int64 // entries: lines, or items of a list
}

// Replay plays recordings into the topics of the cluster given, through the same conversion and the same transactions as
// Run, in epoch 0, and returns when all is in Kafka. A revision that occurs several times is written once.
//
// The observedAt of an observation is when it arrived, if the recording notes that, and else the Event's own time: never the
// wall clock, so that the same recording gives the same bytes, and lands in the same index, whenever it is played.
//
// It is resumed by the SHA-256 of each file: what an earlier run has written is read for its ids and not written again, also after
// a kill. Two files that share revisions must be played in one call; across calls the index keeps one document all the same.
//
// Without SkipBad a file is looked through first: a BadLineError means that nothing of the file that has the line was written.
// Errors of Kafka are retried for ever, with d.Health saying why, unless a recording can be read only once. When ctx ends, what
// was read is written, within 10 s, and the error is ctx's.
func Replay(ctx context.Context, cfg Config, cluster string, k stream.Config, d stream.Deps, in []Recording, o ReplayOptions) (ReplaySummary, error) {
	d = withDefaults(d)
	p, err := newPlayer(cfg, cluster, newKafka(k, d), d, in, o)
	if err != nil {
		return ReplaySummary{}, err
	}
	return p.run(ctx)
}

// player is a running Replay.
type player struct {
	cfg     Config
	cluster schemas.Cluster
	kafka   kafka
	d       stream.Deps
	m       *metrics
	ready   *readiness
	in      []Recording
	sums    []string // SHA-256 of each recording, "" when it can be read only once
	opts    ReplayOptions
	pace    pacing
}

func newPlayer(cfg Config, cluster string, k kafka, d stream.Deps, in []Recording, o ReplayOptions) (*player, error) {
	if o.ClusterUID == "" {
		o.ClusterUID = schemas.RecordingClusterUID(cluster)
	}
	c := schemas.Cluster{Name: cluster, UID: o.ClusterUID}
	errs := []error{cfg.Validate(), c.Validate()}
	if o.Pace != "" && o.Pace != PaceFast && o.Pace != PaceReal {
		errs = append(errs, fmt.Errorf("pace: %q is neither %q nor %q", o.Pace, PaceFast, PaceReal))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &player{cfg: cfg, cluster: c, kafka: k, d: d, m: newMetrics(d.Metrics, "recordings"), ready: &readiness{to: d.Health}, in: in, opts: o, pace: steady}, nil
}

func (p *player) run(ctx context.Context) (ReplaySummary, error) {
	for _, rec := range p.in {
		sum, err := p.look(ctx, rec)
		if err != nil {
			return ReplaySummary{}, err
		}
		p.sums = append(p.sums, sum)
	}
	var written int64 // by sessions that ended early
	failures := retry{pacing: p.pace}
	for {
		s := &replay{player: p, seen: map[fingerprint]struct{}{}, pods: p.newPods()}
		err := s.session(ctx)
		s.summary.Emitted += written
		if err == nil || ctx.Err() != nil || !p.retriable(err) {
			return s.summary, err
		}
		written = s.summary.Emitted
		p.m.sessions.WithLabelValues(sessionEnd(err)).Inc()
		p.ready.at(err.Error())
		p.d.Log.Warn("replay interrupted, starting over", "err", err)
		if !failures.wait(ctx, err) {
			return s.summary, ctx.Err()
		}
	}
}

// retriable errors are those of Kafka, as long as every recording can be read again.
func (p *player) retriable(err error) bool {
	var bad *BadLineError
	var mismatch *ClusterMismatchError
	var read *readError
	for _, rec := range p.in {
		if rec.Once {
			return false
		}
	}
	return !errors.As(err, &bad) && !errors.As(err, &mismatch) && !errors.As(err, &read)
}

// look reads a recording before anything is written: for its SHA-256, and for broken lines.
func (p *player) look(ctx context.Context, rec Recording) (string, error) {
	if rec.Once {
		return "", nil
	}
	file, err := rec.Open()
	if err != nil {
		return "", &readError{rec.Name, err}
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	whole := io.TeeReader(file, hash)
	if !p.opts.SkipBad {
		if err := p.check(ctx, rec.Name, whole); err != nil {
			return "", err
		}
	}
	if _, err := io.Copy(io.Discard, whole); err != nil {
		return "", &readError{rec.Name, err}
	}
	return hex.EncodeToString(hash.Sum(nil)), ctx.Err()
}

func (p *player) check(ctx context.Context, name string, r io.Reader) error {
	plain, err := uncompressed(r)
	if err != nil {
		return &BadLineError{File: name, Line: 1, Err: err}
	}
	var bad error
	pods := p.newPods()
	err = scan(plain, func(e entry) bool {
		if _, _, err := p.convert(e, observeJSON, pods); err != nil {
			bad = &BadLineError{File: name, Line: e.line, Err: err}
		}
		return bad == nil && ctx.Err() == nil
	})
	switch {
	case bad != nil:
		return bad
	case err != nil:
		return &readError{name, err}
	}
	return ctx.Err()
}

// convert is the observations that an entry stands for, made by FromJSON or, without their payload, by observeJSON; of a pod, what its
// revision says that those before it did not.
func (p *player) convert(e entry, from converter, pods *recordedPods) (all []*schemas.Observation, ignored int64, err error) {
	if e.err != nil {
		return nil, 0, e.err
	}
	found, ignored, err := revisions(e.raw)
	if err != nil {
		return nil, 0, err
	}
	for _, r := range found {
		if r.pod && !pods.enabled {
			if !r.gone {
				ignored++
			}
			continue
		}
		if r.pod {
			say, err := pods.observe(r)
			if err != nil {
				return nil, 0, err
			}
			all = append(all, say...)
			continue
		}
		o, err := from(r.raw, p.cluster, 0, r.observedAt)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, o)
	}
	return all, ignored, nil
}

type converter func(raw []byte, cluster schemas.Cluster, epoch int64, observedAt time.Time) (*schemas.Observation, error)

// readError is an error of the file system, not of the recording's content.
type readError struct {
	name string
	err  error
}

func (e *readError) Error() string { return fmt.Sprintf("reading the recording %s: %v", e.name, e.err) }
func (e *readError) Unwrap() error { return e.err }
