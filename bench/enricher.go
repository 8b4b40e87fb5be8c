package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/enricher"
	"kubescribe/schemas"
)

const (
	enricherRecords = 180_000
	enricherPods    = 20_000
	// inARow is how many observations about one pod follow each other, as when a pod starts: scheduled, pulling, pulled, created, started.
	inARow = 5
)

var enricherStage = Stage{
	Name:    "enricher",
	Ceiling: "a bare franz-go transactional consume-produce of the same observations, at its best batch size",
	Unit:    "events/s",
	Bound:   0.35,
	Limits:  map[string]float64{"peak_rss_mib": 400},
	Measure: measureEnricher,
}

// measureEnricher runs the whole stage on observations about 20,000 pods of a real API server, whose caches are warm as they
// are in a running enricher; and then the real binary from cold, for its memory.
func measureEnricher(ctx context.Context, e *Env) (Measured, error) {
	rc, kubeconfig, err := e.startLargeCluster(ctx, enricherPods)
	if err != nil {
		return Measured{}, err
	}
	if err := e.startKafka(ctx); err != nil {
		return Measured{}, err
	}
	t, err := e.topics(ctx, schemas.DefaultTopicPrefix)
	if err != nil {
		return Measured{}, err
	}
	if err := e.fillAboutPods(ctx, t.Events(cluster)); err != nil {
		return Measured{}, err
	}
	if _, err := e.admin.CreateTopic(ctx, partitions, 1, nil, "bare"); err != nil {
		return Measured{}, err
	}
	ceiling, batch, err := e.bestBare(ctx, "bare", t.Events(cluster), "bare", enricherRecords)
	if err != nil {
		return Measured{}, err
	}
	objects, err := enricher.NewObjects(ctx, enricher.Default(), rc, e.deps())
	if err != nil {
		return Measured{}, err
	}
	if err := e.warm(ctx, objects); err != nil {
		return Measured{}, err
	}
	cpu := time.Duration(0)
	rate, err := best(ctx, e, "enricher", enricherRecords, func(ctx context.Context, round int) (time.Duration, error) {
		if err := e.forget(ctx, enricher.Group(cluster)); err != nil {
			return 0, err
		}
		cfg := enricher.Default()
		cfg.Instance = fmt.Sprint("bench-", round)
		before := cpuTime()
		took, err := e.untilConsumed(ctx, enricher.Group(cluster), t.Events(cluster), func(ctx context.Context) error {
			return enricher.Run(ctx, cfg, cluster, e.kafkaConfig(schemas.DefaultTopicPrefix), e.deps(), objects)
		})
		if spent := cpuTime() - before; cpu == 0 || spent < cpu {
			cpu = spent
		}
		return took, err
	})
	if err != nil {
		return Measured{}, err
	}
	rss, err := e.peakMemory(ctx, kubeconfig, t.Events(cluster))
	return Measured{Stage: rate, Ceiling: ceiling, Records: enricherRecords, Detail: map[string]any{
		"bare_batch": batch, "cpu_us_per_event": round(float64(cpu.Microseconds()) / float64(enricherRecords)),
		"peak_rss_mib": float64(rss), "pods_cached": len(e.pods),
	}}, err
}

// warm looks up a pod until everything around it is known.
func (e *Env) warm(ctx context.Context, objects *enricher.Live) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	began := time.Now()
	for {
		o := objects.Lookup(ctx, e.pods[len(e.pods)-1], time.Now())
		if o.Status == "complete" && len(o.Services) > 0 && len(o.Revisions) > 0 {
			e.logf("caches are warm after %.1f s", time.Since(began).Seconds())
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the caches did not fill: %v: %w", o.Missing, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// fillAboutPods writes the observations, and keeps none of them: the collector would count their memory as the stage's work.
func (e *Env) fillAboutPods(ctx context.Context, topic string) error {
	in, err := observations(enricherRecords)
	if err != nil {
		return err
	}
	if err := aboutPods(in, e.pods); err != nil {
		return err
	}
	return e.fill(ctx, topic, in)
}

// aboutPods makes the observations about the pods, one pod after the other.
func aboutPods(in []*kgo.Record, pods []schemas.Subject) error {
	for i, r := range in {
		o, err := schemas.DecodeObservation(r.Value)
		if err != nil {
			return err
		}
		field := o.Subject.FieldPath
		o.Subject = pods[i/inARow%len(pods)]
		o.Subject.FieldPath = field
		if r.Value, err = json.Marshal(o); err != nil {
			return err
		}
		r.Key = []byte(o.Subject.Key())
	}
	return nil
}
