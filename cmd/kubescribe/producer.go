package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kubescribe/internal/stream"
	"kubescribe/producer"
)

func newProducer(con console) *cobra.Command {
	return service{
		cmd: &cobra.Command{
			Use:   "producer",
			Short: "Watch a cluster and write what happens to events.<cluster>",
			Long: `producer watches the API server and writes every revision of every Event to the topic events.<cluster>, exactly once,
through restarts, failover and expired watches. Any number may run for a cluster: one is active, the others wait for its Lease.

It also writes down each container that ended abnormally or cannot start (OOMKilled, CrashLoopBackOff, ImagePullBackOff, …),
once: Kubernetes writes no Event for some of these.

It needs: get on the namespace kube-system, list and watch on events and pods (without pods: producer.containers.enabled:
false), and get, create and update on leases in its own namespace.

One process can watch several clusters: list them under clusters, each with its name and the context of a kubeconfig.`,
			Example: "  kubescribe producer --config kubescribe.yaml\n  kubescribe producer --cluster shop --brokers kafka:9092 --kubeconfig ~/.kube/config",
		},
		flags: kubernetesFlags,
		validate: func(c *config) error {
			return errors.Join(c.validateClusters(), c.Producer.Validate())
		},
		access: func(c *config) (all []stream.Access) {
			for _, name := range c.clusterNames() {
				all = append(all, c.producerAccess(name)...)
			}
			return all
		},
		run: func(ctx context.Context, c *config, d stream.Deps) error {
			producer.KeepMemorySmall(ctx)
			return c.eachCluster(ctx, d, func(ctx context.Context, name string, k kubernetesConfig, d stream.Deps) error {
				rc, err := k.rest()
				if err != nil {
					return err
				}
				return producer.Run(ctx, c.Producer, name, c.Kafka, d, rc)
			})
		},
	}.command(con)
}

// kubernetesFlags are those of a service that works beside one cluster.
func kubernetesFlags(cmd *cobra.Command, s *settings) {
	s.key(cmd, "cluster", "cluster", "name of the cluster")
	s.key(cmd, "kubeconfig", "kubernetes.kubeconfig", "kubeconfig file")
	s.key(cmd, "context", "kubernetes.context", "context of the kubeconfig")
	_ = cmd.MarkFlagFilename("kubeconfig")
}
