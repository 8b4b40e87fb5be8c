package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"kubescribe/schemas"
)

// The bounds that the spine promises.
const (
	spineRecords   = 1000
	spineKills     = 2 // of each service, in flight
	spineP99       = 5 * time.Second
	spineRecovery  = 20 * time.Second
	spineMinSample = 200 // events whose latency was measured outside the kill windows
)

var spine = Case{
	Name:  "spine",
	About: "a crashing Deployment's events reach Elasticsearch with owner and labels, once, and page once, while every service is killed",
	Alone: true,
	Run:   runSpine,
}

const spineRules = `
groups:
- name: e2e
  rules:
  - alert: CrashLoop
    expr: reason == "BackOff" && type == "Warning"
    group_by: [namespace, workload]
    count: {at_least: 3, within: 5m}
    dedup: 1h
    resolve: {after: 1h}
    notify: [hook]
    annotations:
      summary: '{{ .Namespace }}/{{ .Workload }} is in a crash loop'
`

const crashingDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: crashy, namespace: default, labels: {app.kubernetes.io/name: crashy}}
spec:
  replicas: 2
  selector: {matchLabels: {app: crashy}}
  template:
    metadata: {labels: {app: crashy, app.kubernetes.io/name: crashy, lab.mode: crash}}
    spec: {containers: [{name: main, image: registry.example/crashy:1.0}]}
`

// spineRun is the state of one run of the case.
type spineRun struct {
	*Env
	topics  schemas.Topics
	hook    *receiver
	ref     *reference
	before  map[string]bool // revisions that etcd held when the producer started
	victims []victim
	load    *load
	found   *watcher
	windows []window
	kills   int
	slowest time.Duration // recovery
}

func runSpine(ctx context.Context, env *Env) (Figures, error) {
	s := &spineRun{Env: env, topics: schemas.Topics{Prefix: schemas.DefaultTopicPrefix}}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.drive(ctx); err != nil {
		return nil, err
	}
	return s.check(ctx)
}

// start brings up the stack, the reference, the four services, the crashing Deployment and the load.
func (s *spineRun) start(ctx context.Context) (err error) {
	if err := s.startStack(ctx); err != nil {
		return err
	}
	if s.hook, err = newReceiver(); err != nil {
		return err
	}
	s.onClose(s.hook.close)
	if err := s.configure(s.hook.URL, spineRules); err != nil {
		return err
	}
	system, err := s.client.CoreV1().Namespaces().Get(ctx, "kube-system", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if s.ref, err = s.startReference(ctx, string(system.UID), 1); err != nil {
		return err
	}
	if err := errors.Join(s.command(ctx, "topics", "apply"), s.command(ctx, "indexer", "setup")); err != nil {
		return err
	}
	if err := s.startServices(ctx); err != nil {
		return err
	}
	pod, err := s.crash(ctx)
	if err != nil {
		return err
	}
	s.load = &load{client: s.client, pod: pod, burst: 12, every: time.Second}
	s.found = &watcher{es: s.elastic, seen: map[string]time.Time{}}
	return nil
}

func (s *spineRun) startServices(ctx context.Context) error {
	procs := map[string]*process{}
	// The producer comes first and starts on an almost empty cluster: it lists what is there, and from then on every
	// revision must be seen. What was superseded before it listed is not expected.
	for _, name := range []string{"producer", "enricher", "indexer", "alerter"} {
		p, err := s.service(name)
		if err != nil {
			return err
		}
		procs[name] = p
	}
	if err := s.quietReference(ctx); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var g errgroup.Group
	for _, p := range procs {
		if err := p.start(); err != nil {
			return err
		}
		g.Go(func() error { return p.waitReady(wait) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.victims = []victim{
		s.watching(procs["producer"], s.ref, s.topics),
		s.group(procs["enricher"], "kubescribe-enricher-"+cluster, s.topics.Events(cluster)),
		s.group(procs["indexer"], "kubescribe-indexer", s.topics.Enriched(cluster)),
		s.group(procs["alerter"], "kubescribe-matcher", s.topics.Enriched(cluster)),
	}
	s.logf("services are ready")
	return nil
}

// quietReference notes the latest revision of each Event before the producer starts: earlier ones can't be listed any more.
func (s *spineRun) quietReference(ctx context.Context) error {
	list, err := s.client.CoreV1().Events("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	current := map[string]bool{}
	for i := range list.Items {
		current[schemas.EventID(s.ref.clusterUID, 0, string(list.Items[i].UID), list.Items[i].ResourceVersion)] = true
	}
	all, err := s.ref.snapshot()
	if err != nil {
		return err
	}
	s.before = map[string]bool{}
	for id := range all {
		if !current[id] {
			s.before[id] = true
		}
	}
	s.logf("%d events before the start, %d of their revisions superseded", len(list.Items), len(s.before))
	return nil
}

// crash creates the Deployment and returns one of its pods.
func (s *spineRun) crash(ctx context.Context) (*corev1.Pod, error) {
	var d appsv1.Deployment
	if err := yaml.Unmarshal([]byte(crashingDeployment), &d); err != nil {
		return nil, err
	}
	if _, err := s.client.AppsV1().Deployments(d.Namespace).Create(ctx, &d, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		pods, err := s.client.CoreV1().Pods(d.Namespace).List(wait, metav1.ListOptions{LabelSelector: "app=crashy"})
		if err != nil {
			return nil, err
		}
		for i := range pods.Items {
			if pods.Items[i].Spec.NodeName != "" {
				return &pods.Items[i], nil
			}
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return nil, fmt.Errorf("no pod of the crashing Deployment was scheduled: %w", err)
		}
	}
}

// drive runs the load, kills every service in flight, and ends the load when enough was written.
func (s *spineRun) drive(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go s.found.run(ctx, 250*time.Millisecond)
	loaded := make(chan struct{})
	loading, endLoad := context.WithCancel(ctx)
	go func() { s.load.run(loading); close(loaded) }()
	defer func() { endLoad(); <-loaded }()

	if err := pause(ctx, 15*time.Second); err != nil { // latencies of an undisturbed run
		return err
	}
	for range spineKills {
		for _, v := range s.victims {
			if err := s.killOnce(ctx, v); err != nil {
				return err
			}
			if err := pause(ctx, 3*time.Second); err != nil { // and between the kills
				return err
			}
		}
	}
	for {
		done, err := s.load.snapshot()
		if err != nil {
			return err
		}
		if len(done) >= spineRecords {
			s.logf("%d events written", len(done))
			break
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	endLoad()
	<-loaded
	return s.settle(ctx)
}

// killOnce kills v in flight, starts it again, and measures how long it takes until everything has arrived again.
func (s *spineRun) killOnce(ctx context.Context, v victim) error {
	from := time.Now()
	if err := s.killInFlight(ctx, v); err != nil {
		return err
	}
	killed := time.Now()
	if err := v.start(); err != nil {
		return err
	}
	if err := s.recovered(ctx, v, killed); err != nil {
		return err
	}
	now := time.Now()
	s.kills++
	s.windows = append(s.windows, window{from, now})
	s.slowest = max(s.slowest, now.Sub(killed))
	s.logf("%s recovered in %.1f s", v.name, now.Sub(killed).Seconds())
	return nil
}

// recovered returns when an event that was written after the kill, and all before it, can be found, and v has no backlog of
// what was there by then.
func (s *spineRun) recovered(ctx context.Context, v victim, killed time.Time) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	mark, err := v.mark(wait)
	if err != nil {
		return err
	}
	for {
		done, err := s.load.snapshot()
		if err != nil {
			return err
		}
		n, err := v.backlog(wait, mark)
		if err != nil {
			return err
		}
		after := slices.IndexFunc(done, func(w written) bool { return w.at.After(killed) })
		if n == 0 && after >= 0 && !slices.ContainsFunc(done[:after+1], s.missing) {
			return nil
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%s did not recover within a minute: %w\n%s", v.name, err, tail(v.logs))
		}
	}
}

func (s *spineRun) missing(w written) bool {
	_, ok := s.found.at(s.id(w))
	return !ok
}

func (s *spineRun) id(w written) string { return schemas.EventID(s.ref.clusterUID, 0, w.uid, w.rv) }

// settle stops the crashing, and returns when what etcd says has arrived, or after a minute.
func (s *spineRun) settle(ctx context.Context) error {
	zero := int32(0)
	d, err := s.client.AppsV1().Deployments("default").Get(ctx, "crashy", metav1.GetOptions{})
	if err != nil {
		return err
	}
	d.Spec.Replicas = &zero
	if _, err := s.client.AppsV1().Deployments("default").Update(ctx, d, metav1.UpdateOptions{}); err != nil {
		return err
	}
	deadline := time.Now().Add(time.Minute)
	for quiet := 0; quiet < 5 && time.Now().Before(deadline); {
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		ids, err := s.ref.snapshot()
		if err != nil {
			return err
		}
		quiet++
		for id := range ids {
			if _, ok := s.found.at(id); !ok && !s.before[id] {
				quiet = 0
				break
			}
		}
	}
	s.found.mu.Lock()
	defer s.found.mu.Unlock()
	return s.found.err
}
