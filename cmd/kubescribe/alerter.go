package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubescribe/alerter"
	"kubescribe/internal/stream"
)

func newAlerter(con console) *cobra.Command {
	return service{
		cmd: &cobra.Command{
			Use:   "alerter",
			Short: "Evaluate rules over the documents of all clusters, and notify",
			Long: `alerter evaluates every rule on every document (match), counts, deduplicates and resolves (decide), and sends what is decided to
the receivers (notify). All three run in one process unless alerter.match, alerter.decide and alerter.notify say otherwise;
any number of each may run.

A change in the folder of rules is taken over while it runs; a broken set of rules never replaces a good one.`,
			Example: "  kubescribe alerter --config kubescribe.yaml\n  kubescribe alerter --config kubescribe.yaml --rules ./rules",
		},
		flags: func(cmd *cobra.Command, s *settings) {
			s.key(cmd, "rules", "alerter.rules", "folder of the rule files")
			_ = cmd.MarkFlagDirname("rules")
		},
		validate: func(c *config) error { return c.Alerter.Validate() },
		topics: func(c *config) []string {
			t := c.topics()
			return []string{t.Matches(), t.AlertState(), t.Alerts(), t.Notifications(), t.DeadLetter("")}
		},
		run: func(ctx context.Context, c *config, d stream.Deps) error {
			return alerter.Run(ctx, c.Alerter, c.Kafka, d)
		},
	}.command(con)
}
