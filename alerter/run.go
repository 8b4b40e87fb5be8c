package alerter

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"kubescribe/alerter/rule"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// The consumer groups of the three steps.
const (
	MatchGroup  = "kubescribe-matcher"
	DecideGroup = "kubescribe-decider"
	NotifyGroup = "kubescribe-notifier"
)

// Check reads the rule files below fsys and reports every problem. receivers are the names that rules may notify; nil allows
// every name. It is what Run does at its start.
func Check(fsys fs.FS, receivers []string) rule.Report {
	_, report := rule.Load(fsys, rule.Options{Receivers: receivers})
	return report
}

// Run runs the steps that cfg switches on until ctx ends, and then returns nil once the work in hand is committed or dropped.
// It fails at once, with nothing started, when the rules are broken, and later only for what a person has to change. Any number
// of Runs share the work by partitions.
func Run(ctx context.Context, cfg Config, k stream.Config, d stream.Deps) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	a := &alerter{cfg: cfg, kafka: k, deps: withDefaults(d), topics: schemas.Topics{Prefix: k.TopicPrefix}}
	a.metrics = newMetrics(a.deps.Metrics)
	var rules *folder
	if cfg.Match {
		var err error
		if rules, err = openFolder(cfg, a.deps, a.metrics); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	if cfg.Match {
		group.Go(func() error { return rules.watch(ctx) })
		group.Go(func() error { return a.match(ctx, rules) })
	}
	if cfg.Decide {
		group.Go(func() error { return a.decide(ctx) })
	}
	if cfg.Notify {
		group.Go(func() error { return a.notify(ctx) })
	}
	return group.Wait()
}

// alerter is one Run.
type alerter struct {
	cfg     Config
	kafka   stream.Config
	deps    stream.Deps
	topics  schemas.Topics
	metrics *metrics
}

func withDefaults(d stream.Deps) stream.Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// transactionalID is empty, which means a random one, for a replica without a stable name.
func (a *alerter) transactionalID(group string) string {
	if a.cfg.Instance == "" {
		return ""
	}
	return group + "-" + a.cfg.Instance
}

func (a *alerter) deadLetter(r *kgo.Record) string {
	return a.topics.DeadLetter(a.topics.ClusterOf(r.Topic))
}

// record is a record of the shared topics. from is the record that it follows from; its trace goes on. from may be nil.
func record(topic, key string, value []byte, e schemas.CloudEvent, from *kgo.Record) *kgo.Record {
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: value}
	for _, h := range e.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	if from != nil {
		r.Context = from.Context
	}
	return r
}

// event is the CloudEvent of what came of a rule.
func event(kind, id, cluster, rule string, at time.Time) schemas.CloudEvent {
	return schemas.CloudEvent{ID: id, Source: fmt.Sprintf("/clusters/%s/rules/%s", cluster, rule), Type: "kubescribe." + kind, Time: at}
}
