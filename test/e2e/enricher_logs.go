package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

// The storm, and what it must not exceed.
const (
	logReplicas    = 2
	logEach        = 10 // pods of each workload that crashes
	logFor         = 60 * time.Second
	logP99         = 2 * time.Second
	logMinSample   = 500 // latencies
	logMinCrashes  = 200 // containers' ends in the topic
	logPerMinute   = 60  // requests of a replica
	logPerWorkload = 12
	logConcurrency = 4
)

// The workloads of the storm: three whose logs can be read, one whose kubelet never answers, and one whose kubelet has an excuse for a log.
// One more crashed before the enrichers came.
var stormWorkloads = []struct{ name, node string }{
	{"shop", "node-1"},
	{"cart", "node-2"},
	{"pay", "node-1"},
	{stuckWorkload, "node-3"},
	{excusedWorkload, "node-2"},
}

const (
	earlyWorkload   = "early"
	stuckWorkload   = "stuck"
	excusedWorkload = "excused"
)

var enricherLogs = Case{
	Name:  "enricher-logs",
	Alone: true,
	About: "50 pods crash-loop at once: log requests stay within the budget, the stream goes on, no event is lost, logs are in the documents " +
		"and no secret of theirs is in any topic",
	Run: runLogs,
}

// logsRun is the state of one run of the case.
type logsRun struct {
	*enriching
	ref      *reference
	from     uint64 // revisions after it are what the producer must see
	producer *process
	proxies  []*logProxy
	replicas []*process
	arrivals *arrivals
	load     *podLoad
}

func runLogs(ctx context.Context, env *Env) (Figures, error) {
	e, err := startEnriching(ctx, env)
	if err != nil {
		return nil, err
	}
	s := &logsRun{enriching: e}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.storm(ctx); err != nil {
		return nil, err
	}
	return s.check(ctx)
}

// start brings up the producer, a workload that crashes before there is an enricher, and the enrichers, each behind its own proxy.
func (s *logsRun) start(ctx context.Context) error {
	system, err := s.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if s.ref, err = s.startReference(ctx, string(system.UID), 1); err != nil {
		return err
	}
	if err := s.plantLogs(); err != nil {
		return err
	}
	file, err := s.configureAs("producer", "{}")
	if err != nil {
		return err
	}
	s.configFile = file
	if err := s.command(ctx, "topics", "apply"); err != nil {
		return err
	}
	if s.producer, err = s.replica("producer", "producer", file); err != nil {
		return err
	}
	if err := started(ctx, s.producer); err != nil {
		return err
	}
	list, err := s.client.CoreV1().Events("").List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	if s.from, err = strconv.ParseUint(list.ResourceVersion, 10, 64); err != nil {
		return err
	}
	if err := s.apply(ctx, "{apiVersion: v1, kind: Namespace, metadata: {name: storm}}"); err != nil {
		return err
	}
	if err := s.crashEarly(ctx); err != nil {
		return err
	}
	return s.startEnrichers(ctx)
}

// plantLogs replaces what KWOK shows as containers' logs. The times are those of long ago, so that no clock matters.
func (s *logsRun) plantLogs() error {
	write := func(name, incarnation string) error {
		var b strings.Builder
		for i, line := range append([]string{"starting incarnation=" + incarnation}, plantedLines...) {
			fmt.Fprintf(&b, "2020-01-01T00:00:%02d.%09dZ stderr F %s\n", i/10, i, line)
		}
		return os.WriteFile(s.path("kubernetes", "pod-logs", name), []byte(b.String()), 0o600)
	}
	return errors.Join(write("current.log", "current"), write("previous.log", "previous"))
}

// crashEarly has a workload crash and start again while nobody sees it: then only the log of the previous instance tells why.
func (s *logsRun) crashEarly(ctx context.Context) error {
	if err := s.apply(ctx, stormManifest(earlyWorkload, "node-1", 2)); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		pods, err := s.client.CoreV1().Pods("storm").List(wait, metav1.ListOptions{})
		if err != nil {
			return err
		}
		crashed := 0
		for i := range pods.Items {
			for _, c := range pods.Items[i].Status.ContainerStatuses {
				if c.LastTerminationState.Terminated != nil {
					crashed++
				}
			}
		}
		if crashed == 2 {
			return nil
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return fmt.Errorf("the first pods did not crash: %w", err)
		}
	}
}

func stormManifest(name, node string, replicas int) string {
	m := strings.ReplaceAll(deployment(name, "crash"), "namespace: shop", "namespace: storm")
	m = strings.Replace(m, "replicas: 2", fmt.Sprint("replicas: ", replicas), 1)
	return strings.Replace(m, "spec: {containers", "spec: {nodeSelector: {kubernetes.io/hostname: "+node+"}, containers", 1)
}

func (s *logsRun) startEnrichers(ctx context.Context) error {
	file, err := s.configureAs("enricher", fmt.Sprintf(
		"{logs: {requests_per_minute: %d, workload_requests_per_minute: %d, concurrency: %d, timeout: 3s, redact: ['cust-[0-9]+']}}",
		logPerMinute, logPerWorkload, logConcurrency))
	if err != nil {
		return err
	}
	for i := range logReplicas {
		p, err := s.startProxy(fmt.Sprintf("enricher-%d", i+1))
		if err != nil {
			return err
		}
		r, err := s.replica("enricher", p.name, file)
		if err != nil {
			return err
		}
		r.env = append(r.env, "KUBESCRIBE_KUBERNETES_KUBECONFIG="+p.kubeconfig)
		s.proxies, s.replicas = append(s.proxies, p), append(s.replicas, r)
	}
	if err := started(ctx, s.replicas...); err != nil {
		return err
	}
	if err := s.shared(ctx); err != nil {
		return err
	}
	s.arrivals, err = s.followEnriched(ctx)
	s.logf("%d enrichers share the partitions", logReplicas)
	return err
}

// shared returns when every enricher has partitions.
func (s *logsRun) shared(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	group := "kubescribe-enricher-" + cluster
	for {
		groups, err := s.broker.admin.DescribeGroups(wait, group)
		if err != nil {
			return err
		}
		have := 0
		for _, m := range groups[group].Members {
			if c, ok := m.Assigned.AsConsumer(); ok && len(c.Topics) == 1 && len(c.Topics[0].Partitions) > 0 {
				have++
			}
		}
		if groups[group].State == "Stable" && have == logReplicas {
			return nil
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d enrichers have partitions: %w", have, logReplicas, err)
		}
	}
}

// storm has all pods crash at once and writes Events meanwhile, then ends the crashing and lets everything arrive.
func (s *logsRun) storm(ctx context.Context) error {
	var g errgroup.Group
	for _, w := range stormWorkloads {
		g.Go(func() error { return s.apply(ctx, stormManifest(w.name, w.node, logEach)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	pods, err := s.scheduled(ctx, logEach*len(stormWorkloads))
	if err != nil {
		return err
	}
	s.logf("%d pods crash", len(pods))
	loading, end := context.WithTimeout(ctx, logFor)
	defer end()
	s.load = &podLoad{client: s.client, pods: pods}
	s.load.run(loading)
	if s.load.err != nil {
		return s.load.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// The nodes stop playing: no more is written, and what was written arrives.
	if err := s.kube.Kill("kwok"); err != nil {
		return err
	}
	return s.settle(ctx)
}

// scheduled waits for n pods of the storm on nodes.
func (s *logsRun) scheduled(ctx context.Context, n int) ([]corev1.Pod, error) {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		list, err := s.client.CoreV1().Pods("storm").List(wait, metav1.ListOptions{LabelSelector: "app!=" + earlyWorkload})
		if err != nil {
			return nil, err
		}
		ready := 0
		for i := range list.Items {
			if list.Items[i].Spec.NodeName != "" {
				ready++
			}
		}
		if ready == n {
			return list.Items, nil
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return nil, fmt.Errorf("%d of %d pods are on nodes: %w", ready, n, err)
		}
	}
}

// settle returns when the enricher has committed over all that the producer wrote, and the last Event that was written is among it.
func (s *logsRun) settle(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	last := s.load.done[len(s.load.done)-1]
	id := schemas.EventID(s.ref.clusterUID, 0, last.uid, last.rv)
	for {
		ends, err := s.broker.ends(wait, s.topics.Events(cluster))
		if err != nil {
			return err
		}
		left, err := s.broker.unread(wait, "kubescribe-enricher-"+cluster, ends)
		if err != nil {
			return err
		}
		if _, there := s.arrivals.at(id); left == 0 && there {
			return nil
		}
		if err := pause(wait, 200*time.Millisecond); err != nil {
			return fmt.Errorf("%d records are not enriched: %w\n%s", left, err, tail(s.replicas[0].logs))
		}
	}
}

// arrivals notes when each record could first be read from enriched.<c>, read committed.
type arrivals struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

func (a *arrivals) at(id string) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.seen[id]
	return t, ok
}
