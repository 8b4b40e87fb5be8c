package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

const (
	cluster    = "bench"
	partitions = 6
)

// Env is where one stage is measured.
type Env struct {
	dir   string
	log   io.Writer
	began time.Time

	kafka   *stack.Kafka
	pods    []schemas.Subject // of startLargeCluster
	admin   *kadm.Client
	closers []func()
}

func (e *Env) logf(format string, args ...any) {
	fmt.Fprintf(e.log, "%6.1fs  %s\n", time.Since(e.began).Seconds(), fmt.Sprintf(format, args...))
}

func (e *Env) onClose(fn func()) { e.closers = append(e.closers, fn) }

func (e *Env) close() {
	for i := len(e.closers) - 1; i >= 0; i-- {
		e.closers[i]()
	}
}

func (e *Env) path(name string) string { return filepath.Join(e.dir, name) }

// deps are what every Run takes; errors are logged, nothing else.
func (e *Env) deps() stream.Deps {
	return stream.Deps{Log: slog.New(slog.NewTextHandler(e.log, &slog.HandlerOptions{Level: slog.LevelError}))}
}

// startKafka starts a broker for this stage.
func (e *Env) startKafka(ctx context.Context) error {
	if err := stack.Prepare(ctx, "kafka"); err != nil {
		return err
	}
	k, err := stack.StartKafka(ctx, e.path("kafka"))
	if err != nil {
		return err
	}
	e.kafka = k
	e.onClose(func() { _ = k.Stop() })
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Bootstrap))
	if err != nil {
		return err
	}
	e.admin = kadm.NewClient(cl)
	e.onClose(cl.Close)
	return nil
}

// kafkaConfig connects a stage to the broker; a prefix of its own for each round keeps the rounds apart.
func (e *Env) kafkaConfig(prefix string) stream.Config {
	c := stream.Default()
	c.Brokers, c.TopicPrefix = []string{e.kafka.Bootstrap}, prefix
	return c
}

// topics creates every topic under a prefix, as `topics apply` would, and returns their names.
func (e *Env) topics(ctx context.Context, prefix string) (schemas.Topics, error) {
	t := schemas.Topics{Prefix: prefix}
	for _, s := range append(t.ClusterSpecs(cluster, partitions), t.SharedSpecs(partitions)...) {
		configs := map[string]*string{}
		for k, v := range s.Configs {
			configs[k] = &v
		}
		if _, err := e.admin.CreateTopic(ctx, s.Partitions, 1, configs, s.Name); err != nil {
			return t, fmt.Errorf("creating %s: %w", s.Name, err)
		}
	}
	return t, nil
}

// fill produces records and waits until all are acknowledged.
func (e *Env) fill(ctx context.Context, topic string, records []*kgo.Record) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.kafka.Bootstrap), kgo.ProducerBatchMaxBytes(1<<20), kgo.MaxBufferedRecords(50_000))
	if err != nil {
		return err
	}
	defer cl.Close()
	copies := make([]*kgo.Record, len(records))
	for i, r := range records {
		c := *r
		c.Topic = topic
		copies[i] = &c
	}
	return cl.ProduceSync(ctx, copies...).FirstErr()
}

// untilConsumed runs fn until its group has committed the ends of a topic, and returns how long that took.
func (e *Env) untilConsumed(ctx context.Context, group, topic string, fn func(ctx context.Context) error) (time.Duration, error) {
	ends, err := e.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- fn(ctx) }()
	for {
		commits, err := e.admin.FetchOffsets(ctx, group)
		if err != nil {
			return 0, fmt.Errorf("fetching offsets of %s: %w", group, err)
		}
		left := int64(0)
		ends.Each(func(o kadm.ListedOffset) {
			at := int64(0)
			if c, ok := commits.Lookup(o.Topic, o.Partition); ok {
				at = max(c.At, 0)
			}
			left += o.Offset - at
		})
		if left <= 0 {
			took := time.Since(began)
			cancel()
			return took, <-ended
		}
		select {
		case err := <-ended:
			return 0, fmt.Errorf("ended with %d records left: %w", left, err)
		case <-time.After(25 * time.Millisecond): // more often, it would be work for the broker
		}
	}
}

// forget deletes a group's offsets, so that the next round reads from the start.
func (e *Env) forget(ctx context.Context, group string) error {
	for {
		r, err := e.admin.DeleteGroup(ctx, group)
		if err == nil {
			err = r.Err
		}
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			return nil
		case err == nil || !kerr.IsRetriable(err): // a broker that never had a group is still making room for them
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
