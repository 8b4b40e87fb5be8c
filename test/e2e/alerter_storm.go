package e2e

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"kubescribe/schemas"
)

const (
	stormPods     = 500
	stormMaxPages = 3
	inhibitedPods = 10
)

var alerterStorm = Case{
	Name:  "alerter-storm",
	About: "500 pods of one Deployment crash and page at most thrice, with one summary; a node that is not ready keeps its pods' alerts quiet",
	Run:   runAlerterStorm,
}

const alerterStormRules = `
groups:
- name: storm
  rules:
  - alert: PodCrash
    expr: reason == "BackOff" and kind == "Pod"
    group_by: [namespace, name]
    count: {at_least: 3, within: 5m}
    dedup: 1h
    resolve: {after: 20s}
    annotations: {summary: "{{ .Name }} is crash looping"}
  - alert: NodeNotReady
    expr: kind == "Node" and reason == "NodeNotReady"
    group_by: [node]
    dedup: 1h
    resolve: {after: 1h, when: 'kind == "Node" and reason == "NodeReady"'}
    inhibit: [{alerts: [PodCrash], equal: [node]}]
`

type stormRun struct {
	*alerting
	p *process
}

func runAlerterStorm(ctx context.Context, env *Env) (Figures, error) {
	if err := env.startAlerterKafka(ctx); err != nil {
		return nil, err
	}
	a, err := env.installAlerter(ctx, "storm.", alerterStormRules, []string{"c0"}, "hook")
	if err != nil {
		return nil, err
	}
	s := &stormRun{alerting: a}
	if s.p, err = a.instance("alerter-0"); err != nil {
		return nil, err
	}
	if err := started(ctx, s.p); err != nil {
		return nil, err
	}
	if err := s.node(ctx); err != nil {
		return nil, err
	}
	if err := s.storm(ctx); err != nil {
		return nil, err
	}
	if err := s.end(ctx); err != nil {
		return nil, err
	}
	return s.check(ctx)
}

// node has a node not ready, and then the pods on it crash.
func (s *stormRun) node(ctx context.Context) error {
	if err := s.produce(ctx, nodeDocument("NodeNotReady", time.Now())); err != nil {
		return err
	}
	err := until(ctx, time.Minute, "the page about the node", func(context.Context) (bool, error) {
		n, _ := s.hooks["hook"].count()
		return n == 1, nil
	})
	if err != nil {
		return err
	}
	for round := range 3 {
		var docs []*schemas.Document
		for i := range inhibitedPods {
			pod := fmt.Sprint("lost-", i)
			d := podDocument("c0", fmt.Sprintf("%s-%d", pod, round), "BackOff", pod, "node-lost", time.Now())
			d.Kubescribe.Workload = &schemas.Owner{Kind: "Deployment", Name: pod}
			docs = append(docs, d)
		}
		if err := s.produce(ctx, docs...); err != nil {
			return err
		}
	}
	return nil
}

func nodeDocument(reason string, at time.Time) *schemas.Document {
	d := podDocument("c0", "node-"+reason, reason, "node-lost", "node-lost", at)
	d.Kubernetes.Event.InvolvedObject = schemas.Subject{APIVersion: "v1", Kind: "Node", Name: "node-lost"}
	return d
}

// storm has 500 pods crash three times each; in the middle of it the alerter is killed.
func (s *stormRun) storm(ctx context.Context) error {
	for round := range 3 {
		var docs []*schemas.Document
		for i := range stormPods {
			pod := fmt.Sprint("web-", i)
			d := podDocument("c0", fmt.Sprintf("%s-%d", pod, round), "BackOff", pod, fmt.Sprint("node-", i%20), time.Now())
			d.Kubescribe.Workload = &schemas.Owner{Kind: "Deployment", Name: "web"}
			d.Container = &schemas.Container{Name: "main", Image: &schemas.ContainerImage{Name: "registry.example/web:2"}}
			docs = append(docs, d)
		}
		for i := 0; i < len(docs); i += 50 {
			kill := round == 2 && i == 200
			if kill { // it sees nothing of what comes now before it dies
				if err := s.p.signal(syscall.SIGSTOP); err != nil {
					return err
				}
			}
			if err := s.produce(ctx, docs[i:i+50]...); err != nil {
				return err
			}
			if kill {
				if err := errors.Join(s.killInFlight(ctx, s.victim(s.p)), s.p.start()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// end waits until everything that crashed is resolved, and then has the node come back.
func (s *stormRun) end(ctx context.Context) error {
	resolved := func(rule string, n int) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			alerts, err := s.alerts(ctx)
			have := 0
			for _, a := range alerts {
				if a.Rule == rule && a.Status == schemas.AlertResolved {
					have++
				}
			}
			return have >= n, err
		}
	}
	err := until(ctx, 2*time.Minute, "the end of every crash", resolved("PodCrash", stormPods+inhibitedPods))
	if err == nil {
		err = until(ctx, time.Minute, "the end of the storm", resolved("AlertStorm", 1))
	}
	if err == nil {
		err = s.produce(ctx, nodeDocument("NodeReady", time.Now()))
	}
	if err == nil {
		err = until(ctx, time.Minute, "the node", resolved("NodeNotReady", 1))
	}
	if err != nil {
		return err
	}
	return until(ctx, time.Minute, "the last page", func(ctx context.Context) (bool, error) {
		alerts, err := s.alerts(ctx)
		missing, _, _ := s.hooks["hook"].compare(pages(alerts, "hook"))
		return missing == 0, err
	})
}

func (s *stormRun) check(ctx context.Context) (Figures, error) {
	alerts, err := s.alerts(ctx)
	if err != nil {
		return nil, err
	}
	fired := 0
	for _, a := range alerts {
		if a.Rule == "PodCrash" && a.Status == schemas.AlertFiring {
			fired++
		}
	}
	stormPages, lost, node, resolves := 0, 0, 0, 0
	var summary schemas.Alert
	for _, a := range s.hooks["hook"].received() {
		switch {
		case a.Status == schemas.AlertResolved:
			resolves++
		case a.Rule == "NodeNotReady":
			node++
		case a.Rule == "AlertStorm":
			stormPages++
			summary = a
		case len(a.Evidence) > 0 && a.Evidence[0].Node == "node-lost":
			lost++
		default:
			stormPages++
		}
	}
	var broken []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			broken = append(broken, fmt.Errorf(format, args...))
		}
	}
	bad(fired == stormPods+inhibitedPods, "%d alerts of pods on the topic, %d expected", fired, stormPods+inhibitedPods)
	bad(stormPages <= stormMaxPages, "the storm paged %d times, at most %d are accepted", stormPages, stormMaxPages)
	bad(summary.Count > 100 && len(summary.Members) > 20, "the summary counts %d alerts and lists %d", summary.Count, len(summary.Members))
	bad(lost == 0, "%d pages about pods of the node that is not ready", lost)
	bad(node == 1, "%d pages about the node", node)
	bad(resolves == stormPages+node, "%d pages, %d of them resolved", stormPages+node, resolves)
	return Figures{
		{"pods", stormPods},
		{"alerts", fired},
		{"pages", stormPages},
		{"summary_counts", summary.Count},
		{"summary_lists", len(summary.Members)},
		{"inhibited_pods", inhibitedPods},
		{"inhibited_pages", lost},
		{"resolves", resolves},
	}, errors.Join(broken...)
}
