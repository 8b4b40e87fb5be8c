package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// containersKills is how often the producer is killed while transitions are on their way.
const containersKills = 4

var producerContainers = Case{
	Name:  "producer-containers",
	About: "each container that crashes or cannot start is in the topic once, through kills of the producer and a relist; what ends as it should is not",
	Run:   runContainers,
}

// containersRun is the state of one run of the case. The pods on the node manual-1 have the status that the test writes; those on
// node-1 that which KWOK plays.
type containersRun struct {
	*Env
	topics     schemas.Topics
	clusterUID string
	producer   *process
	capture    *process
	replayed   int
	kills      int
	cases      int

	mu   sync.Mutex
	want map[string]bool // transitions that the API server has accepted
}

func runContainers(ctx context.Context, env *Env) (Figures, error) {
	c := &containersRun{Env: env, topics: schemas.Topics{Prefix: schemas.DefaultTopicPrefix}, want: map[string]bool{}}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	if err := c.drive(ctx); err != nil {
		return nil, err
	}
	if err := c.replay(ctx); err != nil {
		return nil, fmt.Errorf("replay of the capture: %w", err)
	}
	if err := c.relist(ctx); err != nil {
		return nil, fmt.Errorf("relist: %w", err)
	}
	return c.check(ctx)
}

func (c *containersRun) start(ctx context.Context) error {
	if err := stack.Prepare(ctx, stack.PartKafka, stack.PartKubernetes); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if c.kafka, err = stack.StartKafka(gctx, c.path("kafka")); err != nil {
			return err
		}
		c.onClose(func() { _ = c.kafka.Stop() })
		c.broker, err = newBroker(c.kafka.Bootstrap)
		return err
	})
	g.Go(func() (err error) {
		if c.kube, err = stack.StartKubernetes(gctx, c.path("kubernetes"), stack.WithNodes(1)); err != nil {
			return err
		}
		c.onClose(func() { _ = c.kube.Stop() })
		if c.rest, err = clientcmd.BuildConfigFromFlags("", c.kube.Kubeconfig); err != nil {
			return err
		}
		c.rest.QPS = -1
		c.client, err = kubernetes.NewForConfig(c.rest)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	c.onClose(c.broker.close)
	system, err := c.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return err
	}
	c.clusterUID = string(system.UID)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "manual-1"}}
	if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return err
	}
	c.configFile = c.path("kubescribe.yaml")
	err = os.WriteFile(c.configFile, fmt.Appendf(nil, `
cluster: %s
log: {level: info, format: text}
kafka: {brokers: [%q]}
topics: {partitions: 6, replication: 1}
kubernetes: {kubeconfig: %q}
producer: {lease: {namespace: default}, containers: {exclude_pods: ["default/ignored-*"]}}
`, cluster, c.kafka.Bootstrap, c.kube.Kubeconfig), 0o600)
	if err := errors.Join(err, c.command(ctx, "topics", "apply")); err != nil {
		return err
	}
	if err := c.before(ctx); err != nil {
		return err
	}
	if err := c.startCapture(ctx); err != nil {
		return err
	}
	if c.producer, err = c.service("producer"); err != nil {
		return err
	}
	if err := c.producer.start(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.producer.waitReady(wait)
}

// before is what the API server shows when a producer starts for the first time.
func (c *containersRun) before(ctx context.Context) error {
	return errors.Join(
		c.play(ctx, "recent", func(s *script) {
			s.status(run("main")).status(end("main", 1, "Error")).says("main", schemas.StateTerminated, "Error").status(restart("main"))
		}),
		c.play(ctx, "old", func(s *script) {
			s.status(run("main"), end("main", 1, "Error"), ago("main", 72*time.Hour), restart("main"))
		}),
	)
}

// drive plays all scenarios at once, while the producer is killed again and again.
func (c *containersRun) drive(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for name, scenario := range scenarios {
		g.Go(func() error { return c.play(gctx, name, scenario) })
	}
	g.Go(func() error { return c.playReal(gctx) })
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	for range containersKills {
		if err := errors.Join(pause(ctx, time.Second), c.killAndStart(ctx)); err != nil { // in between, it catches up
			return err
		}
	}
	if err := <-done; err != nil {
		return err
	}
	return c.arrived(ctx)
}

// killAndStart kills the producer with transitions on their way. While it is away, the scenarios go on.
func (c *containersRun) killAndStart(ctx context.Context) error {
	v := victim{
		process: c.producer,
		mark:    func(context.Context) (any, error) { return c.wanted(), nil },
		backlog: func(ctx context.Context, mark any) (int64, error) {
			missing, err := c.missing(ctx, mark.(map[string]bool))
			return int64(len(missing)), err
		},
	}
	if err := c.killInFlight(ctx, v); err != nil {
		return err
	}
	c.kills++
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	if err := c.producer.start(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.producer.waitReady(wait)
}

// relist kills the producer, lets things happen, and takes the API server's memory of them: the next watch gets a real 410, and
// what the pods still show must do.
func (c *containersRun) relist(ctx context.Context) error {
	if err := c.producer.kill(); err != nil {
		return err
	}
	err := errors.Join(
		c.play(ctx, "while-away", func(s *script) {
			s.status(run("main")).status(end("main", 137, "OOMKilled")).says("main", schemas.StateTerminated, "OOMKilled")
			s.status(backoff("main")).status(restart("main")).status(end("main", 1, "Error")).says("main", schemas.StateTerminated, "Error")
		}),
		c.client.CoreV1().Pods("default").Delete(ctx, "error", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}),
		c.kube.Kill("kube-apiserver"),
		c.kube.Restart(ctx, "kube-apiserver"),
		c.producer.start(),
	)
	if err != nil {
		return err
	}
	return c.arrived(ctx)
}

// arrived returns when all that is expected is in the topic, and the producer has seen the last change of a pod.
func (c *containersRun) arrived(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	last := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "ignored-mark-"}, Spec: podSpec("manual-1", corev1.RestartPolicyNever, "main")}
	last, err := c.client.CoreV1().Pods("default").Create(wait, last, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for {
		missing, err := c.missing(wait, c.wanted())
		if err != nil {
			return err
		}
		rv, _, err := c.state(wait)
		if err != nil {
			return err
		}
		if len(missing) == 0 && (len(rv) > len(last.ResourceVersion) || len(rv) == len(last.ResourceVersion) && rv >= last.ResourceVersion) {
			return nil
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return fmt.Errorf("at resourceVersion %q, not yet %q, missing %q: %w\n%s", rv, last.ResourceVersion, missing, err, tail(c.producer.logs))
		}
	}
}

func (c *containersRun) wanted() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.want)
}

func (c *containersRun) expect(ids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.want[id] = true
	}
}

func (c *containersRun) missing(ctx context.Context, want map[string]bool) ([]string, error) {
	got, _, err := c.topic(ctx, cluster)
	missing, _, _ := compare(want, got)
	return missing, err
}

// topic is what events.<c> says about containers, read committed: transitions by id, and gaps.
func (c *containersRun) topic(ctx context.Context, cluster string) (ids map[string]int, gaps int, err error) {
	ids = map[string]int{}
	err = c.broker.read(ctx, func(r *kgo.Record) error {
		o, err := schemas.DecodeObservation(r.Value)
		if err != nil {
			return fmt.Errorf("record %d/%d: %w", r.Partition, r.Offset, err)
		}
		if o.Source != schemas.SourceContainers {
			return nil
		}
		if o.Type == schemas.TypeGap {
			gaps++
			return nil
		}
		_, err = schemas.DecodeContainerTransition(o.Payload)
		ids[o.ID]++
		return err
	}, c.topics.Events(cluster))
	return ids, gaps, err
}

// state is what checkpoints.<c> remembers: the source's resourceVersion, and the pods of which something was said.
func (c *containersRun) state(ctx context.Context) (rv string, pods map[string]bool, err error) {
	pods = map[string]bool{}
	prefix := schemas.ObjectStateKey(schemas.SourceContainers, "")
	err = c.broker.read(ctx, func(r *kgo.Record) error {
		if uid, ok := strings.CutPrefix(string(r.Key), prefix); ok {
			if pods[uid] = r.Value != nil; r.Value == nil {
				delete(pods, uid)
			}
		}
		if string(r.Key) == schemas.CheckpointKey(schemas.SourceContainers) {
			cp, err := schemas.DecodeCheckpoint(r.Value)
			if err != nil {
				return err
			}
			if rv = cp.RV; cp.List != nil {
				rv = ""
			}
		}
		return nil
	}, c.topics.Checkpoints(cluster))
	return rv, pods, err
}

// check stops the producer cleanly and compares what it has said with what happened.
func (c *containersRun) check(ctx context.Context) (Figures, error) {
	errs := []error{c.producer.stop()}
	got, gaps, err := c.topic(ctx, cluster)
	if err != nil {
		return nil, err
	}
	_, remembered, err := c.state(ctx)
	if err != nil {
		return nil, err
	}
	left := 0
	pods, err := c.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for uid := range remembered {
		if !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return string(p.UID) == uid }) {
			left++
		}
	}
	missing, extra, twice := compare(c.wanted(), got)
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(len(missing) == 0, "missing: %q", missing)
	must(len(extra) == 0, "nobody expected: %q", extra)
	must(twice == 0, "%d transitions are repeated", twice)
	must(c.kills >= containersKills, "only %d kills, want %d", c.kills, containersKills)
	must(gaps == 1, "%d gaps, want the one of the relist", gaps)
	must(left == 0, "the states of %d pods that are gone were not tombstoned", left)
	return Figures{
		{"cases", c.cases},
		{"expected", len(c.wanted())},
		{"observed", len(got)},
		{"missing", len(missing)},
		{"extra", len(extra)},
		{"repeated", twice},
		{"kills_in_flight", c.kills},
		{"gaps", gaps},
		{"states_left", left},
		{"replayed", c.replayed},
	}, errors.Join(errs...)
}
