package bench

import (
	"context"
	"fmt"
	"time"

	"kubescribe/enricher"
)

const enricherRecords = 60_000

var enricherStage = Stage{
	Name:    "enricher",
	Ceiling: "a bare franz-go transactional consume-produce of the same observations, at its best batch size",
	Unit:    "events/s",
	Measure: measureEnricher,
}

// measureEnricher runs the whole stage without an API server: look-ups answer at once, as they do from a warm cache.
func measureEnricher(ctx context.Context, e *Env) (Measured, error) {
	if err := e.startKafka(ctx); err != nil {
		return Measured{}, err
	}
	in, err := observations(enricherRecords)
	if err != nil {
		return Measured{}, err
	}
	t, err := e.topics(ctx, "bench.")
	if err != nil {
		return Measured{}, err
	}
	if err := e.fill(ctx, t.Events(cluster), in); err != nil {
		return Measured{}, err
	}
	if _, err := e.admin.CreateTopic(ctx, partitions, 1, nil, "bare"); err != nil {
		return Measured{}, err
	}
	ceiling, batch, err := e.bestBare(ctx, "bare", t.Events(cluster), "bare", len(in))
	if err != nil {
		return Measured{}, err
	}
	rate, err := best(ctx, e, "enricher", len(in), func(ctx context.Context, round int) (time.Duration, error) {
		if err := e.forget(ctx, enricher.Group(cluster)); err != nil {
			return 0, err
		}
		cfg := enricher.Default()
		cfg.Instance = fmt.Sprint("bench-", round)
		return e.untilConsumed(ctx, enricher.Group(cluster), t.Events(cluster), func(ctx context.Context) error {
			return enricher.Run(ctx, cfg, cluster, e.kafkaConfig("bench."), e.deps(), enricher.Recorded{})
		})
	})
	return Measured{Stage: rate, Ceiling: ceiling, Records: len(in), Detail: map[string]any{"bare_batch": batch}}, err
}
