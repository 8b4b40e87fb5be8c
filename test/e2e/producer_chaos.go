package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"kubescribe/test/stack"
)

// What the chaos is made of, and the bounds that the producer promises.
const (
	chaosRevisions = 20_000
	chaosRate      = 300 // revisions a second
	chaosKills     = 10
	chaosTTL       = 45 * time.Second // of Events, so that they expire during the run
	chaosPause     = 12 * time.Second // of the leader; its Lease lasts 8 s
	chaosFailover  = 15 * time.Second
	chaosLostShare = 0.05 // of the revisions may be superseded inside a gap
)

var producerChaos = Case{
	Name:  "producer-chaos",
	About: "every revision is in the topic once while producers, brokers and API server are killed, etcd is compacted and the leader is paused",
	Alone: true,
	Run:   runChaos,
}

// chaos is the state of one run of the case.
type chaos struct {
	*watched
	storm       *storm
	start       uint64 // the committed resourceVersion before the storm
	kills       int
	compactions int
	failover    time.Duration // the longest
}

func runChaos(ctx context.Context, env *Env) (Figures, error) {
	w, err := startWatched(ctx, env, 3, stack.WithEventTTL(chaosTTL))
	if err != nil {
		return nil, err
	}
	err = w.configureProducer(ctx, fmt.Sprintf("{event_ttl: %s, lease: {namespace: default}}", chaosTTL))
	if err != nil {
		return nil, err
	}
	if err := w.startProducers(ctx, 2); err != nil {
		return nil, err
	}
	c := &chaos{watched: w, storm: &storm{client: w.client, rate: chaosRate}}
	if _, err := c.leader(ctx, nil); err != nil {
		return nil, err
	}
	if _, err := c.reached(ctx, c.ref.newest()); err != nil {
		return nil, err
	}
	if c.start, err = c.checkpoint(ctx, c.topics); err != nil {
		return nil, err
	}
	if err := c.drive(ctx); err != nil {
		return nil, err
	}
	return c.check(ctx)
}

// drive writes the revisions in as many parts as there are blows, and deals each blow in the middle of its part.
func (c *chaos) drive(ctx context.Context) error {
	kill, compact := c.killLeader, c.killAndCompact
	blows := []struct {
		name string
		deal func(context.Context) error
	}{
		{"kill", kill},
		{"kafka 1", c.killBroker(0)},
		{"kill", kill},
		{"kill and compact", compact},
		{"api server", c.killAPIServer},
		{"kill", kill},
		{"kill", kill},
		{"pause", c.pauseLeader},
		{"kill", kill},
		{"kafka 2", c.killBroker(1)},
		{"kill and compact", compact},
		{"kill", kill},
		{"api server", c.killAPIServer},
		{"kill", kill},
		{"kill", kill},
	}
	part := chaosRevisions/len(blows) + 1
	for i, blow := range blows {
		c.logf("%d of %d: %s", i+1, len(blows), blow.name)
		written := make(chan error, 1)
		go func() { written <- c.storm.write(ctx, part) }()
		err := pause(ctx, time.Second)
		if err == nil {
			err = blow.deal(ctx)
		}
		if err := errors.Join(err, <-written); err != nil {
			return fmt.Errorf("%s: %w", blow.name, err)
		}
		if _, err := c.reached(ctx, c.storm.newest.Load()); err != nil {
			return fmt.Errorf("after %s: %w", blow.name, err)
		}
	}
	c.logf("%d revisions written, %d of them count bumps", c.storm.written.Load(), c.storm.bumps.Load())
	return nil
}

// killLeader kills the leading producer with work in flight, and waits until what was written by then is committed.
func (c *chaos) killLeader(ctx context.Context) error { return c.failOver(ctx, nil) }

// killAndCompact is the same, with everything forgotten by etcd while nobody watches: the next watch gets a real 410.
func (c *chaos) killAndCompact(ctx context.Context) error {
	return c.failOver(ctx, func(ctx context.Context) error {
		if err := pause(ctx, time.Second); err != nil { // so that revisions are superseded
			return err
		}
		at, err := stack.CompactEtcd(ctx, c.kube.EtcdEndpoint)
		c.compactions++
		c.logf("etcd is compacted at %d", at)
		return err
	})
}

func (c *chaos) failOver(ctx context.Context, meanwhile func(context.Context) error) error {
	p, err := c.leader(ctx, nil)
	if err != nil {
		return err
	}
	v := c.watching(p, c.ref, c.topics)
	if err := c.killInFlight(ctx, v); err != nil {
		return err
	}
	c.kills++
	killed, mark := time.Now(), c.ref.newest()
	if err := p.start(); err != nil {
		return err
	}
	if meanwhile != nil {
		if err := meanwhile(ctx); err != nil {
			return err
		}
	}
	if _, err := c.reached(ctx, mark); err != nil {
		return err
	}
	c.failover = max(c.failover, time.Since(killed))
	c.logf("another one has taken over after %.1f s", time.Since(killed).Seconds())
	return nil
}

func (c *chaos) killBroker(i int) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.brokers.Brokers[i].Kill(); err != nil {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		return c.brokers.Brokers[i].Restart(ctx)
	}
}

func (c *chaos) killAPIServer(ctx context.Context) error {
	if err := c.kube.Kill("kube-apiserver"); err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	return c.kube.Restart(ctx, "kube-apiserver")
}

// pauseLeader stops the leader for longer than its Lease lasts, so that another one takes over, and lets it go on.
func (c *chaos) pauseLeader(ctx context.Context) error {
	p, err := c.leader(ctx, nil)
	if err != nil {
		return err
	}
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	paused, mark := time.Now(), c.ref.newest()
	_, err = c.leader(ctx, p)
	if err == nil {
		_, err = c.reached(ctx, mark)
	}
	c.failover = max(c.failover, time.Since(paused))
	if err == nil {
		err = pause(ctx, time.Until(paused.Add(chaosPause)))
	}
	if err := errors.Join(err, p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if leads, err := gauge(wait, p, "kubescribe_producer_leader"); err == nil && leads == 0 {
			c.logf("the old leader has woken up and stands by")
			return p.waitReady(wait)
		}
		if err := pause(wait, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the old leader does not stand by: %w\n%s", err, tail(p.logs))
		}
	}
}

// check stops the producers cleanly and compares the topic with what etcd says.
func (c *chaos) check(ctx context.Context) (Figures, error) {
	var errs []error
	for _, p := range c.producers {
		errs = append(errs, p.stop())
	}
	v, err := c.compareWithEtcd(ctx, c.start)
	if err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	figures := Figures{
		{"revisions", v.revisions},
		{"kills_in_flight", c.kills},
		{"lost", len(v.lost)},
		{"duplicated", v.duplicated},
		{"disordered", v.disordered},
		{"superseded", len(v.superseded)},
		{"gaps", len(v.gaps)},
		{"miscounted", v.miscounted},
		{"expired", v.deleted},
		{"failover_s", c.failover.Seconds()},
	}
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(v.revisions >= chaosRevisions, "only %d revisions, want at least %d", v.revisions, chaosRevisions)
	must(c.storm.bumps.Load() >= chaosRevisions/4, "only %d count bumps", c.storm.bumps.Load())
	must(c.kills >= chaosKills, "only %d kills in flight, want %d", c.kills, chaosKills)
	must(len(v.lost) == 0, "%d revisions are lost: %q", len(v.lost), v.lost[:min(5, len(v.lost))])
	must(v.duplicated == 0, "%d revisions are there twice, or were never written", v.duplicated)
	must(v.disordered == 0, "%d revisions of an Event came after a later one", v.disordered)
	must(v.miscounted == 0, "%d revisions with wrong occurrences, or unknown ones without a gap", v.miscounted)
	must(float64(len(v.superseded)) <= chaosLostShare*float64(v.revisions), "%d revisions are superseded, at most %.0f may be",
		len(v.superseded), chaosLostShare*float64(v.revisions))
	must(len(v.gaps) <= c.compactions, "%d gaps of %d compactions", len(v.gaps), c.compactions)
	must(len(v.gaps) > 0 && len(v.superseded) > 0, "no compaction hit: there is no gap, or nothing superseded in it")
	must(v.deleted > 0, "no Event expired during the run")
	must(c.failover <= chaosFailover, "a failover took %s, want at most %s", c.failover, chaosFailover)
	return figures, errors.Join(errs...)
}

// verdict is what the comparison of the topic with etcd found.
type verdict struct {
	revisions, deleted     int
	lost, superseded       []string
	duplicated, disordered int
	miscounted             int // the occurrences are wrong, or unknown without a reason
	gaps                   []gapBounds
}

// judge compares what a topic holds, in the order of its partitions, with all that has happened to Events. A revision may be missing
// when it was superseded, by a later one or by a deletion, and both lie within one gap; or up to start, before the first list.
func judge(happened []change, found []observed, gaps []gapBounds, start uint64) verdict {
	v := verdict{gaps: gaps}
	times := map[revisionID]int{}
	last := map[string]uint64{}
	counted := map[string]int64{}
	for _, o := range found {
		times[o.revisionID]++
		listed := o.rv <= start || slices.ContainsFunc(gaps, func(g gapBounds) bool { return g.after < o.rv && o.rv <= g.until })
		if o.since == nil && !listed || o.since != nil && *o.since != o.count-counted[o.uid] {
			v.miscounted++
		}
		counted[o.uid] = o.count
		if o.rv < last[o.uid] {
			v.disordered++
		}
		last[o.uid] = max(last[o.uid], o.rv)
	}
	next := map[string]uint64{} // the resourceVersion by which an Event was changed next
	written := map[revisionID]bool{}
	for _, c := range slices.Backward(happened) {
		id := revisionID{c.uid, c.rv}
		after, superseded := next[c.uid]
		next[c.uid] = c.rv
		if c.deleted {
			v.deleted++
			continue
		}
		written[id] = true
		if c.rv <= start {
			continue
		}
		v.revisions++
		if times[id] > 0 {
			continue
		}
		inGap := slices.ContainsFunc(gaps, func(g gapBounds) bool { return g.after < c.rv && superseded && after <= g.until })
		if inGap {
			v.superseded = append(v.superseded, id.String())
		} else {
			v.lost = append(v.lost, id.String())
		}
	}
	for id, n := range maps.All(times) {
		if !written[id] {
			v.duplicated++
		}
		v.duplicated += n - 1
	}
	return v
}
