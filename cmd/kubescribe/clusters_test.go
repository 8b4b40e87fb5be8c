package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/daemon"
	"kubescribe/internal/stream"
)

// TestEachCluster: every cluster has its own connection, health and metrics, and one that ends leaves the others alone.
func TestEachCluster(t *testing.T) {
	c := defaultConfig()
	c.Kubernetes.Kubeconfig = "common"
	c.Clusters = []clusterConfig{{Name: "shop", Context: "a"}, {Name: "bank", Kubeconfig: "own", Context: "b"}, {Name: "gone"}}
	registry := prometheus.NewRegistry()
	health := &daemon.Health{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	got := map[string]kubernetesConfig{}
	gone := make(chan struct{})
	err := c.eachCluster(ctx, stream.Deps{Log: slog.New(slog.DiscardHandler), Metrics: registry, Health: health},
		func(ctx context.Context, name string, k kubernetesConfig, d stream.Deps) error {
			if name == "gone" {
				defer close(gone)
				return errors.New("no permission")
			}
			d.Health.Set("producer", "")
			d.Metrics.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"}))
			mu.Lock()
			got[name] = k
			done := len(got) == 2
			mu.Unlock()
			<-gone
			if done {
				cancel()
			}
			<-ctx.Done()
			return nil
		})
	require.ErrorContains(t, err, "cluster gone: no permission")
	require.Equal(t, map[string]kubernetesConfig{"shop": {Kubeconfig: "common", Context: "a"}, "bank": {Kubeconfig: "own", Context: "b"}}, got)
	require.Equal(t, []string{"gone/run: no permission"}, health.Reasons())
	families, err := registry.Gather()
	require.NoError(t, err)
	var clusters []string
	for _, m := range families[0].GetMetric() {
		clusters = append(clusters, m.GetLabel()[0].GetValue())
	}
	require.ElementsMatch(t, []string{"shop", "bank"}, clusters)
}

func TestClustersAreChecked(t *testing.T) {
	c := defaultConfig()
	c.Cluster = "x"
	c.Clusters = []clusterConfig{{Name: "shop"}, {Name: "shop"}, {Name: "Bank EU"}}
	err := c.validateClusters()
	require.ErrorContains(t, err, "cluster and clusters are both set")
	require.ErrorContains(t, err, `clusters[1].name: "shop" is there twice`)
	require.ErrorContains(t, err, "clusters[2].name:")
	c = defaultConfig()
	require.ErrorContains(t, c.validateClusters(), "cluster is missing")
}
