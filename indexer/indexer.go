package indexer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// component names the indexer's dependence on its store in the health report.
const component = "indexer/store"

// Run sets the store up and writes enriched documents to it until ctx ends; then it lets the batches in hand finish and returns
// nil. It does not close st. An outage of Kafka or of the store is waited for; an error means that a person must act: the
// configuration is wrong, or the store may not be set up.
func Run(ctx context.Context, cfg Config, k stream.Config, d stream.Deps, st store.Store) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	x := newIndexer(cfg, d, st)
	if err := x.setup(ctx); err != nil {
		return fmt.Errorf("indexer: %w", err)
	}
	if ctx.Err() != nil {
		return nil
	}
	topics := schemas.Topics{Prefix: k.TopicPrefix}
	return stream.RunConsumer(ctx, k, d, stream.ConsumerOptions{
		Group:        cfg.Group,
		TopicPattern: topics.EnrichedPattern(),
		InstanceID:   cfg.Instance,
		// Enough for two requests at once out of one partition.
		MaxBatchRecords: 2 * cfg.FlushRecords,
		MaxBatchBytes:   2 * cfg.FlushBytes,
		// As much as is on its way, and as much again that waits; small fetches, because documents grow to six times as much.
		MaxBufferedBytes: 2 * cfg.BulkRequests * cfg.FlushBytes,
		MaxFetchBytes:    256 << 10,
		ShutdownTimeout:  cfg.ShutdownTimeout,
		DeadLetter:       func(r *kgo.Record) string { return topics.DeadLetter(topics.ClusterOf(r.Topic)) },
		Assigned: func(context.Context, string, int32) (stream.Handler, error) {
			return (&assignment{indexer: x}).handle, nil
		},
	}, nil)
}

type indexer struct {
	cfg    Config
	store  store.Store
	log    *slog.Logger
	health stream.HealthReporter
	now    func() time.Time
	m      *metrics
	slots  chan struct{} // one for each bulk request on its way
}

func newIndexer(cfg Config, d stream.Deps, st store.Store) *indexer {
	x := &indexer{cfg: cfg, store: st, log: d.Log, health: d.Health, now: d.Now, slots: make(chan struct{}, cfg.BulkRequests)}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	if x.now == nil {
		x.now = time.Now
	}
	reg := d.Metrics
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	x.m = newMetrics(reg)
	return x
}

// setup repeats the store's Setup until it is done or refused.
func (x *indexer) setup(ctx context.Context) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 15*time.Second) {
		err := x.store.Setup(ctx)
		switch {
		case err == nil:
			x.ready("")
			return nil
		case ctx.Err() != nil:
			return nil
		case store.IsRefused(err):
			return err
		}
		x.ready(err.Error())
		x.log.WarnContext(ctx, "setting up the store failed; tried again", "wait", wait, "err", err)
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			return nil
		}
	}
}

func (x *indexer) ready(reason string) {
	if x.health != nil {
		x.health.Set(component, reason)
	}
}

func refused(err error) bool { return store.IsRefused(err) || isRefusedDocument(err) }
