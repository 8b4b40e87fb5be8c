package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// producer is a running Run.
type producer struct {
	cfg     Config
	cluster schemas.Cluster
	api     *client
	kafka   kafka
	d       stream.Deps
	m       *metrics
	ready   *readiness
	pace    pacing
	// containers is the state source beside the events.
	containers *containers
}

// Run watches the cluster behind rc and writes what it shows into the topics of that name, until ctx ends; then it writes what
// it holds, within 10 s, gives the Lease back and returns nil.
//
// It returns an error only for what no waiting can mend: a wrong configuration, a missing permission (AccessError, before
// anything was written), or topics that belong to another cluster (ClusterMismatchError). Everything else is retried for ever
// while d.Health says why the producer isn't ready. Run blocks; it may be called once for each cluster in a process.
func Run(ctx context.Context, cfg Config, cluster string, k stream.Config, d stream.Deps, rc *rest.Config) error {
	if err := errors.Join(cfg.Validate(), schemas.ValidateClusterName(cluster)); err != nil {
		return err
	}
	d = withDefaults(d)
	api, err := newClient(rc, max(time.Second, cfg.Lease.RenewDeadline/2))
	if err != nil {
		return err
	}
	if api.selected, err = newSelector(cfg.Selection, schemas.SourceEvents, d); err != nil {
		return err
	}
	p := &producer{
		cfg: cfg, cluster: schemas.Cluster{Name: cluster}, api: api, kafka: newKafka(k, d),
		d: d, m: newMetrics(d.Metrics, schemas.SourceEvents), ready: &readiness{to: d.Health}, pace: steady,
	}
	if p.containers, err = newContainers(p); err != nil {
		return err
	}
	return p.run(ctx)
}

func (p *producer) run(ctx context.Context) error {
	p.ready.at("connecting to the API server")
	if err := p.introduce(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	session := p.sources
	if !p.cfg.Lease.Enabled {
		p.m.leader.Set(1)
	} else {
		session = func(ctx context.Context) error {
			p.ready.at("waiting for the Lease")
			return p.lead(ctx, p.sources)
		}
	}
	failures := retry{pacing: p.pace}
	for {
		began := time.Now()
		err := session(ctx)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				p.d.Log.Warn("stopped without writing what was buffered; the next start reads it again", "err", err)
			}
			return nil
		}
		var mismatch *ClusterMismatchError
		if errors.As(err, &mismatch) {
			return err
		}
		why := sessionEnd(err)
		p.m.sessions.WithLabelValues(why).Inc()
		p.ready.at(err.Error())
		p.d.Log.Warn("session ended, starting over", "err", err, "why", why)
		if time.Since(began) > time.Minute {
			failures.reset()
		}
		if !failures.wait(ctx, err) {
			return nil
		}
	}
}

// introduce checks this account's permissions and learns the cluster's UID, before anything is written.
func (p *producer) introduce(ctx context.Context) error {
	failures := retry{pacing: p.pace}
	for {
		err := p.api.checkAccess(ctx, needed(p.cfg))
		if IsAccess(err) {
			return err
		}
		if err == nil {
			if p.cluster.UID, err = p.api.clusterUID(ctx); err == nil {
				return p.cluster.Validate()
			}
		}
		p.m.apiErrors.WithLabelValues(classify(err).String()).Inc()
		p.ready.at(explain(err).Error())
		p.d.Log.Warn("the API server can't be used yet, trying again", "err", err)
		if !failures.wait(ctx, err) {
			return ctx.Err()
		}
	}
}

// sources runs a session of the events, and beside it the state source, until the session ends.
func (p *producer) sources(ctx context.Context) error {
	if !p.cfg.Containers.Enabled {
		return p.session(ctx)
	}
	beside, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.containers.run(beside)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	return p.session(ctx)
}

func (p *producer) session(ctx context.Context) error {
	p.ready.at("opening the writer and reading the checkpoint")
	err := p.runSession(ctx)
	if err == nil {
		err = fmt.Errorf("the session ended: %w", context.Cause(ctx))
	}
	return err
}

// sessionEnd is why a session ended, as a metric's label.
func sessionEnd(err error) string {
	switch {
	case errors.Is(err, errLeadershipLost):
		return "leadership"
	case errors.Is(err, stream.ErrFenced):
		return "fenced"
	case errors.Is(err, stream.ErrUnknownOutcome):
		return "unknown_outcome"
	}
	return "error"
}

func withDefaults(d stream.Deps) stream.Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Health == nil {
		d.Health = noHealth{}
	}
	return d
}

type noHealth struct{}

func (noHealth) Set(string, string) {}
