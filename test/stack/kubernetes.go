package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Kubernetes is a real control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, with KWOK as the
// kubelets. Its methods may not be called at the same time. See kubernetes/kwok.yaml.tmpl for what a pod's label lab.mode does.
type Kubernetes struct {
	Kubeconfig   string // path; the identity is in system:masters
	Server       string // https://127.0.0.1:port
	EtcdEndpoint string // http://127.0.0.1:port
	Dir          string // absolute; etcd's data, pki, log/<component>.log and <component>.pid

	detached   bool
	nodes      int
	flags      map[string][]string // component → extra flags
	ports      map[string]int
	components []*component
}

// A component is one program of the control plane.
type component struct {
	process
	healthz string // URL that answers 200 when it serves
}

// A KubernetesOption changes how StartKubernetes starts a control plane.
type KubernetesOption interface{ applyKubernetes(*Kubernetes) }

type kubernetesOption func(*Kubernetes)

func (o kubernetesOption) applyKubernetes(k *Kubernetes) { o(k) }

// WithNodes sets the number of nodes, node-1 and up. The default is 3, each with 8 CPUs, 32 GiB and 110 pods.
func WithNodes(n int) KubernetesOption { return kubernetesOption(func(k *Kubernetes) { k.nodes = n }) }

// WithEventTTL sets how long the API server keeps an Event. The default is an hour.
func WithEventTTL(ttl time.Duration) KubernetesOption {
	return WithComponentFlags("kube-apiserver", "--event-ttl="+ttl.String())
}

// WithComponentFlags adds flags to the command of a component (see Components); they win over the stack's own.
func WithComponentFlags(component string, flags ...string) KubernetesOption {
	return kubernetesOption(func(k *Kubernetes) { k.flags[component] = append(k.flags[component], flags...) })
}

// Components lists the programs of the control plane in the order of their start.
func Components() []string {
	return []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
}

// StartKubernetes starts a control plane on dir, which is created if need be, and returns when the nodes are ready and pods can be
// created in the namespace default. A start on the dir of an earlier one brings back its objects on its ports. The caller stops it.
func StartKubernetes(ctx context.Context, dir string, opts ...KubernetesOption) (*Kubernetes, error) {
	k, err := newKubernetes(dir)
	if err != nil {
		return nil, err
	}
	for _, opt := range opts {
		opt.applyKubernetes(k)
	}
	for name := range k.flags {
		if !slices.Contains(Components(), name) {
			return nil, fmt.Errorf("unknown component %q: choose from %s", name, strings.Join(Components(), ", "))
		}
	}
	if err := Prepare(ctx, PartKubernetes); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	err = exclusively(ctx, k.Dir, func() error {
		for _, name := range Components() {
			if err := (&process{name: name, dir: k.Dir}).requireStopped(); err != nil {
				return err
			}
		}
		return settle(k.Dir, kubernetesPorts, func(ports map[string]int) error {
			err := k.start(ctx, ports)
			if err != nil {
				err = errors.Join(err, k.killAll())
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// OpenKubernetes finds a control plane that another process started on dir. It returns an error if no component runs there; one
// that died can be restarted.
func OpenKubernetes(dir string) (*Kubernetes, error) {
	k, err := newKubernetes(dir)
	if err != nil {
		return nil, err
	}
	ports, err := loadPorts(k.Dir, kubernetesPorts...)
	if err != nil {
		return nil, err
	}
	if ports == nil {
		return nil, fmt.Errorf("no kubernetes runs on %s", k.Dir)
	}
	if err := k.assemble(ports); err != nil {
		return nil, err
	}
	running := false
	for _, c := range k.components {
		if err := c.open(); err != nil {
			return nil, err
		}
		running = running || c.running()
	}
	if !running {
		return nil, fmt.Errorf("no kubernetes runs on %s", k.Dir)
	}
	return k, nil
}

// Kill sends SIGKILL to one component and waits until it is gone.
func (k *Kubernetes) Kill(component string) error {
	c, err := k.component(component)
	if err != nil {
		return err
	}
	return c.kill()
}

// Restart starts one component that was killed or died, with the same command on the same data, and returns when it serves.
func (k *Kubernetes) Restart(ctx context.Context, component string) error {
	c, err := k.component(component)
	if err != nil {
		return err
	}
	client, err := k.httpClient()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.run(ctx, client)
}

// Stop ends all components in the reverse order of their start; one that does not end in 5 seconds is killed.
func (k *Kubernetes) Stop() error {
	var errs []error
	for _, c := range slices.Backward(k.components) {
		errs = append(errs, c.stop(5*time.Second))
	}
	return errors.Join(errs...)
}

// PID returns the process of a component, 0 when it is not running.
func (k *Kubernetes) PID(component string) int {
	c, err := k.component(component)
	if err != nil || !c.running() {
		return 0
	}
	return c.pid
}

// Log returns the last n lines of a component's log.
func (k *Kubernetes) Log(component string, n int) string {
	c, err := k.component(component)
	if err != nil {
		return err.Error()
	}
	return c.tail(n)
}

// Config returns a client configuration for the administrator, without client-side rate limits.
func (k *Kubernetes) Config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", k.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

var kubernetesPorts = []string{"etcd", "etcd-peer", "apiserver", "controller-manager", "scheduler", "kwok"}

func newKubernetes(dir string) (*Kubernetes, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("starting kubernetes: %w", err)
	}
	return &Kubernetes{Dir: dir, nodes: 3, flags: map[string][]string{}}, nil
}

func (k *Kubernetes) path(parts ...string) string {
	return filepath.Join(append([]string{k.Dir}, parts...)...)
}

func (k *Kubernetes) component(name string) (*component, error) {
	for _, c := range k.components {
		if c.name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("unknown component %q: choose from %s", name, strings.Join(Components(), ", "))
}

func (k *Kubernetes) start(ctx context.Context, ports map[string]int) error {
	if known, err := loadPorts(k.Dir); err != nil {
		return err
	} else if known == nil { // what a failed first start left knows other ports
		if err := os.RemoveAll(k.path("etcd")); err != nil {
			return fmt.Errorf("clearing etcd's data: %w", err)
		}
	}
	if err := k.assemble(ports); err != nil {
		return err
	}
	if err := k.writeFiles(); err != nil {
		return err
	}
	client, err := k.httpClient()
	if err != nil {
		return err
	}
	for _, c := range k.components[:2] { // etcd and the API server: the others need them
		if err := c.run(ctx, client); err != nil {
			return err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, c := range k.components[2:] {
		group.Go(func() error { return c.run(groupCtx, client) })
	}
	config, err := k.Config()
	if err != nil {
		return err
	}
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a Kubernetes client: %w", err)
	}
	group.Go(func() error { return createNodes(groupCtx, api, k.nodes) })
	if err := group.Wait(); err != nil {
		return err
	}
	return awaitUsable(ctx, api, k.nodes)
}

// run starts the component and waits until it serves.
func (c *component) run(ctx context.Context, client *http.Client) error {
	if err := c.start(); err != nil {
		return err
	}
	return c.await(ctx, func(ctx context.Context) error { return getOK(ctx, client, c.healthz) })
}

func (k *Kubernetes) killAll() error {
	var errs []error
	for _, c := range k.components {
		errs = append(errs, c.kill())
	}
	return errors.Join(errs...)
}

func (k *Kubernetes) httpClient() (*http.Client, error) {
	config, err := k.Config()
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making an HTTP client: %w", err)
	}
	return client, nil
}
