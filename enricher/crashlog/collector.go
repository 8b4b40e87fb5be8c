package crashlog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"kubescribe/internal/redact"
)

const (
	// recent is how long after its end a container's log is fetched because a watch shows the end. A list shows old ones as well.
	recent = 30 * time.Second
	// catchUp is how long Get waits for the watch when a record is ahead of it.
	catchUp = 200 * time.Millisecond
	// late is how long after it was observed a running container's log says nothing about the fact any more.
	late = time.Minute
)

// Collector fetches and remembers logs. It is safe for concurrent use. Everything that it starts ends with the context of New.
type Collector struct {
	ctx      context.Context
	cfg      Config
	api      api
	redactor *redact.Redactor
	now      func() time.Time
	log      *slog.Logger
	metrics  *metrics

	pods     *pods
	budget   *budget
	breakers *breakers
	slots    chan struct{} // one for each request on its way
	ready    func() string

	mu       sync.Mutex
	owns     func(namespace, pod string) bool
	memory   memory
	denied   map[string]time.Time // namespace → until when reading logs is taken as forbidden
	reported bool                 // the missing permission
}

// Options are what New needs beside the configuration.
type Options struct {
	// Ready says why pods may be unknown: Timeout while they are still being listed, Forbidden, Unreachable; "" when all are known.
	Ready   func() string
	Log     *slog.Logger          // nil drops what is logged
	Metrics prometheus.Registerer // may be nil
	Now     func() time.Time      // nil is the wall clock
}

// New sends no request before the first See or Get. rc is copied, and its rate limits are replaced by cfg's budget. cfg must be valid.
func New(ctx context.Context, cfg Config, rc *rest.Config, o Options) (*Collector, error) {
	redactor, err := redact.New(cfg.Redact)
	if err != nil {
		return nil, fmt.Errorf("compiling the patterns of secrets: %w", err)
	}
	client, err := newAPI(rc)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ready == nil {
		o.Ready = func() string { return "" }
	}
	return &Collector{
		ctx: ctx, cfg: cfg, api: client, redactor: redactor, now: o.Now, log: o.Log, metrics: newMetrics(o.Metrics),
		pods: newPods(), budget: newBudget(cfg, o.Now), breakers: newBreakers(cfg.Concurrency, o.Now),
		slots: make(chan struct{}, cfg.Concurrency), ready: o.Ready,
		memory: newMemory(o.Now), denied: map[string]time.Time{},
	}, nil
}

// Own says for which pods a fetch may begin before their records arrive. Before the first call that is none.
func (c *Collector) Own(owns func(namespace, pod string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owns = owns
}

// See takes note of a pod's state, and begins to fetch the logs of containers that have just crashed. It does not block and keeps
// no reference to p.
func (c *Collector) See(p *corev1.Pod) {
	is := newPod(p)
	was := c.pods.put(is)
	for i := range is.containers {
		ctr := &is.containers[i]
		known := was.container(ctr.name)
		if ctr.last.over && !known.knows(ctr.last) {
			c.prefetch(is, ctr.last, is.last(ctr))
		}
		if ctr.current.over && !known.knows(ctr.current) {
			c.prefetch(is, ctr.current, is.current(ctr))
		}
	}
}

// Forget drops a pod that was deleted. What was read of it stays.
func (c *Collector) Forget(uid string) { c.pods.remove(uid) }

func (c *Collector) prefetch(p *pod, i instance, t target) {
	stopped := !p.deleted.IsZero() && !i.ended.Before(p.deleted.Truncate(time.Second))
	if !i.crashed || stopped || c.now().Sub(i.ended) > recent {
		return
	}
	c.mu.Lock()
	owns := c.owns
	c.mu.Unlock()
	if owns != nil && owns(p.namespace, p.name) {
		c.fetchOnce(t)
	}
}

// Get returns the log of each want, in their order. All together wait no longer than Config.Wait and ctx; what is not there by then
// is missing, and goes on being fetched for whoever asks next.
func (c *Collector) Get(ctx context.Context, wants []Want) []Log {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Wait)
	defer cancel()
	logs, captures := make([]Log, len(wants)), make([]*capture, len(wants))
	open := make([]int, len(wants))
	for i := range open {
		open[i] = i
	}
	settle := func() (done bool) {
		still := open[:0]
		for _, i := range open {
			var why string
			if captures[i], why = c.find(wants[i]); why != "" {
				logs[i] = missing(why)
			}
			if captures[i] == nil && (why == Gone && c.now().Sub(wants[i].Seen) < recent || why == Timeout) {
				still = append(still, i)
			}
		}
		open = still
		return len(open) == 0
	}
	if !settle() {
		wait, stop := context.WithTimeout(ctx, catchUp)
		if c.ready() != "" {
			stop()
			wait, stop = context.WithCancel(ctx)
		}
		c.pods.wait(wait.Done(), settle)
		stop()
	}
	for i, capture := range captures {
		if capture == nil {
			continue
		}
		select {
		case <-capture.done:
			logs[i] = capture.log
		default:
			select {
			case <-capture.done:
				logs[i] = capture.log
			case <-ctx.Done():
				logs[i] = missing(Timeout)
			}
		}
	}
	for i := range logs {
		c.metrics.asked(logs[i].Info.Missing)
	}
	return logs
}

// find returns what was or is being fetched for w, or why nothing will be.
func (c *Collector) find(w Want) (*capture, string) {
	if w.ContainerID != "" {
		c.mu.Lock()
		known := c.memory.get(key(w.PodUID, w.Container, w.ContainerID, false))
		c.mu.Unlock()
		if known != nil {
			return known, ""
		}
	}
	p := c.pods.get(w.PodUID)
	if p == nil {
		if why := c.ready(); why != "" {
			return nil, why
		}
		return nil, Gone
	}
	t, why := p.target(w)
	switch {
	case why != "":
		return nil, why
	case t.running && c.now().Sub(w.Seen) > late:
		return nil, Gone
	}
	return c.fetchOnce(t), ""
}
