package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// enriching is what the enricher's cases share: one broker, a control plane, and the access that deploy/ grants.
type enriching struct {
	*Env
	topics  schemas.Topics
	dynamic dynamic.Interface
}

// startEnriching starts Kafka and a control plane side by side, and grants what deploy/kubernetes/access.yaml grants.
func startEnriching(ctx context.Context, env *Env) (*enriching, error) {
	e := &enriching{Env: env, topics: schemas.Topics{Prefix: schemas.DefaultTopicPrefix}}
	if err := stack.Prepare(ctx, stack.PartKafka, stack.PartKubernetes); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if e.kafka, err = stack.StartKafka(gctx, e.path("kafka")); err != nil {
			return err
		}
		e.onClose(func() { _ = e.kafka.Stop() })
		e.broker, err = newBroker(e.kafka.Bootstrap)
		return err
	})
	g.Go(func() (err error) {
		if e.kube, err = stack.StartKubernetes(gctx, e.path("kubernetes")); err != nil {
			return err
		}
		e.onClose(func() { _ = e.kube.Stop() })
		if e.rest, err = e.kube.Config(); err != nil {
			return err
		}
		e.rest.WarningHandler = rest.NoWarnings{} // Events are about old Endpoints, too
		if e.client, err = kubernetes.NewForConfig(e.rest); err != nil {
			return err
		}
		e.dynamic, err = dynamic.NewForConfig(e.rest)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	e.onClose(e.broker.close)
	e.logf("stack is up: kafka %s, kubernetes %s", e.kafka.Bootstrap, e.kube.Server)
	access, err := fromRoot("deploy/kubernetes/access.yaml")
	if err != nil {
		return nil, err
	}
	return e, errors.Join(
		e.apply(ctx, "{apiVersion: v1, kind: Namespace, metadata: {name: kubescribe}}"),
		e.apply(ctx, string(access)),
	)
}

// fromRoot reads a file of the repository, from wherever in it the case runs.
func fromRoot(path string) ([]byte, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return os.ReadFile(filepath.Join(dir, path))
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("no go.mod above the working directory")
		}
	}
	return nil, fmt.Errorf("reading %s: %w", path, err)
}

// configureAs writes the configuration of a service that acts as its service account, with the section enricher as given.
func (e *enriching) configureAs(service, section string) (string, error) {
	admin, err := clientcmd.LoadFromFile(e.kube.Kubeconfig)
	if err != nil {
		return "", err
	}
	as := e.path(service + ".kubeconfig")
	for _, user := range admin.AuthInfos {
		user.Impersonate = "system:serviceaccount:kubescribe:kubescribe-" + service
	}
	if err := clientcmd.WriteToFile(*admin, as); err != nil {
		return "", err
	}
	file := e.path("kubescribe-" + service + ".yaml")
	return file, os.WriteFile(file, fmt.Appendf(nil, `
cluster: %s
log: {level: info, format: text}
kafka: {brokers: [%q]}
topics: {partitions: 6, replication: 1}
kubernetes: {kubeconfig: %q}
producer: {lease: {namespace: kubescribe}}
enricher: %s
`, cluster, e.kafka.Bootstrap, as, section), 0o600)
}

// replica prepares a process of a service under a name of its own.
func (e *enriching) replica(service, name, file string) (*process, error) {
	p, err := e.service(service)
	if err != nil {
		return nil, err
	}
	p.name, p.logs, p.args = name, e.path(name+".log"), []string{service, "--config", file}
	return p, nil
}

// started starts processes and returns when all are ready.
func started(ctx context.Context, processes ...*process) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, p := range processes {
		if err := p.start(); err != nil {
			return err
		}
	}
	for _, p := range processes {
		if err := p.waitReady(wait); err != nil {
			return err
		}
	}
	return nil
}

// mapper knows the kinds that the API server has now.
func (e *enriching) mapper() (meta.RESTMapper, error) {
	d, err := discovery.NewDiscoveryClientForConfig(e.rest)
	if err != nil {
		return nil, err
	}
	groups, err := restmapper.GetAPIGroupResources(d)
	return restmapper.NewDiscoveryRESTMapper(groups), err
}

// apply creates the objects of a YAML stream. Kinds that a definition has just made are waited for.
func (e *enriching) apply(ctx context.Context, manifest string) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	mapper, err := e.mapper()
	if err != nil {
		return err
	}
	for _, doc := range strings.Split(manifest, "\n---") {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil || len(o.Object) == 0 {
			if err != nil {
				return fmt.Errorf("reading a manifest: %w", err)
			}
			continue
		}
		for {
			err = e.create(wait, mapper, &o)
			if err == nil {
				break
			}
			if pause(wait, 100*time.Millisecond) != nil {
				return fmt.Errorf("creating %s %s: %w", o.GetKind(), o.GetName(), err)
			}
			if meta.IsNoMatchError(err) {
				if mapper, err = e.mapper(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (e *enriching) create(ctx context.Context, mapper meta.RESTMapper, o *unstructured.Unstructured) error {
	client, err := e.resource(mapper, o.GetAPIVersion(), o.GetKind(), o.GetNamespace())
	if err != nil {
		return err
	}
	made, err := client.Create(ctx, o, metav1.CreateOptions{})
	if err == nil {
		*o = *made
	}
	return err
}

// resource is the client for one kind.
func (e *enriching) resource(mapper meta.RESTMapper, apiVersion, kind, namespace string) (dynamic.ResourceInterface, error) {
	gvk := metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
	m, err := mapper.RESTMapping(gvk.GroupVersionKind().GroupKind(), gvk.GroupVersionKind().Version)
	if err != nil {
		return nil, err
	}
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		return e.dynamic.Resource(m.Resource).Namespace(namespace), nil
	}
	return e.dynamic.Resource(m.Resource), nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}
