package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"kubescribe/alerter/rule"
	"kubescribe/internal/daemon"
)

func rulesCheck(con console) *cobra.Command {
	var format output
	var receivers []string
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Check rule files and show every mistake with its place",
		Long: `check reads every rule file below DIR (*.yaml, *.yml) as the alerter would, and prints every mistake as FILE:LINE:COLUMN: message.
The alerter takes a folder of rules whole or not at all, so run this before a change is merged.

It also finds what the alerter would run but nobody can want: a condition that no document meets, a rule without dedup, a group
for each pod or each rollout, a pattern that is compiled for each document.`,
		Example: `  kubescribe rules check rules/
  kubescribe rules check rules/ --receivers oncall,chat -o json
  kubescribe rules check rules/ -o github     # annotations on the lines of a pull request`,
		Args: cobra.ExactArgs(1),
	}
	format.flag(cmd, "github")
	cmd.Flags().StringSliceVar(&receivers, "receivers", nil, "the configured receivers; a rule that names another is a mistake")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dir := args[0]
		fsys, err := ruleFolder(dir)
		if err != nil {
			return err
		}
		_, report := rule.Load(fsys, rule.Options{Receivers: receivers, Strict: true})
		below(dir, report.Problems)
		switch {
		case format.json():
			if report.Problems == nil {
				report.Problems = []rule.Problem{}
			}
			if err := json.NewEncoder(con.out).Encode(report); err != nil {
				return err
			}
		case report.Err() == nil:
			fmt.Fprintf(con.out, "%d rules in %d files are good\n", report.Rules, report.Files)
		default:
			printProblems(con.out, format, report.Problems)
		}
		if n := len(report.Problems); n > 0 {
			return &daemon.UsageError{Err: fmt.Errorf("%d problems in the rules of %s", n, dir)}
		}
		return nil
	}
	return cmd
}
