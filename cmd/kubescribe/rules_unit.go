package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"kubescribe/alerter/rule"
	"kubescribe/alerter/ruletest"
	"kubescribe/internal/daemon"
)

func rulesTest(con console) *cobra.Command {
	var format output
	var run string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "test DIR",
		Short: "Run the unit tests of rules",
		Long: `test runs the cases in the *_test.yaml files below DIR on the rules below DIR. A case puts events on a timeline and says which
alerts come of them, when, in which state and with how many pages; an alert that is not expected is a failure too. Nothing is sent.

A rule is tested when one case expects it to fire and another names it under silent. A rule that is not makes the command fail.`,
		Example: `  kubescribe rules test rules/
  kubescribe rules test rules/ --run 'crash' -v     # some cases, with the alerts that came`,
		Args: cobra.ExactArgs(1),
	}
	format.flag(cmd, "github")
	cmd.Flags().StringVar(&run, "run", "", "run only the cases whose name matches this regular expression")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print each case and the alerts that came")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dir := args[0]
		var only *regexp.Regexp
		if run != "" {
			var err error
			if only, err = regexp.Compile(run); err != nil {
				return &daemon.UsageError{Err: fmt.Errorf("--run: %w", err)}
			}
		}
		fsys, set, err := loadRules(dir)
		if err != nil {
			return err
		}
		report := ruletest.Run(fsys, set, only)
		below(dir, report.Problems)
		if format.json() {
			if report.Problems == nil {
				report.Problems = []rule.Problem{}
			}
			if err := json.NewEncoder(con.out).Encode(report); err != nil {
				return err
			}
		} else {
			printCases(con, dir, report, verbose)
			printProblems(con.out, format, report.Problems)
			fmt.Fprintf(con.out, "rules=%d tested=%d\n", report.Rules, report.Tested)
		}
		if n := len(report.Problems); n > 0 {
			return fmt.Errorf("%d problems in the tests of %s", n, dir)
		}
		return nil
	}
	return cmd
}

func printCases(con console, dir string, report ruletest.Report, verbose bool) {
	for _, c := range report.Cases {
		if !verbose {
			continue
		}
		verdict := "ok  "
		if !c.Passed {
			verdict = "FAIL"
		}
		fmt.Fprintf(con.out, "%s %s:%d: %s (%d pages)\n", verdict, filepath.Join(dir, c.File), c.Line, c.Name, c.Pages)
		for _, a := range c.Alerts {
			fmt.Fprintf(con.out, "       %s\n", a)
		}
	}
}
