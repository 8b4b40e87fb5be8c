package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubescribe/producer"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

const (
	producerRecords = 100_000
	producerLive    = 200_000 // live Events while memory and latency are measured
	producerPods    = 20_000
	producerRate    = 300 // writes a second while latency is measured
	producerWrites  = 4_000
)

var producerStage = Stage{
	Name:    "producer",
	Ceiling: "a bare client-go protobuf watch that only decodes the same stored Events",
	Unit:    "events/s",
	Bound:   0.7,
	Limits: map[string]float64{
		"latency_p50_ms": 100, "latency_p99_ms": 500, "rss_events_mib": 128, "rss_pods_mib": 256,
	},
	Measure: measureProducer,
}

// measureProducer drains what an API server has stored into Kafka, once as a new producer, which lists, and once as one that comes
// back to its checkpoint, which watches; each against a bare watch from there. Then it measures a process of the real binary.
func measureProducer(ctx context.Context, e *Env) (Measured, error) {
	if err := e.startKafka(ctx); err != nil {
		return Measured{}, err
	}
	k, rc, err := e.startKubernetes(ctx)
	if err != nil {
		return Measured{}, err
	}
	for _, c := range []string{"kwok", "kube-scheduler", "kube-controller-manager"} { // what they do has no part in this
		if err := k.Kill(c); err != nil {
			return Measured{}, err
		}
	}
	p := &producerBench{Env: e, k: k, rc: rc}
	if p.sample, err = p.writeOne(ctx, "sample"); err != nil {
		return Measured{}, err
	}
	m := Measured{Records: producerRecords, Detail: map[string]any{}}
	if err := p.drains(ctx, &m); err != nil {
		return m, err
	}
	return m, p.process(ctx, &m)
}

// drains measures the way of stored revisions into Kafka.
func (p *producerBench) drains(ctx context.Context, m *Measured) error {
	const rounds = 2
	start, err := p.resourceVersion(ctx)
	if err != nil {
		return err
	}
	for i := range rounds {
		if err := p.checkpointNow(ctx, fmt.Sprintf("resume%d.", i)); err != nil {
			return err
		}
	}
	if err := p.store(ctx, 0, producerRecords); err != nil {
		return err
	}
	var bare, list, bareResume, resume float64
	for i := range rounds {
		for _, step := range []struct {
			what string
			best *float64
			run  func() (time.Duration, error)
		}{
			{"bare watch", &bare, func() (time.Duration, error) { return bareWatch(ctx, p.rc, "", producerRecords) }},
			{"new producer", &list, func() (time.Duration, error) {
				prefix := fmt.Sprintf("new%d.", i)
				if _, err := p.topics(ctx, prefix); err != nil {
					return 0, err
				}
				return p.drain(ctx, prefix, producerRecords)
			}},
			{"bare watch of revisions", &bareResume, func() (time.Duration, error) { return bareWatch(ctx, p.rc, start, producerRecords) }},
			{"resuming producer", &resume, func() (time.Duration, error) { return p.drain(ctx, fmt.Sprintf("resume%d.", i), producerRecords) }},
		} {
			took, err := step.run()
			if err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
			rate := producerRecords / took.Seconds()
			p.logf("%s: %.0f/s", step.what, rate)
			*step.best = max(*step.best, rate)
		}
	}
	// The lower ratio of the two ways counts.
	m.Stage, m.Ceiling = list, bare
	other := map[string]any{"value": round(resume), "ceiling": round(bareResume), "ratio": float64(int(resume/bareResume*1000)) / 1000}
	m.Detail["way"], m.Detail["resuming"] = "a new producer", other
	if resume/bareResume < list/bare {
		m.Stage, m.Ceiling = resume, bareResume
		delete(m.Detail, "resuming")
		m.Detail["way"] = "a resuming producer"
		m.Detail["new"] = map[string]any{"value": round(list), "ceiling": round(bare), "ratio": float64(int(list/bare*1000)) / 1000}
	}
	return nil
}

func (e *Env) startKubernetes(ctx context.Context) (*stack.Kubernetes, *rest.Config, error) {
	if err := stack.Prepare(ctx, stack.PartKubernetes); err != nil {
		return nil, nil, err
	}
	k, err := stack.StartKubernetes(ctx, e.path("kubernetes"), stack.WithNodes(1))
	if err != nil {
		return nil, nil, err
	}
	e.onClose(func() { _ = k.Stop() })
	rc, err := k.Config()
	return k, rc, err
}

// protobuf is rc with the wire format that the ceiling and the stage share.
func protobuf(rc *rest.Config) (*kubernetes.Clientset, error) {
	c := rest.CopyConfig(rc)
	c.ContentType, c.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	return kubernetes.NewForConfig(c)
}

// drain runs a producer until the topic holds n records, read committed.
func (p *producerBench) drain(ctx context.Context, prefix string, n int) (time.Duration, error) {
	t := schemas.Topics{Prefix: prefix}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cfg := producer.Default()
	cfg.Lease.Enabled = false
	// The rounds are one producer each: the one before has stopped, and its transactional id is theirs too.
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- producer.Run(ctx, cfg, cluster, p.kafkaConfig(prefix), p.deps(), p.rc) }()
	const settled = 500 * time.Millisecond
	held, grew := int64(0), began
	for {
		ends, err := p.admin.ListCommittedOffsets(ctx, t.Events(cluster))
		if err != nil {
			return 0, err
		}
		now := int64(0)
		ends.Each(func(o kadm.ListedOffset) { now += o.Offset })
		if now != held {
			held, grew = now, time.Now()
		}
		// The markers of transactions count as offsets too, so the drain ends when nothing more comes, not at n.
		if held >= int64(n) && time.Since(grew) > settled {
			cancel()
			return grew.Sub(began), <-ended
		}
		select {
		case err := <-ended:
			return 0, fmt.Errorf("the producer ended at %d of %d records: %w", held, n, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
