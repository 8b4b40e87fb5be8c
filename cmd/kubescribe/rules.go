package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kubescribe/alerter/rule"
	"kubescribe/internal/daemon"
)

func newRules(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Work on alert rules",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(rulesCheck(con))
	return cmd
}

func rulesCheck(con console) *cobra.Command {
	var format output
	var receivers []string
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Check rule files and show every mistake with its place",
		Long: `check reads every rule file below DIR (*.yaml, *.yml) as the alerter would, and prints every mistake as FILE:LINE:COLUMN: message.
The alerter takes a folder of rules whole or not at all, so run this before a change is merged.`,
		Example: "  kubescribe rules check rules/\n  kubescribe rules check rules/ --receivers oncall,chat -o json",
		Args:    cobra.ExactArgs(1),
	}
	format.flag(cmd)
	cmd.Flags().StringSliceVar(&receivers, "receivers", nil, "the configured receivers; a rule that names another is a mistake")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dir := args[0]
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no folder: name the folder that holds the rule files", dir)
		}
		if err != nil {
			return &daemon.UsageError{Err: err}
		}
		_, report := rule.Load(os.DirFS(dir), rule.Options{Receivers: receivers})
		for i := range report.Problems {
			report.Problems[i].File = filepath.Join(dir, report.Problems[i].File)
		}
		if format.json() {
			if report.Problems == nil {
				report.Problems = []rule.Problem{}
			}
			if err := json.NewEncoder(con.out).Encode(report); err != nil {
				return err
			}
		} else if report.Err() == nil {
			fmt.Fprintf(con.out, "%d rules in %d files are good\n", report.Rules, report.Files)
		} else {
			fmt.Fprintln(con.out, report.Err())
		}
		if n := len(report.Problems); n > 0 {
			return &daemon.UsageError{Err: fmt.Errorf("%d problems in the rules of %s", n, dir)}
		}
		return nil
	}
	return cmd
}
