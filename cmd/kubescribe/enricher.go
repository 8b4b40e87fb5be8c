package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kubescribe/enricher"
	"kubescribe/internal/stream"
)

func newEnricher(con console) *cobra.Command {
	return service{
		cmd: &cobra.Command{
			Use:   "enricher",
			Short: "Add owner, services, node, rollout and logs to a cluster's events",
			Long: `enricher reads events.<cluster>, asks the API server of that cluster about the involved objects, and writes documents to
enriched.<cluster>, each exactly once. Any number may run for a cluster; they share its partitions.

An API server that is away or forbids something never blocks it: the document then says what is missing and why.
It needs get, list and watch on the kinds of objects that events are about and on their owners; a permission that is missing
costs the one fact that needs it, and the log names the rule. It never reads Secrets.`,
			Example: "  kubescribe enricher --config kubescribe.yaml\n  kubescribe enricher --cluster shop --brokers kafka:9092 --kubeconfig ~/.kube/config",
		},
		flags: kubernetesFlags,
		validate: func(c *config) error {
			return errors.Join(c.validateCluster(), c.Enricher.Validate())
		},
		access: func(c *config) []stream.Access { return c.enricherAccess(c.Cluster) },
		run: func(ctx context.Context, c *config, d stream.Deps) error {
			rc, err := c.Kubernetes.rest()
			if err != nil {
				return err
			}
			objects, err := enricher.NewObjects(ctx, c.Enricher, rc, d)
			if err != nil {
				return err
			}
			return enricher.Run(ctx, c.Enricher, c.Cluster, c.Kafka, d, objects)
		},
	}.command(con)
}
