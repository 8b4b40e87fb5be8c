package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"kubescribe/alerter"
	"kubescribe/enricher"
	"kubescribe/explorer"
	"kubescribe/indexer"
	"kubescribe/internal/daemon"
	"kubescribe/internal/embedded"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/producer"
)

// local is one run of the command.
type local struct {
	con      console
	o        localOptions
	c        *config
	began    time.Time
	db       string // the store's file
	registry *prometheus.Registry
	health   *daemon.Health
	log      *slog.Logger
	stages   stages
	rules    string // their folder; "" for none
	played   producer.ReplaySummary
	shown    bool // the summary is printed
}

// runLocal runs local until it is through, with --once, or until ctx ends, and prints the summary.
func runLocal(ctx context.Context, con console, o localOptions, c *config) (err error) {
	dir, err := o.dir()
	if err != nil {
		return err
	}
	release, err := embedded.LockDir(dir)
	switch {
	case errors.Is(err, embedded.ErrLocked):
		return &daemon.UsageError{Err: fmt.Errorf("%w: stop it, or name another directory with --data-dir", err)}
	case err != nil:
		return err
	}
	defer release()
	l := &local{
		con: con, o: o, c: c, began: time.Now(), db: filepath.Join(dir, "documents.sqlite"),
		registry: prometheus.NewRegistry(), health: &daemon.Health{}, log: daemon.NewLogger(con.err, c.Log),
	}
	if l.rules, err = o.ruleFolder(c, dir); err != nil {
		return err
	}
	if err := c.checkRules(l.rules); err != nil {
		return err
	}
	broker, err := embedded.Start(filepath.Join(dir, "kafka"), l.log)
	if err != nil {
		return err
	}
	defer broker.Close()
	fmt.Fprintf(con.err, "kubescribe: Kafka at %s, data in %s\n", broker.Addr(), dir)
	c.Kafka = stream.Default()
	c.Kafka.Brokers = []string{broker.Addr()}
	if _, err := stream.ApplyTopics(ctx, c.Kafka, l.deps("topics"), localSpecs(c), false); err != nil {
		return err
	}
	return l.run(ctx)
}

// run starts the services, lets them work, stops them in order and counts.
func (l *local) run(ctx context.Context) error {
	st, err := store.OpenSQLite(ctx, l.db)
	if err != nil {
		return err
	}
	// The services outlive the signal: they are stopped one after the other.
	l.stages = newStages(context.WithoutCancel(ctx))
	if err := l.startServices(ctx, st); err != nil {
		return errors.Join(err, l.stages.stop(l.c.ShutdownTimeout), st.Close())
	}
	progress := l.startProgress()
	err = l.work(ctx)
	err = errors.Join(err, l.stages.stop(l.c.ShutdownTimeout))
	progress.stop()
	if err = errors.Join(err, st.Close()); err != nil {
		return err
	}
	return l.summarize(context.WithoutCancel(ctx))
}

// deps are the dependencies of one service. Its metrics are marked with its name, because several services of one kind
// of loop live here.
func (l *local) deps(name string) stream.Deps {
	return stream.Deps{
		Log: l.log.With("service", name), Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"service": name}, l.registry),
		Tracer: noop.NewTracerProvider(), Now: time.Now, Health: l.health,
	}
}

// startServices starts everything but what begins the stream, in the order in which stages.stop will stop it.
func (l *local) startServices(ctx context.Context, st *store.SQLite) error {
	start := func(name string, run func(context.Context, stream.Deps) error) {
		l.stages.start(name, func(ctx context.Context) error { return run(ctx, l.deps(name)) })
	}
	watching := len(l.o.replay) == 0
	if watching { // a recording is kept whatever its age
		st.Retain(l.c.SQLite)
	}
	var objects func(context.Context, stream.Deps) (enricher.Objects, error)
	if watching {
		rc, err := l.c.Kubernetes.rest()
		if err != nil {
			return err
		}
		start("producer", func(ctx context.Context, d stream.Deps) error {
			return producer.Run(ctx, l.c.Producer, l.c.Cluster, l.c.Kafka, d, rc)
		})
		objects = func(ctx context.Context, d stream.Deps) (enricher.Objects, error) {
			return enricher.NewObjects(ctx, l.c.Enricher, rc, d)
		}
	} else {
		objects = func(context.Context, stream.Deps) (enricher.Objects, error) { return enricher.Recorded{}, nil }
	}
	start("enricher", func(ctx context.Context, d stream.Deps) error {
		o, err := objects(ctx, d)
		if err != nil {
			return err
		}
		return enricher.Run(ctx, l.c.Enricher, l.c.Cluster, l.c.Kafka, d, o)
	})
	if l.rules != "" {
		for _, step := range alertSteps {
			cfg := l.c.Alerter
			cfg.Rules = l.rules
			cfg.Match, cfg.Decide, cfg.Notify = step.match, step.decide, step.notify
			start(step.name, func(ctx context.Context, d stream.Deps) error { return alerter.Run(ctx, cfg, l.c.Kafka, d) })
		}
	}
	start("indexer", func(ctx context.Context, d stream.Deps) error {
		return indexer.Run(ctx, l.c.Indexer, l.c.Kafka, d, st)
	})
	start("trimmer", l.trim)
	start("retention", func(ctx context.Context, d stream.Deps) error { st.RunTrim(ctx, d.Log, d.Now); return nil })
	return l.startExplorer(ctx, st)
}

// alertSteps are the alerter's, so that they stop in order.
var alertSteps = []struct {
	name                  string
	match, decide, notify bool
}{
	{"matcher", true, false, false},
	{"decider", false, true, false},
	{"notifier", false, false, true},
}

// startExplorer starts the API and says where it is.
func (l *local) startExplorer(ctx context.Context, st store.Store) error {
	cfg := l.c.Explorer
	if l.o.listen == "" && !l.o.once && !free(cfg.Listen) {
		fmt.Fprintf(l.con.err, "kubescribe: something listens on %s already, taking a free port\n", cfg.Listen)
		cfg.Listen = "127.0.0.1:0"
	}
	addr := make(chan string, 1)
	cfg.Ready = func(a string) { addr <- a }
	l.stages.start("explorer", func(ctx context.Context) error { return explorer.Run(ctx, cfg, l.deps("explorer"), st) })
	select {
	case a := <-addr:
		fmt.Fprintf(l.con.err, "kubescribe: search at http://%s/\n", a)
		return nil
	case err := <-l.stages.failed:
		if strings.Contains(err.Error(), "listening on") {
			return &daemon.UsageError{Err: err}
		}
		return err
	case <-ctx.Done():
		return nil
	}
}

func free(addr string) bool {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// work plays the recordings and waits until they are through; without --once, or without recordings, until ctx ends.
func (l *local) work(ctx context.Context) error {
	if len(l.o.replay) == 0 {
		return l.stages.wait(ctx)
	}
	err := l.play(ctx)
	if err == nil {
		err = l.through(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return nil // told to stop, which is no failure: what is not done is done by the next run
	case err != nil:
		return err
	case l.o.once:
		return nil
	case !l.o.format.json():
		if err := l.summarize(ctx); err != nil {
			return err
		}
		fmt.Fprintln(l.con.err, "kubescribe: all is through; stop with Ctrl-C")
	}
	return l.stages.wait(ctx)
}

// play writes the recordings to Kafka.
func (l *local) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		l.played, err = producer.Replay(ctx, l.c.Producer, l.c.Cluster, l.c.Kafka, l.deps("producer"), l.o.recordings(l.con),
			producer.ReplayOptions{Pace: l.o.pace, SkipBad: l.o.skipBad, ClusterUID: l.o.clusterUID})
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case failed := <-l.stages.failed:
		cancel()
		return errors.Join(failed, ignoreCanceled(<-done))
	}
	var bad *producer.BadLineError
	if errors.As(err, &bad) {
		return &daemon.UsageError{Err: bad}
	}
	return err
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
