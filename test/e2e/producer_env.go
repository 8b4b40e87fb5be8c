package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// watched is what the producer's cases share: three brokers, a control plane, the reference, and producers.
type watched struct {
	*Env
	brokers   *stack.KafkaCluster
	topics    schemas.Topics
	ref       *reference
	producers []*process
}

// startWatched starts Kafka, with one broker or several, and a control plane, side by side.
func startWatched(ctx context.Context, env *Env, brokers int, options ...stack.KubernetesOption) (*watched, error) {
	w := &watched{Env: env, topics: schemas.Topics{Prefix: schemas.DefaultTopicPrefix}}
	if err := stack.Prepare(ctx, stack.PartKafka, stack.PartKubernetes); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if w.brokers, err = stack.StartKafkaCluster(gctx, w.path("kafka"), brokers); err != nil {
			return err
		}
		w.onClose(func() { _ = w.brokers.Stop() })
		w.broker, err = newBroker(w.brokers.Bootstrap)
		return err
	})
	g.Go(func() (err error) {
		if w.kube, err = stack.StartKubernetes(gctx, w.path("kubernetes"), append(options, stack.WithNodes(1))...); err != nil {
			return err
		}
		w.onClose(func() { _ = w.kube.Stop() })
		if w.rest, err = w.kube.Config(); err != nil {
			return err
		}
		w.client, err = kubernetes.NewForConfig(w.rest)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	w.onClose(w.broker.close)
	w.logf("stack is up: kafka %s, kubernetes %s", w.brokers.Bootstrap, w.kube.Server)
	system, err := w.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	w.ref, err = w.startReference(ctx, string(system.UID), 1)
	return w, err
}

// configureProducer writes the configuration, with the section producer as given, and creates the topics.
func (w *watched) configureProducer(ctx context.Context, section string) error {
	w.configFile = w.path("kubescribe.yaml")
	err := os.WriteFile(w.configFile, fmt.Appendf(nil, `
cluster: %s
log: {level: info, format: text}
kafka: {brokers: [%s]}
topics: {partitions: 6, replication: %d}
kubernetes: {kubeconfig: %q}
producer: %s
`, cluster, w.brokers.Bootstrap, len(w.brokers.Brokers), w.kube.Kubeconfig, section), 0o600)
	return errors.Join(err, w.command(ctx, "topics", "apply"))
}

// startProducers starts n replicas and returns when all are ready.
func (w *watched) startProducers(ctx context.Context, n int) error {
	for i := range n {
		p, err := w.service("producer")
		if err != nil {
			return err
		}
		p.name, p.logs = fmt.Sprintf("producer-%d", i+1), w.path(fmt.Sprintf("producer-%d.log", i+1))
		if err := p.start(); err != nil {
			return err
		}
		w.producers = append(w.producers, p)
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, p := range w.producers {
		if err := p.waitReady(wait); err != nil {
			return err
		}
	}
	return nil
}

// leader waits for the replica that holds the Lease, other than one that is frozen.
func (w *watched) leader(ctx context.Context, frozen *process) (*process, error) {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		for _, p := range w.producers {
			if p == frozen {
				continue
			}
			if leads, err := gauge(wait, p, "kubescribe_producer_leader"); err == nil && leads == 1 {
				return p, nil
			}
		}
		if err := pause(wait, 50*time.Millisecond); err != nil {
			return nil, fmt.Errorf("nobody leads: %w\n%s", err, tail(w.producers[0].logs))
		}
	}
}

// gauge is a metric of p without labels.
func gauge(ctx context.Context, p *process, name string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.Replace(p.ready, "/readyz", "/metrics", 1), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", p.name, name)
}

// reached returns when the committed checkpoint covers rv, and how long that took.
func (w *watched) reached(ctx context.Context, rv uint64) (time.Duration, error) {
	began := time.Now()
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		at, err := w.checkpoint(wait, w.topics)
		if err == nil && at >= rv {
			return time.Since(began), nil
		}
		if p := pause(wait, 100*time.Millisecond); p != nil {
			return 0, fmt.Errorf("the checkpoint is at %d and does not reach %d: %w\n%s", at, rv, errors.Join(err, p), tail(w.producers[0].logs))
		}
	}
}
