package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace/noop"
)

// RunConsumer reads as a member of a group and gives each partition's records, in order, to h. It blocks until ctx is done (then
// it stops polling, lets the batches in hand finish within ShutdownTimeout, commits, leaves the group and returns nil) or until
// the configuration turns out to be wrong: credentials, an ACL, a missing topic. A broker outage is neither; the loop waits for
// its end.
//
// Delivery is at least once: what was handled but not committed when the process died comes again. A dead letter may then come
// twice too; its headers name topic, partition and offset, which makes the repeat recognisable.
//
// While a handler is slow, fetching of its partition pauses; others go on. See ConsumerOptions for the memory bound.
func RunConsumer(ctx context.Context, cfg Config, d Deps, o ConsumerOptions, h Handler) error {
	return runConsumer(ctx, cfg, d, o, h, func(*consumer) {})
}

func runConsumer(ctx context.Context, cfg Config, d Deps, o ConsumerOptions, h Handler, made func(*consumer)) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	d, o.Group = d.withDefaults(), cfg.Scoped(o.Group)
	// What this loop consumes is passed on to nobody: without an exporter its spans are a tenth of an indexer's work for nothing.
	if _, off := d.Tracer.(noop.TracerProvider); off {
		d.Tracer = nil
	}
	if err := awaitTopics(ctx, cfg, d, o.Group, o.Topics); err != nil || ctx.Err() != nil {
		return err
	}
	c := &consumer{
		o: o, d: d, handler: h,
		m:        newMetrics(d.Metrics),
		health:   newHealth("stream/"+o.Group, d.Health),
		link:     newLink(),
		sight:    newSight(),
		parts:    map[topicPartition]*part{},
		slots:    make(chan struct{}, o.Concurrency),
		stopping: make(chan struct{}),
	}
	c.commits = newCommitter(c)
	// Handlers outlive ctx: a shutdown lets them finish.
	c.work, c.abandon = context.WithCancel(context.WithoutCancel(ctx))
	defer c.abandon()
	opts, err := options(cfg, d, o.Group)
	if err != nil {
		return err
	}
	opts = append(opts, subscribe(o.Group, o.InstanceID, o.Topics, o.TopicPattern)...)
	opts = append(
		opts,
		kgo.DisableAutoCommit(),
		kgo.FetchMaxPartitionBytes(int32(o.MaxFetchBytes)), //nolint:gosec // a few MiB
		// Between a poll and its dispatch no partition may change hands: a stale batch would be committed over a gap.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			c.sight.saw(m)
			c.assigned(m)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.gone(m, true) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.gone(m, false) }),
		kgo.WithHooks(c.link),
	)
	if c.cl, err = kgo.NewClient(append(opts, d.opts...)...); err != nil {
		return &configError{fmt.Sprintf("opening a consumer of group %s: %v", o.Group, err)}
	}
	made(c)
	go c.commits.run()
	go c.link.report(c.health, c.stopping)
	if o.TopicPattern != "" {
		go c.sight.report(c.cl, c.health, c.stopping)
	}
	err = c.poll(ctx)
	c.shutdown()
	return err
}

// consumer is one run of RunConsumer.
type consumer struct {
	o       ConsumerOptions
	d       Deps
	handler Handler
	cl      *kgo.Client
	m       *metrics
	health  *health
	link    *link
	sight   *sight
	commits *committer

	work     context.Context
	abandon  context.CancelFunc
	stopping chan struct{}
	slots    chan struct{}

	mu       sync.Mutex
	parts    map[topicPartition]*part
	buffered int
}

type topicPartition struct {
	topic     string
	partition int32
}

func (tp topicPartition) String() string { return fmt.Sprintf("%s/%d", tp.topic, tp.partition) }

func (tp topicPartition) asMap() map[string][]int32 {
	return map[string][]int32{tp.topic: {tp.partition}}
}

func (c *consumer) poll(ctx context.Context) error {
	var patience patience
	for ctx.Err() == nil {
		pollCtx, cancel := context.WithTimeout(ctx, time.Second)
		fetches := c.cl.PollFetches(pollCtx)
		cancel()
		err := firstError(fetches)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				c.dispatch(topicPartition{p.Topic, p.Partition}, p.Records)
			}
		})
		c.cl.AllowRebalance()
		c.health.set("poll", text(err))
		if ctx.Err() == nil && patience.over(err, fetches.NumRecords() > 0) {
			return fmt.Errorf("consuming as group %s: %w", c.o.Group, explain("", err))
		}
	}
	return nil
}

// dispatch hands fetched records to their partition's worker. It never blocks: rebalances wait for it.
func (c *consumer) dispatch(tp topicPartition, records []*kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[tp]
	if p == nil {
		return
	}
	bytes := 0
	for _, r := range records {
		bytes += recordBytes(r)
	}
	p.queue = append(p.queue, records...)
	p.bytes += bytes
	c.addBuffered(bytes)
	// A pause throws away the partition's fetch in flight, so it should not come with every fetch.
	full := p.bytes >= 2*c.o.MaxBatchBytes || len(p.queue) >= 4*c.o.MaxBatchRecords || c.buffered >= c.o.MaxBufferedBytes
	if full && !p.paused {
		p.paused = true
		c.cl.PauseFetchPartitions(tp.asMap())
	}
	p.wake()
}

func (c *consumer) addBuffered(n int) {
	c.buffered += n
	c.m.buffered.WithLabelValues(c.o.Group).Set(float64(c.buffered))
}

func (c *consumer) assigned(m map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range m {
		for _, n := range partitions {
			p := newPart(c, topicPartition{topic, n})
			c.parts[p.tp] = p
			go p.run()
		}
	}
}

// revokeGrace is how long a revoke waits for handlers that were told to stop. The group's rebalance timeout is a minute.
const revokeGrace = 15 * time.Second

// gone ends the workers of partitions that go to somebody else. With commit, what they finished is committed first; a lost
// partition has a new owner already, and a commit would only be refused.
func (c *consumer) gone(m map[string][]int32, commit bool) {
	c.mu.Lock()
	var parts []*part
	for topic, partitions := range m {
		for _, n := range partitions {
			if p := c.parts[topicPartition{topic, n}]; p != nil {
				parts = append(parts, p)
				delete(c.parts, p.tp)
				p.cancel()
			}
		}
	}
	c.mu.Unlock()
	grace := time.NewTimer(revokeGrace)
	defer grace.Stop()
	for _, p := range parts {
		select {
		case <-p.ended:
		case <-grace.C:
			grace.Reset(0)
			c.d.Log.Warn("handler does not stop at a revoke; its batch is dropped", "group", c.o.Group, "topic", p.tp.topic, "partition", p.tp.partition)
		}
	}
	if commit {
		ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
		defer cancel()
		if err := c.commits.flush(ctx); err != nil {
			c.d.Log.Warn("committing at a revoke failed; records come again", "group", c.o.Group, "err", err)
		}
	}
	for _, p := range parts {
		c.commits.forget(p)
		c.drop(p)
		c.cl.ResumeFetchPartitions(p.tp.asMap())
	}
}

// drop releases what a partition that is gone still held.
func (c *consumer) drop(p *part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addBuffered(-p.bytes)
	p.queue, p.bytes = nil, 0
	c.health.set(p.tp.String(), "")
	c.m.stopped.DeleteLabelValues(c.o.Group, p.tp.topic, fmt.Sprint(p.tp.partition))
}

// shutdown lets the batches in hand finish, commits and leaves. It is bounded by ShutdownTimeout and some seconds.
func (c *consumer) shutdown() {
	close(c.stopping)
	c.mu.Lock()
	parts := make([]*part, 0, len(c.parts))
	for _, p := range c.parts {
		parts = append(parts, p)
	}
	c.mu.Unlock()
	timeout := time.AfterFunc(c.o.ShutdownTimeout, c.abandon)
	defer timeout.Stop()
	giveUp := time.NewTimer(c.o.ShutdownTimeout + time.Second)
	defer giveUp.Stop()
	for _, p := range parts {
		select {
		case <-p.ended:
		case <-giveUp.C:
			giveUp.Reset(0)
			c.d.Log.Warn("handler does not stop at shutdown; its batch is dropped", "group", c.o.Group, "topic", p.tp.topic, "partition", p.tp.partition)
		}
	}
	c.commits.stop()
	ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
	defer cancel()
	if err := c.commits.flush(ctx); err != nil {
		c.d.Log.Warn("committing at shutdown failed; records come again", "group", c.o.Group, "err", err)
	}
	quit(c.cl)
}

// quit leaves the group and closes the client, in a bounded time even when no broker answers.
func quit(cl *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
	defer cancel()
	cl.AllowRebalance()
	_ = cl.LeaveGroupContext(ctx)
	closed := make(chan struct{})
	go func() { defer close(closed); cl.CloseAllowingRebalance() }()
	select {
	case <-closed:
	case <-time.After(quitTimeout):
	}
}

// firstError is the first error of a poll that isn't the poll's own timeout.
func firstError(fetches kgo.Fetches) error {
	var first error
	fetches.EachError(func(topic string, partition int32, err error) {
		if first != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		first = err
		if topic != "" {
			first = fmt.Errorf("topic %s partition %d: %w", topic, partition, err)
		}
	})
	return first
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// fatalPatience is how long an error that only a person can mend must last before it ends a loop: brokers that are starting may
// answer so for a moment. Errors further apart than fatalGap are not one that lasts.
const (
	fatalPatience = 20 * time.Second
	fatalGap      = 45 * time.Second
)

type patience struct{ since, last time.Time }

// over takes note of an error and says whether it has lasted too long.
func (p *patience) over(err error, progress bool) bool {
	switch {
	case err == nil && progress:
		*p = patience{}
		return false
	case err == nil:
		return false
	case classify(err) != fatal && classify(err) != fenced:
		return false
	}
	now := time.Now()
	if now.Sub(p.last) > fatalGap {
		p.since = now
	}
	p.last = now
	return now.Sub(p.since) >= fatalPatience
}
