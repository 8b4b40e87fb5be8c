package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// clusterConfig is one of several clusters that a process works for.
type clusterConfig struct {
	// Name is the cluster's name, a part of topic names.
	Name string `koanf:"name"`
	// Kubeconfig is a kubeconfig file; empty: that of the section kubernetes.
	Kubeconfig string `koanf:"kubeconfig"`
	// Context is the kubeconfig's context; empty for its current one.
	Context string `koanf:"context"`
}

// connection is how to reach the cluster.
func (c clusterConfig) connection(common kubernetesConfig) kubernetesConfig {
	common.Context = c.Context
	if c.Kubeconfig != "" {
		common.Kubeconfig = c.Kubeconfig
	}
	return common
}

// validateClusters is validateCluster for a service that may work for several clusters.
func (c *config) validateClusters() error {
	if len(c.Clusters) == 0 {
		return c.validateCluster()
	}
	var errs []error
	if c.Cluster != "" {
		errs = append(errs, errors.New("cluster and clusters are both set: name the cluster in one of them"))
	}
	seen := map[string]bool{}
	for i, one := range c.Clusters {
		if err := schemas.ValidateClusterName(one.Name); err != nil {
			errs = append(errs, fmt.Errorf("clusters[%d].name: %w", i, err))
		}
		if seen[one.Name] {
			errs = append(errs, fmt.Errorf("clusters[%d].name: %q is there twice", i, one.Name))
		}
		seen[one.Name] = true
	}
	return errors.Join(errs...)
}

// clusterNames are the clusters that this process works for.
func (c *config) clusterNames() []string {
	if len(c.Clusters) == 0 {
		return []string{c.Cluster}
	}
	var all []string
	for _, one := range c.Clusters {
		all = append(all, one.Name)
	}
	return all
}

// eachCluster calls run for every cluster, side by side, and returns when all have ended. With several, logs, metrics and health
// say of which cluster they speak, and an error that ends one, which only a person can mend, leaves the others alone: readiness
// says it until then.
func (c *config) eachCluster(ctx context.Context, d stream.Deps, run func(ctx context.Context, name string, k kubernetesConfig, d stream.Deps) error) error {
	if len(c.Clusters) == 0 {
		return run(ctx, c.Cluster, c.Kubernetes, d)
	}
	errs := make([]error, len(c.Clusters))
	var all sync.WaitGroup
	for i, one := range c.Clusters {
		own := d
		own.Log = d.Log.With("cluster", one.Name)
		own.Metrics = prometheus.WrapRegistererWith(prometheus.Labels{"cluster": one.Name}, d.Metrics)
		own.Health = clusterHealth{to: d.Health, cluster: one.Name}
		all.Go(func() {
			err := run(ctx, one.Name, one.connection(c.Kubernetes), own)
			if err == nil {
				return
			}
			errs[i] = fmt.Errorf("cluster %s: %w", one.Name, err)
			own.Health.Set("run", err.Error())
			if ctx.Err() == nil {
				own.Log.Error("this cluster is given up until the next start, the others go on", "err", err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// clusterHealth reports the components of one cluster under its name.
type clusterHealth struct {
	to      stream.HealthReporter
	cluster string
}

func (h clusterHealth) Set(component, reason string) { h.to.Set(h.cluster+"/"+component, reason) }
