package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"k8s.io/client-go/rest"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

var (
	fakeOnce   sync.Once
	fakeConfig stream.Config
	rigNumber  atomic.Int64
)

// fakeKafka is one in-process broker for all tests of this binary; they use cluster names of their own.
func fakeKafka(t testing.TB) stream.Config {
	t.Helper()
	fakeOnce.Do(func() {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		fakeConfig = stream.Default()
		fakeConfig.Brokers = cluster.ListenAddrs()
	})
	return fakeConfig
}

// rig is a producer's surroundings: Kafka, an API server, a cluster's topics.
type rig struct {
	t       *testing.T
	kafka   stream.Config
	rest    *rest.Config
	cluster string
	cfg     Config
	faults  *faults
	health  *healthLog
	now     func() time.Time
}

const partitions = 3

func newRig(t *testing.T, k stream.Config, rc *rest.Config) *rig {
	t.Helper()
	r := &rig{t: t, kafka: k, rest: rc, cluster: fmt.Sprintf("c%d-%d", os.Getpid(), rigNumber.Add(1)), cfg: Default(), faults: &faults{t: t, at: -1}, health: &healthLog{}, now: time.Now}
	r.cfg.Lease.Enabled = false
	r.cfg.Containers.Enabled = false // its tests switch it on
	r.cfg.Batch.MaxAge = 2 * time.Millisecond
	r.topics(partitions)
	return r
}

func (r *rig) topics(partitions int32) {
	r.t.Helper()
	var specs []stream.TopicSpec
	for _, s := range (schemas.Topics{Prefix: r.kafka.TopicPrefix}).ClusterSpecs(r.cluster, partitions) {
		specs = append(specs, stream.TopicSpec{Name: s.Name, Partitions: s.Partitions, Replication: 1, Configs: s.Configs})
	}
	_, err := stream.ApplyTopics(r.t.Context(), r.kafka, stream.Deps{}, specs, false)
	require.NoError(r.t, err)
}

func (r *rig) deps() stream.Deps {
	d := stream.Deps{Health: r.health, Now: r.now}
	if testing.Verbose() && os.Getenv("TEST_LOG") != "" {
		d.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return withDefaults(d)
}

// faulty is Kafka with the rig's faults in between.
func (r *rig) faulty() kafka {
	k := newKafka(r.kafka, r.deps())
	open := k.open
	k.open = func(ctx context.Context, id string) (transactor, error) {
		w, err := open(ctx, id)
		return &faultyWriter{transactor: w, faults: r.faults}, err
	}
	return k
}

var hasty = pacing{first: time.Millisecond, longest: 20 * time.Millisecond, refused: 20 * time.Millisecond}

func (r *rig) producer() *producer {
	api, err := newClient(r.rest, time.Second)
	require.NoError(r.t, err)
	d := r.deps()
	api.selected, err = newSelector(r.cfg.Selection, schemas.SourceEvents, d)
	require.NoError(r.t, err)
	p := &producer{cfg: r.cfg, cluster: schemas.Cluster{Name: r.cluster}, api: api, kafka: r.faulty(), d: d, m: newMetrics(d.Metrics, schemas.SourceEvents), ready: &readiness{to: d.Health}, pace: hasty}
	p.containers, err = newContainers(p)
	require.NoError(r.t, err)
	return p
}

// start runs a producer; stop ends it as a signal does and returns Run's error.
func (r *rig) start() (stop func() error) {
	return r.run(r.producer())
}

func (r *rig) run(p *producer) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- p.run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-result:
			return err
		case <-time.After(30 * time.Second):
			return errors.New("the producer doesn't stop")
		}
	})
	r.t.Cleanup(func() { _ = stop() })
	return stop
}

// observations are those in the topic, as a read-committed reader sees them, partition by partition.
func (r *rig) observations() []*schemas.Observation {
	r.t.Helper()
	var all []*schemas.Observation
	topics := schemas.Topics{Prefix: r.kafka.TopicPrefix}
	for p := range int32(partitions) {
		err := stream.ReadTable(r.t.Context(), r.kafka, stream.Deps{}, topics.Events(r.cluster), p, func(rec *kgo.Record) error {
			o, err := schemas.DecodeObservation(rec.Value)
			if err != nil {
				return err
			}
			ce, err := schemas.ParseHeaders(func(yield func(string, []byte) bool) {
				for _, h := range rec.Headers {
					if !yield(h.Key, h.Value) {
						return
					}
				}
			})
			switch {
			case err != nil:
				return err
			case ce.ID != o.ID || !ce.Time.Equal(o.Time):
				return fmt.Errorf("headers %+v don't fit the observation %s", ce, o.ID)
			case o.Type == schemas.TypeEvent && string(rec.Key) != o.Subject.Key():
				return fmt.Errorf("key %q of %s", rec.Key, o.ID)
			}
			all = append(all, o)
			return nil
		})
		require.NoError(r.t, err)
	}
	return all
}

// found are the revisions in the topic as uid/resourceVersion, sorted; an id that is there twice is there twice.
func (r *rig) found() (revisions []string, gaps []*schemas.Gap) {
	r.t.Helper()
	for _, o := range r.observations() {
		if o.Type == schemas.TypeGap {
			g, err := schemas.DecodeGap(o.Payload)
			require.NoError(r.t, err)
			gaps = append(gaps, g)
			continue
		}
		uid, rv := idParts(o.ID)
		revisions = append(revisions, uid+"/"+rv)
	}
	slices.Sort(revisions)
	return revisions, gaps
}

func (r *rig) has(n int) func() bool {
	return func() bool {
		revisions, _ := r.found()
		return len(revisions) >= n
	}
}

func (r *rig) checkpoint(key string) *schemas.Checkpoint {
	r.t.Helper()
	var cp *schemas.Checkpoint
	err := stream.ReadTable(r.t.Context(), r.kafka, stream.Deps{}, schemas.Topics{Prefix: r.kafka.TopicPrefix}.Checkpoints(r.cluster), 0, func(rec *kgo.Record) (err error) {
		if string(rec.Key) == key {
			cp, err = schemas.DecodeCheckpoint(rec.Value)
		}
		return err
	})
	require.NoError(r.t, err)
	return cp
}

func (r *rig) rv() uint64 {
	cp := r.checkpoint("events")
	if cp == nil || cp.List != nil {
		return 0
	}
	rv, err := parseRV(cp.RV)
	require.NoError(r.t, err)
	return rv
}

// faults make one transaction fail.
type faults struct {
	t      *testing.T
	mu     sync.Mutex
	writes int
	at     int  // which, from 0; -1: none
	after  bool // it fails after it was committed, as a commit whose answer is lost
	hit    bool
}

func (f *faults) arm(at int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes, f.at, f.after, f.hit = 0, at, after, false
}

func (f *faults) wasHit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

func (f *faults) next() (fail, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail = f.writes == f.at
	f.hit = f.hit || fail
	f.writes++
	return fail, f.after
}

type faultyWriter struct {
	transactor
	faults *faults
	dead   bool
}

func (w *faultyWriter) Write(ctx context.Context, records []*kgo.Record) error {
	if w.dead {
		w.faults.t.Error("written after an error: what the failed transaction held is skipped")
	}
	fail, after := w.faults.next()
	w.dead = fail
	if fail && !after {
		return fmt.Errorf("killed before the transaction: %w", stream.ErrFenced)
	}
	err := w.transactor.Write(ctx, records)
	if fail && err == nil {
		err = fmt.Errorf("killed after the transaction: %w", stream.ErrUnknownOutcome)
	}
	return err
}

// healthLog remembers the reason and every one before it.
type healthLog struct {
	mu  sync.Mutex
	all []string
}

func (h *healthLog) Set(_, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 || h.all[len(h.all)-1] != reason {
		h.all = append(h.all, reason)
	}
}

func (h *healthLog) last() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 {
		return "not started"
	}
	return h.all[len(h.all)-1]
}

func (h *healthLog) ready() bool { return h.last() == "" }
