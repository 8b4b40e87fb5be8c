package enricher

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// maxBatch is how many records share a transaction, when there is a backlog: below, the price of a transaction shows.
const maxBatch = 5000

// Group is the consumer group of a cluster's enrichers.
func Group(cluster string) string { return "kubescribe-enricher-" + cluster }

// Run enriches the observations of one cluster until ctx ends, and then returns nil once the batch in hand is committed or
// dropped. Any number of Runs share the work of a cluster by partitions. It fails only for what a person has to change:
// a wrong configuration or a missing topic.
//
// objects belongs to the caller; it must stay usable until Run has returned.
func Run(ctx context.Context, cfg Config, cluster string, k stream.Config, d stream.Deps, objects Objects) error {
	if err := schemas.ValidateClusterName(cluster); err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	fields, err := cfg.fields()
	if err != nil {
		return err
	}
	topics := schemas.Topics{Prefix: k.TopicPrefix}
	t := &transformer{
		cluster: cluster, topic: topics.Enriched(cluster), objects: objects,
		fields: fields, timeout: cfg.LookupTimeout, concurrency: cfg.LookupConcurrency, metrics: newMetrics(d.Metrics),
	}
	if source, ok := objects.(Logs); ok && cfg.Logs.Enabled {
		t.logs = newLogs(source, cfg.Logs.Reasons)
	}
	o := stream.TransformOptions{
		Group:           Group(cluster),
		Topics:          []string{topics.Events(cluster)},
		MaxBatchRecords: maxBatch,
		DeadLetter:      func(*kgo.Record) string { return topics.DeadLetter(cluster) },
	}
	t.logs.follow(&o, topics.Events(cluster), func(ctx context.Context) (int, error) {
		return stream.Partitions(ctx, k, d, topics.Events(cluster))
	})
	if cfg.Instance != "" {
		o.TransactionalID = o.Group + "-" + cfg.Instance
	}
	if err := stream.RunTransform(ctx, k, d, o, t.transform); err != nil {
		return fmt.Errorf("enriching %s: %w", cluster, err)
	}
	return nil
}
