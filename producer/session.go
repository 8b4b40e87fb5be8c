package producer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// kafka is what a producer needs of Kafka; tests put faults in between.
type kafka struct {
	topics schemas.Topics
	open   func(ctx context.Context, transactionalID string) (transactor, error)
	table  func(ctx context.Context, topic string, partition int32, fn func(*kgo.Record) error) error
}

func newKafka(cfg stream.Config, d stream.Deps) kafka {
	return kafka{
		topics: schemas.Topics{Prefix: cfg.TopicPrefix},
		open: func(ctx context.Context, id string) (transactor, error) {
			w, err := stream.OpenWriter(ctx, cfg, d, id)
			if err != nil {
				return nil, err
			}
			return w, nil
		},
		table: func(ctx context.Context, topic string, partition int32, fn func(*kgo.Record) error) error {
			return stream.ReadTable(ctx, cfg, d, topic, partition, fn)
		},
	}
}

// transactionalID is the same for every producer of this source and cluster, whatever the cluster is called.
func transactionalID(clusterUID string, source schemas.Source) string {
	return TransactionalIDPrefix + clusterUID + "-" + string(source)
}

// TransactionalIDPrefix begins the transactional id of every producer.
const TransactionalIDPrefix = "kubescribe-producer-"

// ClusterMismatchError says that the topics of this cluster name hold the facts of another cluster.
type ClusterMismatchError struct{ Topic, Want, Got string }

// Error says what to do.
func (e *ClusterMismatchError) Error() string {
	return fmt.Sprintf("the checkpoint in %s belongs to the cluster with UID %s, but this one is %s: give this cluster a name of its own", e.Topic, e.Got, e.Want)
}

// loadCheckpoint reads the checkpoint under key, nil when there is none. The writer must be open already, so that nobody else
// can move it.
func loadCheckpoint(ctx context.Context, k kafka, cluster schemas.Cluster, key string) (*schemas.Checkpoint, error) {
	topic := k.topics.Checkpoints(cluster.Name)
	var value []byte
	err := k.table(ctx, topic, 0, func(r *kgo.Record) error {
		if string(r.Key) == key {
			value = r.Value
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	if value == nil {
		return nil, nil
	}
	cp, err := schemas.DecodeCheckpoint(value)
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoint in %s: %w", topic, err)
	}
	if cp.ClusterUID != cluster.UID {
		return nil, &ClusterMismatchError{Topic: topic, Want: cluster.UID, Got: cp.ClusterUID}
	}
	return cp, nil
}

// session is the time from opening a writer to its first error. It belongs to one goroutine.
type session struct {
	cfg     Config
	cluster schemas.Cluster
	topics  schemas.Topics
	api     *client
	out     *output
	d       stream.Deps
	m       *metrics
	ready   *readiness
	pace    pacing
	settle  time.Duration // how long a watch may take to deliver what it owes

	encoder *encoder
	counts  counts
	letters map[[sha256.Size]byte]bool // what went to the dead letter in this session
	// doubtful: the next watch may well be refused after it was accepted.
	doubtful bool

	cp schemas.Checkpoint // but for RV, covers everything that out was given
	rv uint64             // the checkpoint's RV
}

// runSession opens a writer, which fences the one before, reads the checkpoint and produces until ctx ends or something
// fails. What was buffered then is dropped: it will be read again.
func (p *producer) runSession(ctx context.Context) error {
	w, err := p.kafka.open(ctx, transactionalID(p.cluster.UID, schemas.SourceEvents))
	if err != nil {
		return fmt.Errorf("opening the writer: %w", err)
	}
	key := schemas.CheckpointKey(schemas.SourceEvents)
	out := newOutput(w, p.cfg.Batch, p.kafka.topics.Checkpoints(p.cluster.Name), key, p.m, p.ready, p.d.Now)
	defer out.close()
	cp, err := loadCheckpoint(ctx, p.kafka, p.cluster, key)
	if err != nil {
		return err
	}
	s := &session{
		cfg: p.cfg, cluster: p.cluster, topics: p.kafka.topics, api: p.api, out: out, d: p.d, m: p.m, ready: p.ready, pace: p.pace,
		settle:  min(max(p.cfg.Silence/2, 50*time.Millisecond), 2*time.Second),
		encoder: &encoder{topic: p.kafka.topics.Events(p.cluster.Name), cluster: p.cluster},
		letters: map[[sha256.Size]byte]bool{},
	}
	out.covers = s.snapshot
	return s.run(ctx, cp)
}

func (s *session) run(ctx context.Context, cp *schemas.Checkpoint) error {
	if cp == nil {
		if err := s.first(ctx); err != nil {
			return err
		}
	} else {
		s.cp = *cp
		s.d.Log.Info("resuming", "rv", cp.RV, "epoch", cp.Epoch, "observed_at", cp.ObservedAt, "in_list", cp.List != nil)
		rv, err := parseRV(cp.RV)
		if err != nil {
			return fmt.Errorf("reading the checkpoint: %w", err)
		}
		s.rv = rv
	}
	empties, stubborn := 0, 0
	failures := retry{pacing: s.pace}
	for ctx.Err() == nil {
		if err := s.align(ctx); err != nil {
			return err
		}
		if err := s.restoreCounts(ctx); err != nil {
			return err
		}
		end, delivered, err := s.follow(ctx)
		if drained := s.out.drain(ctx); drained != nil {
			return drained
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.m.watches.WithLabelValues(string(end)).Inc()
		if delivered {
			failures.reset()
		}
		s.doubtful = end == endFailed || end == endEmpty
		if end != endEmpty {
			empties, stubborn = 0, 0
		}
		switch end {
		case endFatal:
			return err
		case endExpired:
			err = s.expired(ctx)
		case endEmpty:
			if empties++; empties < 2 {
				break
			}
			empties = 0
			forgotten, probed := s.isForgotten(ctx)
			if stubborn++; probed == nil && (forgotten || stubborn > stubbornEmpties) {
				stubborn = 0
				err = s.expired(ctx)
			} else {
				failures.wait(ctx, probed)
			}
		case endFailed:
			s.trouble(err)
			failures.wait(ctx, err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// first sets the checkpoint where the configuration wants to begin.
func (s *session) first(ctx context.Context) error {
	s.cp = schemas.Checkpoint{Source: schemas.SourceEvents, ClusterUID: s.cluster.UID, RV: "0", ObservedAt: s.d.Now().UTC()}
	if s.cfg.From == FromOldest {
		s.d.Log.Info("starting with what the API server still holds")
		return s.list(ctx, "")
	}
	var head uint64
	var asked time.Time
	err := s.attempt(ctx, func() (err error) {
		asked = s.d.Now()
		head, err = s.api.head(ctx)
		return err
	})
	if err != nil {
		return err
	}
	s.d.Log.Info("starting with what comes from now on", "rv", head)
	s.advance(head, asked)
	s.out.moved()
	return s.out.drain(ctx)
}

// stubbornEmpties is how many pairs of watches may end at once and without a word, on a server that says that it still has the
// checkpoint's resourceVersion, before that is not believed.
const stubbornEmpties = 3

// isForgotten asks for the list at the checkpoint's resourceVersion: some servers and proxies end a watch that is too old instead of
// saying 410, but so does one that is just stopping, and that is no gap.
func (s *session) isForgotten(ctx context.Context) (bool, error) {
	_, err := s.api.page(ctx, metav1.ListOptions{Limit: 1, ResourceVersion: formatRV(s.rv), ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if err != nil && classify(err) == expired {
		return true, nil
	}
	return false, err
}

// align makes the checkpoint one that a watch can start from: it notices a server whose resourceVersion went back, and ends a
// list that another session began.
func (s *session) align(ctx context.Context) error {
	var head uint64
	err := s.attempt(ctx, func() (err error) {
		head, err = s.api.head(ctx)
		return err
	})
	if err != nil {
		return err
	}
	at := s.rv
	if s.cp.List != nil {
		listRV, err := parseRV(s.cp.List.ListRV)
		if err != nil {
			return fmt.Errorf("reading the checkpoint: %w", err)
		}
		at = max(at, listRV)
	}
	switch {
	case head < at:
		s.d.Log.Warn("the API server's resourceVersion went back", "rv", head, "checkpoint_rv", at, "epoch", s.cp.Epoch+1)
		return s.regress(ctx)
	case s.cp.List != nil:
		return s.resumeList(ctx)
	}
	return nil
}

// expired goes on after the server has forgotten the checkpoint's resourceVersion.
func (s *session) expired(ctx context.Context) error {
	s.d.Log.Warn("the API server has forgotten the checkpoint's resourceVersion", "rv", s.rv, "observed_at", s.cp.ObservedAt)
	return s.list(ctx, schemas.GapExpired)
}

// advance moves the checkpoint to rv, known to miss nothing at observedAt.
func (s *session) advance(rv uint64, observedAt time.Time) {
	s.rv, s.cp.ObservedAt = rv, observedAt.UTC()
}

// attempt calls fn until it succeeds, for ever, with readiness saying why not. It returns only the end of ctx and errors that
// say expired.
func (s *session) attempt(ctx context.Context, fn func() error) error {
	failures := retry{pacing: s.pace}
	for {
		err := fn()
		if err == nil || classify(err) == expired {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.trouble(err)
		if !failures.wait(ctx, err) {
			return ctx.Err()
		}
	}
}

// trouble reports an error that is being retried.
func (s *session) trouble(err error) {
	c := classify(err)
	s.m.apiErrors.WithLabelValues(c.String()).Inc()
	s.ready.at(explain(err).Error())
	s.d.Log.Log(context.Background(), slog.LevelWarn, "request to the API server failed, trying again", "err", err, "class", c.String())
}
