package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"k8s.io/apimachinery/pkg/types"

	"kubescribe/internal/stream"
	"kubescribe/producer/container"
	"kubescribe/schemas"
)

// ContainersConfig is the source containers: transitions of the containers of pods.
type ContainersConfig struct {
	// Enabled watches pods for containers that end abnormally or cannot start. It needs list and watch on pods.
	Enabled bool `koanf:"enabled"`
	// IgnoreOlderThan passes over ends that lay further back when the source last saw the cluster (at its very first start: when
	// it starts); 0 passes over none.
	IgnoreOlderThan time.Duration `koanf:"ignore_older_than"`
	// WaitingGrace is how long after a pod's creation a container may wait in a bad state before that is a fact; 0: not at all.
	WaitingGrace time.Duration `koanf:"waiting_grace"`
	// OrdinaryWaits are reasons of waiting that are no fact.
	OrdinaryWaits []string `koanf:"ordinary_waits"`
	// BatchKinds are kinds of owners whose containers are meant to end: exit code 0 is no fact. In pods that are not restarted
	// always, and in init containers, it is none anyway.
	BatchKinds []string `koanf:"batch_kinds"`
	// SkipDeleted leaves out what a pod's deletion brings about.
	SkipDeleted bool `koanf:"skip_deleted"`
	// SkipEphemeral leaves out ephemeral containers: the exit code of a debugging shell is that of its last command.
	SkipEphemeral bool `koanf:"skip_ephemeral"`
	// ExcludePods are patterns of pods to leave out, as name or namespace/name; ExcludeContainers of containers. * stands for any
	// text without a slash.
	ExcludePods       []string `koanf:"exclude_pods"`
	ExcludeContainers []string `koanf:"exclude_containers"`
}

func defaultContainers() ContainersConfig {
	return ContainersConfig{
		Enabled: true, IgnoreOlderThan: 24 * time.Hour,
		OrdinaryWaits: []string{"ContainerCreating", "PodInitializing"},
		BatchKinds:    []string{"Job", "PodGroup"},
		SkipDeleted:   true, SkipEphemeral: true,
	}
}

func (c ContainersConfig) problems(check func(ok bool, format string, args ...any)) {
	check(c.IgnoreOlderThan >= 0, "containers.ignore_older_than: %s is negative; use for example 24h, or 0 for no limit", c.IgnoreOlderThan)
	check(c.WaitingGrace >= 0, "containers.waiting_grace: %s is negative; use for example 2m, or 0 for none", c.WaitingGrace)
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"exclude_pods", c.ExcludePods}, {"exclude_containers", c.ExcludeContainers}} {
		for _, p := range list.patterns {
			err := container.CheckPattern(p)
			check(err == nil, "containers.%s: %q is no pattern: %v; use for example istio-*", list.key, p, err)
		}
	}
}

func (c ContainersConfig) options() *container.Options {
	return &container.Options{
		WaitingGrace: c.WaitingGrace, OrdinaryWaits: c.OrdinaryWaits, BatchKinds: c.BatchKinds, SkipDeleted: c.SkipDeleted,
		SkipEphemeral: c.SkipEphemeral, Pods: c.ExcludePods, Containers: c.ExcludeContainers,
	}
}

// containers is the state source of a running Run.
type containers struct {
	*producer
	m        *metrics
	ready    *readiness
	selected *selector
}

func newContainers(p *producer) (*containers, error) {
	selected, err := newSelector(p.cfg.Selection, schemas.SourceContainers, p.d)
	if err != nil {
		return nil, err
	}
	m := newMetrics(p.d.Metrics, schemas.SourceContainers)
	return &containers{producer: p, m: m, ready: &readiness{to: containersHealth{p.d.Health}}, selected: selected}, nil
}

// containersHealth reports the source's health beside that of the events.
type containersHealth struct{ to stream.HealthReporter }

func (h containersHealth) Set(component, reason string) { h.to.Set(component+"-containers", reason) }

// run starts a session over until ctx ends, so that no error of this source ends the other.
func (p *containers) run(ctx context.Context) {
	defer p.ready.at("")
	failures := retry{pacing: p.pace}
	for {
		p.ready.at("opening the writer and reading the state of pods")
		began := time.Now()
		err := p.session(ctx)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				p.d.Log.Warn("stopped without writing what was buffered; the next start reads it again", "source", schemas.SourceContainers, "err", err)
			}
			return
		}
		if err == nil {
			err = errors.New("the session ended")
		}
		why := sessionEnd(err)
		p.m.sessions.WithLabelValues(why).Inc()
		p.ready.at(err.Error())
		p.d.Log.Warn("session ended, starting over", "source", schemas.SourceContainers, "err", err, "why", why)
		if time.Since(began) > time.Minute {
			failures.reset()
		}
		if !failures.wait(ctx, err) {
			return
		}
	}
}

// session opens a writer, which fences the one before, restores what was said about each pod, and produces until ctx ends or
// something fails.
func (p *containers) session(ctx context.Context) error {
	w, err := p.kafka.open(ctx, transactionalID(p.cluster.UID, schemas.SourceContainers))
	if err != nil {
		return fmt.Errorf("opening the writer: %w", err)
	}
	key := schemas.CheckpointKey(schemas.SourceContainers)
	out := newOutput(w, p.cfg.Batch, p.kafka.topics.Checkpoints(p.cluster.Name), key, p.m, p.ready, p.d.Now)
	defer out.close()
	cp, states, err := loadStates(ctx, p.kafka, p.cluster)
	if err != nil {
		return err
	}
	s := &containerSession{
		session: &session{
			cfg: p.cfg, cluster: p.cluster, topics: p.kafka.topics, api: p.api, out: out, d: p.d, m: p.m, ready: p.ready, pace: p.pace,
		},
		options: p.cfg.Containers.options(), selected: p.selected, states: states,
	}
	return s.run(ctx, cp)
}

// loadStates reads the checkpoint of the source, nil when there is none, and what was said about each pod. The writer must be open
// already.
func loadStates(ctx context.Context, k kafka, cluster schemas.Cluster) (*schemas.Checkpoint, map[types.UID]*schemas.ObjectState, error) {
	topic := k.topics.Checkpoints(cluster.Name)
	var cp *schemas.Checkpoint
	states := map[types.UID]*schemas.ObjectState{}
	own, prefix := schemas.CheckpointKey(schemas.SourceContainers), schemas.ObjectStateKey(schemas.SourceContainers, "")
	err := k.table(ctx, topic, 0, func(r *kgo.Record) (err error) {
		var of string
		if string(r.Key) == own && r.Value != nil {
			if cp, err = schemas.DecodeCheckpoint(r.Value); err == nil {
				of = cp.ClusterUID
			}
		} else if uid, ok := strings.CutPrefix(string(r.Key), prefix); ok {
			if r.Value == nil {
				delete(states, types.UID(uid))
				return nil
			}
			var state *schemas.ObjectState
			if state, err = schemas.DecodeObjectState(r.Value); err == nil {
				states[types.UID(uid)], of = state, state.ClusterUID
			}
		} else {
			return nil
		}
		if err != nil {
			return fmt.Errorf("offset %d: %w", r.Offset, err)
		}
		if of != cluster.UID {
			return &ClusterMismatchError{Topic: topic, Want: cluster.UID, Got: of}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the state of containers in %s: %w", topic, err)
	}
	return cp, states, nil
}
