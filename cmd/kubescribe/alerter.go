package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kubescribe/alerter"
	"kubescribe/internal/daemon"
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
		access:   (*config).alerterAccess,
		run: func(ctx context.Context, c *config, d stream.Deps) error {
			if c.Alerter.Match {
				if err := c.checkRules(c.Alerter.Rules); err != nil {
					return err
				}
			}
			return alerter.Run(ctx, c.Alerter, c.Kafka, d)
		},
	}.command(con)
}

// alerterAccess is what the steps need that this process runs.
func (c *config) alerterAccess() (all []stream.Access) {
	if c.Alerter.Match {
		all = append(all, c.matchAccess()...)
	}
	if c.Alerter.Decide {
		all = append(all, c.decideAccess()...)
	}
	if c.Alerter.Notify {
		all = append(all, c.notifyAccess()...)
	}
	return all
}

// checkRules makes broken rules a wrong input. An empty folder's name means that there are no rules.
func (c *config) checkRules(folder string) error {
	if folder == "" {
		return nil
	}
	receivers := []string{}
	for _, r := range c.Alerter.Receivers {
		receivers = append(receivers, r.Name)
	}
	if err := alerter.Check(os.DirFS(folder), receivers).Err(); err != nil {
		return &daemon.UsageError{Err: fmt.Errorf("the rules in %s are broken:\n%s", folder, indent(err))}
	}
	return nil
}
