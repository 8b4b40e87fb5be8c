package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubescribe/test/stack"
)

// cluster is the name of the cluster under test.
const cluster = "e2e"

// Env is where one case runs: a directory, the binary, and what it has started.
type Env struct {
	binary string
	dir    string
	log    io.Writer
	began  time.Time

	kafka      *stack.Kafka
	es         *stack.Elasticsearch
	kube       *stack.Kubernetes
	broker     *broker
	elastic    elastic
	rest       *rest.Config
	client     kubernetes.Interface
	configFile string

	mu      sync.Mutex
	closers []func()
}

func newEnv(binary, dir string, log io.Writer) (*Env, error) {
	bin, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("the binary under test is missing (run `make build`): %w", err)
	}
	return &Env{binary: bin, dir: dir, log: log, began: time.Now()}, nil
}

// logf prints a progress line with the seconds since the start.
func (e *Env) logf(format string, args ...any) {
	fmt.Fprintf(e.log, "%6.1fs  %s\n", time.Since(e.began).Seconds(), fmt.Sprintf(format, args...))
}

// onClose runs fn at the end, the last one first.
func (e *Env) onClose(fn func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closers = append(e.closers, fn)
}

func (e *Env) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.closers) - 1; i >= 0; i-- {
		e.closers[i]()
	}
	e.closers = nil
}

// startStack starts the real Kafka, Elasticsearch and Kubernetes control plane side by side.
func (e *Env) startStack(ctx context.Context, kafka ...stack.KafkaOption) error {
	if err := stack.Prepare(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if e.kafka, err = stack.StartKafka(gctx, e.path("kafka"), kafka...); err != nil {
			return err
		}
		e.onClose(func() { _ = e.kafka.Stop() })
		e.broker, err = newBroker(e.kafka.Bootstrap)
		return err
	})
	g.Go(func() (err error) {
		if e.es, err = stack.StartElasticsearch(gctx, e.path("elasticsearch")); err != nil {
			return err
		}
		e.onClose(func() { _ = e.es.Stop() })
		e.elastic = elastic{url: e.es.URL}
		return nil
	})
	g.Go(func() (err error) {
		if e.kube, err = stack.StartKubernetes(gctx, e.path("kubernetes")); err != nil {
			return err
		}
		e.onClose(func() { _ = e.kube.Stop() })
		if e.rest, err = clientcmd.BuildConfigFromFlags("", e.kube.Kubeconfig); err != nil {
			return err
		}
		e.rest.QPS = -1
		e.client, err = kubernetes.NewForConfig(e.rest)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	e.onClose(e.broker.close)
	e.logf("stack is up: kafka %s, elasticsearch %s, kubernetes %s", e.kafka.Bootstrap, e.es.URL, e.kube.Server)
	return nil
}

func (e *Env) path(parts ...string) string {
	return filepath.Join(append([]string{e.dir}, parts...)...)
}

// configure writes the services' configuration and the rules.
func (e *Env) configure(webhook, rules string) error {
	if err := os.MkdirAll(e.path("rules"), 0o750); err != nil {
		return err
	}
	e.configFile = e.path("kubescribe.yaml")
	return errors.Join(
		os.WriteFile(e.path("rules", "e2e.yaml"), []byte(rules), 0o600),
		os.WriteFile(e.configFile, fmt.Appendf(nil, `
cluster: %s
log: {level: info, format: text}
kafka: {brokers: [%q]}
topics: {partitions: 6, replication: 1}
kubernetes: {kubeconfig: %q}
elasticsearch: {addresses: [%q]}
producer: {lease: {namespace: default}}
alerter:
  rules: %q
  receivers:
  - {name: hook, type: webhook, url: %q}
`, cluster, e.kafka.Bootstrap, e.kube.Kubeconfig, e.es.URL, e.path("rules"), webhook), 0o600))
}

// command runs the binary to its end.
func (e *Env) command(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, e.binary, append(args, "--config", e.configFile)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubescribe %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// service prepares a process of the binary; it is not started. When the case ends, it is killed if it still runs.
func (e *Env) service(name string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	p := &process{
		name: name, binary: e.binary, args: []string{name, "--config", e.configFile}, env: []string{"KUBESCRIBE_HTTP_LISTEN=" + addr},
		logs: e.path(name + ".log"), ready: "http://" + addr + "/readyz",
	}
	e.onClose(func() {
		if p.cmd != nil && p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
		}
	})
	return p, nil
}
