package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"kubescribe/alerter"
	"kubescribe/alerter/receiver"
	"kubescribe/enricher"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

const (
	latencyPages = 300
	latencyEvery = 40 * time.Millisecond
)

const latencyRules = `
groups:
- name: latency
  rules:
  - alert: Latency
    expr: reason == "BackOff"
    group_by: [name]
    dedup: 1h
    storm: none
    annotations: {summary: "{{ .Object }}"}
`

// hook notes when the page about each pod came.
type hook struct {
	mu  sync.Mutex
	at  map[string]time.Time
	all chan struct{}
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var a schemas.Alert
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.at[a.Labels["name"]]; !known {
		h.at[a.Labels["name"]] = now
	}
	if len(h.at) == latencyPages+1 { // one more: the first, which waits for the services' start
		close(h.all)
		h.all = nil
	}
}

// pageLatency is how long it takes from an event on its topic, through enricher, matcher, decider and notifier, to the webhook.
func (e *Env) pageLatency(ctx context.Context) (p50, p99 time.Duration, err error) {
	const prefix = "latency."
	t, err := e.topics(ctx, prefix)
	if err != nil {
		return 0, 0, err
	}
	dir, err := e.rules("rules-latency", latencyRules)
	if err != nil {
		return 0, 0, err
	}
	h := &hook{at: map[string]time.Time{}, all: make(chan struct{})}
	all := h.all
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	server := &http.Server{Handler: h} //nolint:gosec // loopback, for a benchmark
	go func() { _ = server.Serve(l) }()
	defer server.Close()

	cfg := alerter.Default()
	cfg.Rules, cfg.Instance, cfg.DefaultReceivers = dir, "latency", []string{"hook"}
	cfg.Receivers = []receiver.Config{{Name: "hook", Type: "webhook", URL: stream.Secret("http://" + l.Addr().String())}}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	services, ctx := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(ctx)
	services.Go(func() error { return alerter.Run(running, cfg, e.kafkaConfig(prefix), e.deps()) })
	services.Go(func() error {
		return enricher.Run(running, enricher.Default(), cluster, e.kafkaConfig(prefix), e.deps(), enricher.Recorded{})
	})
	sent, err := e.sendSlowly(ctx, t.Events(cluster), h)
	if err == nil {
		select {
		case <-all:
		case <-ctx.Done():
			h.mu.Lock()
			err = fmt.Errorf("%d of %d pages came: %w", len(h.at), latencyPages, ctx.Err())
			h.mu.Unlock()
		}
	}
	stop()
	if ended := services.Wait(); err == nil {
		err = ended
	}
	if err != nil {
		return 0, 0, err
	}
	took := make([]time.Duration, 0, latencyPages)
	for pod, at := range sent {
		took = append(took, h.at[pod].Sub(at))
	}
	slices.Sort(took)
	p50, p99 = took[len(took)/2], took[len(took)*99/100]
	e.logf("%d pages: p50 %s, p99 %s, slowest %s", len(took), p50, p99, took[len(took)-1])
	return p50, p99, nil
}

// sendSlowly produces one crash of a pod after the other and returns when each was acknowledged by Kafka, except for that of the
// first, whose page it waits for: from then on everything runs.
func (e *Env) sendSlowly(ctx context.Context, topic string, h *hook) (map[string]time.Time, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.kafka.Bootstrap))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	sent := map[string]time.Time{}
	tick := time.NewTicker(latencyEvery)
	defer tick.Stop()
	for i := range latencyPages + 1 {
		pod := fmt.Sprintf("pod-%d", i)
		r, err := crash(pod, i)
		if err != nil {
			return nil, err
		}
		r.Topic = topic
		began := time.Now()
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			return nil, err
		}
		if i > 0 {
			sent[pod] = began
		}
		for waiting := true; waiting; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil, fmt.Errorf("the first page did not come: %w", ctx.Err())
			}
			h.mu.Lock()
			waiting = i == 0 && len(h.at) == 0
			h.mu.Unlock()
		}
	}
	return sent, nil
}

// crash is an event as the producer writes it.
func crash(pod string, n int) (*kgo.Record, error) {
	now := time.Now().UTC()
	c := schemas.Cluster{Name: cluster, UID: schemas.RecordingClusterUID(cluster)}
	o := schemas.Observation{
		ID: schemas.EventID(c.UID, 0, "latency-"+pod, fmt.Sprint(n)), Type: schemas.TypeEvent, Cluster: c, Source: schemas.SourceEvents,
		Subject: schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: pod, UID: pod},
		Payload: fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Event","metadata":{"name":"%s.1","namespace":"shop","uid":"latency-%s","resourceVersion":"%d"},
			"involvedObject":{"apiVersion":"v1","kind":"Pod","namespace":"shop","name":"%s","uid":"%s"},"reason":"BackOff","type":"Warning","count":1,
			"message":"Back-off restarting failed container main","source":{"component":"kubelet","host":"node-1"},"lastTimestamp":"%s"}`,
			pod, pod, n, pod, pod, now.Format(time.RFC3339)),
	}
	o.SetTime(now, now)
	value, err := json.Marshal(&o)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{Key: []byte(o.Subject.Key()), Value: value, Headers: kgoHeaders(o.Event().Headers())}, nil
}

func ms(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }
