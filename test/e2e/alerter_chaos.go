package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"kubescribe/schemas"
)

const (
	alerterKills     = 10
	alerterInstances = 3
	alerterPods      = 20
	hookOutage       = time.Minute
	alerterStep      = 250 * time.Millisecond
)

var alerterChaos = Case{
	Name:  "alerter-chaos",
	About: "three alerters are killed ten times in mid-window while a receiver answers 500: each alert, page and resolve once, the state as if nothing had been",
	Run:   runAlerterChaos,
}

const alerterChaosRules = `
groups:
- name: chaos
  rules:
  - alert: CrashLoop
    expr: reason == "BackOff" and kind == "Pod"
    group_by: [namespace, name]
    count: {at_least: 3, within: 5m}
    dedup: 10m
    resolve: {after: 30m, when: 'reason == "Started"'}
    annotations: {summary: "{{ .Name }} of {{ .Cluster }}"}
  - alert: Once
    expr: reason == "Killing"
    group_by: [name]
    dedup: 1h
    resolve: {after: 15s}
  - alert: NodeNotReady
    expr: kind == "Node" and reason == "NodeNotReady"
    group_by: [node]
    dedup: 12h
    resolve: {after: 24h}
    inhibit: [{alerts: [CrashLoop], equal: [node]}]
  - alert: Everywhere
    expr: kind == "Node" and reason == "NodeNotReady"
    scope: fleet
    group_by: [reason]
    count: {at_least: 3, within: 1h}
    dedup: 24h
    resolve: {after: 24h}
`

// chaosRun is the state of one run of the case.
type chaosRun struct {
	*alerting
	procs []*process
	rng   *rand.Rand
	kills int

	mu   sync.Mutex
	docs []*schemas.Document // what was produced, in order
	once int                 // how many of them fire Once
}

func runAlerterChaos(ctx context.Context, env *Env) (Figures, error) {
	if err := env.startAlerterKafka(ctx); err != nil {
		return nil, err
	}
	a, err := env.installAlerter(ctx, "chaos.", alerterChaosRules, []string{"c0", "c1", "c2"}, "hook", "other")
	if err != nil {
		return nil, err
	}
	c := &chaosRun{alerting: a, rng: rand.New(rand.NewPCG(5, 7))} //nolint:gosec // no secret
	if err := c.disturb(ctx); err != nil {
		return nil, err
	}
	got, err := c.settled(ctx, c.alerting)
	if err != nil {
		return nil, err
	}
	for _, p := range c.procs {
		if err := p.stop(); err != nil {
			return nil, err
		}
	}
	calm, want, err := c.undisturbed(ctx)
	if err != nil {
		return nil, err
	}
	return c.check(ctx, calm, want, got)
}

// disturb runs three alerters under a steady flow of documents and does to them what the case is about.
func (c *chaosRun) disturb(ctx context.Context) error {
	for i := range alerterInstances {
		p, err := c.instance(fmt.Sprintf("alerter-%d", i))
		if err != nil {
			return err
		}
		c.procs = append(c.procs, p)
	}
	if err := started(ctx, c.procs...); err != nil {
		return err
	}
	if err := c.nodes(ctx, c.alerting); err != nil {
		return err
	}
	flowing, end := context.WithCancel(ctx)
	flow := make(chan error, 1)
	go func() { flow <- c.flow(flowing) }()
	defer func() { end() }()
	var outage time.Time
	for n := range alerterKills {
		switch n {
		case 2:
			c.hooks["hook"].down.Store(true)
			outage = time.Now()
			c.logf("hook answers 500 from now on")
		case 5:
			if err := c.rebalance(ctx); err != nil {
				return err
			}
		}
		if err := c.killOne(ctx, c.procs[c.rng.IntN(len(c.procs))]); err != nil {
			return err
		}
	}
	if err := pause(ctx, time.Until(outage.Add(hookOutage))); err != nil {
		return err
	}
	others, _ := c.hooks["other"].count()
	c.hooks["hook"].down.Store(false)
	c.logf("hook answers again; it has refused %d times, the other receiver has %d pages", c.hooks["hook"].refused.Load(), others)
	if c.hooks["hook"].refused.Load() == 0 {
		return errors.New("the receiver that was out of order was never asked")
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	end()
	return <-flow
}

// nodes has one node of each cluster not ready, one after the other, and waits until that is known: from then on it inhibits. The
// last one makes the fleet's rule fire too.
func (c *chaosRun) nodes(ctx context.Context, a *alerting) error {
	for i, cluster := range c.clusters {
		d := podDocument(cluster, cluster+"-node", "NodeNotReady", "node-1", "node-1", chaosEpoch)
		d.Kubernetes.Event.InvolvedObject = schemas.Subject{APIVersion: "v1", Kind: "Node", Name: "node-1"}
		if err := a.produce(ctx, d); err != nil {
			return err
		}
		want := i + 1
		if want == len(c.clusters) {
			want++
		}
		err := until(ctx, time.Minute, "the pages about the nodes", func(context.Context) (bool, error) {
			n, _ := a.hooks["other"].count()
			return n == want, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var chaosEpoch = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func (c *chaosRun) send(ctx context.Context, docs ...*schemas.Document) error {
	c.mu.Lock()
	c.docs = append(c.docs, docs...)
	c.mu.Unlock()
	return c.produce(ctx, docs...)
}

// flow produces documents until ctx ends: each step is half a minute of event time, in which a quarter of the pods crash, some
// recover, and some are killed; some documents come twice.
func (c *chaosRun) flow(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // no secret
	for i := 0; ctx.Err() == nil; i++ {
		at := chaosEpoch.Add(time.Duration(i) * 30 * time.Second)
		var docs []*schemas.Document
		for _, cluster := range c.clusters {
			for p := range alerterPods {
				pod, node := fmt.Sprint("pod-", p), ""
				if p%5 == 4 {
					node = "node-1"
				}
				if (i+p)%4 == 0 {
					docs = append(docs, podDocument(cluster, fmt.Sprintf("%s-%d-%d", cluster, p, i), "BackOff", pod, node, at))
					if rng.IntN(10) == 0 {
						docs = append(docs, docs[len(docs)-1])
					}
				}
				if i%100 == 5*p+3 {
					docs = append(docs, podDocument(cluster, fmt.Sprintf("%s-%d-%d-started", cluster, p, i), "Started", pod, node, at.Add(time.Second)))
				}
			}
			if i%20 == 7 {
				docs = append(docs, podDocument(cluster, fmt.Sprintf("%s-%d-killing", cluster, i), "Killing", fmt.Sprint("once-", i), "", at))
				c.mu.Lock()
				c.once++
				c.mu.Unlock()
			}
		}
		if err := c.send(context.WithoutCancel(ctx), docs...); err != nil {
			return err
		}
		_ = pause(ctx, alerterStep)
	}
	return nil
}

// killOne kills p in flight and starts it again, after a while of any length.
func (c *chaosRun) killOne(ctx context.Context, p *process) error {
	if err := c.killInFlight(ctx, c.victim(p)); err != nil {
		return err
	}
	c.kills++
	if err := pause(ctx, time.Duration(c.rng.IntN(3000))*time.Millisecond); err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	return pause(ctx, time.Duration(2000+c.rng.IntN(4000))*time.Millisecond)
}

// rebalance has a fourth alerter come and go.
func (c *chaosRun) rebalance(ctx context.Context) error {
	p, err := c.instance("alerter-guest")
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	if err := pause(ctx, 4*time.Second); err != nil {
		return err
	}
	c.logf("a fourth alerter leaves")
	return p.stop()
}

// settled waits until everything is read, every alert that resolves by its quiet time has, and every page has come; it returns the
// alerts.
func (c *chaosRun) settled(ctx context.Context, a *alerting) (alerts map[string]schemas.Alert, err error) {
	begin := time.Now()
	v := a.victim(nil)
	mark, err := v.mark(ctx)
	if err != nil {
		return nil, err
	}
	err = until(ctx, 2*time.Minute, "the rest of the alerts and pages", func(ctx context.Context) (bool, error) {
		if n, err := v.backlog(ctx, mark); err != nil || n > 0 {
			return false, err
		}
		if alerts, err = a.alerts(ctx); err != nil {
			return false, err
		}
		resolved := 0
		for _, x := range alerts {
			if x.Rule == "Once" && x.Status == schemas.AlertResolved {
				resolved++
			}
		}
		missing := 0
		for name, hook := range a.hooks {
			n, _, _ := hook.compare(pages(alerts, name))
			missing += n
		}
		return resolved == c.once && missing == 0, nil
	})
	if err == nil {
		c.logf("settled after %.1f s: %d documents, %d alerts", time.Since(begin).Seconds(), len(c.docs), len(alerts))
	}
	return alerts, err
}

// undisturbed gives the same documents to one alerter that nobody disturbs.
func (c *chaosRun) undisturbed(ctx context.Context) (*alerting, map[string]schemas.Alert, error) {
	calm, err := c.installAlerter(ctx, "calm.", alerterChaosRules, c.clusters, "hook", "other")
	if err != nil {
		return nil, nil, err
	}
	p, err := calm.instance("alerter-calm")
	if err != nil {
		return nil, nil, err
	}
	if err := started(ctx, p); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(c.nodes(ctx, calm), calm.produce(ctx, c.docs...)); err != nil {
		return nil, nil, err
	}
	want, err := c.settled(ctx, calm)
	return calm, want, errors.Join(err, p.stop())
}

func (c *chaosRun) check(ctx context.Context, calm *alerting, want, got map[string]schemas.Alert) (Figures, error) {
	var broken []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			broken = append(broken, fmt.Errorf(format, args...))
		}
	}
	kinds := map[string]int{}
	for id, a := range want {
		kinds[string(a.Status)]++
		if a.MutedBy != "" {
			kinds["muted"]++
		}
		bad(reflect.DeepEqual(a, got[id]), "alert %s (%s, %s): undisturbed %+v, disturbed %+v", id, a.Rule, a.Status, a, got[id])
	}
	for id, a := range got {
		_, expected := want[id]
		bad(expected, "alert %s (%s, %s) is not in the undisturbed run", id, a.Rule, a.Status)
	}
	wantStates, err := calm.states(ctx)
	if err != nil {
		return nil, err
	}
	gotStates, err := c.states(ctx)
	if err != nil {
		return nil, err
	}
	different := 0
	for key, s := range wantStates {
		if !reflect.DeepEqual(s, gotStates[key]) {
			different++
			bad(different > 1, "state %s: undisturbed %+v, disturbed %+v", key, s, gotStates[key])
		}
	}
	different += max(0, len(gotStates)-len(wantStates))
	bad(different == 0, "%d states differ from those of the undisturbed run", different)
	expected, arrived, extra, repeats := 0, 0, 0, 0
	for name, hook := range c.hooks {
		ids := pages(want, name)
		missing, more, again := hook.compare(ids)
		expected, arrived, extra, repeats = expected+len(ids), arrived+len(ids)-missing, extra+more, repeats+again
	}
	bad(arrived == expected && extra == 0, "pages: %d expected, %d came, %d that nobody expects", expected, arrived, extra)
	bad(repeats <= 2*c.kills, "%d repeats of a page, more than kills between sending and noting it can explain", repeats)
	for _, k := range []string{"firing", "repeated", "resolved", "muted"} {
		bad(kinds[k] > 0, "no alert is %s: the case shows nothing about those", k)
	}
	bad(c.kills == alerterKills, "only %d kills", c.kills)
	if len(broken) > 5 {
		broken = append(broken[:5], fmt.Errorf("and %d more", len(broken)-5))
	}
	return Figures{
		{"kills_in_flight", c.kills},
		{"pages_expected", expected},
		{"pages_got", arrived},
		{"extra", extra},
		{"repeats_by_key", repeats},
		{"alerts_expected", len(want)},
		{"alerts_got", len(got)},
		{"resolves", kinds["resolved"]},
		{"muted", kinds["muted"]},
		{"states", len(gotStates)},
		{"states_different", different},
		{"refused_by_hook", c.hooks["hook"].refused.Load()},
	}, errors.Join(broken...)
}
