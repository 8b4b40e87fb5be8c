package main

import (
	"github.com/spf13/cobra"

	"kubescribe/internal/daemon"
)

const rootLong = `kubescribe is the flight recorder of Kubernetes clusters: everything that happens is written down once, with its context,
searchable for months, and alerted on.

It runs as services that are joined by Kafka topics:

  producer   watches a cluster's API server and writes what happens to events.<cluster>
  enricher   adds owner, service, node and labels, and writes documents to enriched.<cluster>
  indexer    puts the documents of all clusters into Elasticsearch
  alerter    evaluates rules over the documents, deduplicates, and notifies
  explorer   answers searches

To try it without any of these systems, play a recording through all services in this one process:

  kubescribe local --replay events.ndjson

All services read one configuration file (--config); each key can also be set by the environment, such as
KUBESCRIBE_KAFKA_BROKERS for kafka.brokers. A key that nothing reads is an error.

Exit codes: 0 done, 1 failed, 2 wrong usage, configuration or input.`

// newRoot is the tree of commands. ran is set when a command's own code has been reached: before that, an error is about
// the command line.
func newRoot(con console) (root *cobra.Command, ran *bool) {
	ran = new(bool)
	root = &cobra.Command{
		Use:           "kubescribe",
		Short:         "The flight recorder of Kubernetes clusters",
		Long:          rootLong,
		Version:       daemon.ReadVersion().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(con.in)
	root.SetOut(con.out)
	root.SetErr(con.err)
	root.AddGroup(&cobra.Group{ID: groupServices, Title: "Services:"}, &cobra.Group{ID: groupTools, Title: "Tools:"})
	root.SetHelpCommandGroupID(groupTools)
	root.SetCompletionCommandGroupID(groupTools)
	for _, c := range []*cobra.Command{newProducer(con), newEnricher(con), newIndexer(con), newAlerter(con), newExplorer(con)} {
		c.GroupID = groupServices
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{newLocal(con), newCapture(con), newQuery(con), newTimeline(con), newTail(con), newTopics(con), newVerify(con), newDeadletter(con), newReindex(con), newRules(con), newVersion(con)} {
		c.GroupID = groupTools
		root.AddCommand(c)
	}
	mark(root, ran)
	return root, ran
}

// mark makes every command say that it was reached, which is after all of cobra's own checks.
func mark(cmd *cobra.Command, ran *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		mark(c, ran)
	}
}

const (
	groupServices = "services"
	groupTools    = "tools"
)
