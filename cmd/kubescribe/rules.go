package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kubescribe/alerter/rule"
	"kubescribe/internal/daemon"
)

func newRules(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Check and test alert rules, and try them on what was recorded",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(rulesCheck(con), rulesTest(con), rulesReplay(con), rulesExplain(con))
	return cmd
}

// ruleFolder opens a folder of rules; a name that is none is a wrong command line.
func ruleFolder(dir string) (fs.FS, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder: name the folder that holds the rule files", dir)
	}
	if err != nil {
		return nil, &daemon.UsageError{Err: err}
	}
	return os.DirFS(dir), nil
}

// loadRules loads a folder as the alerter would; broken rules are a wrong input.
func loadRules(dir string) (fs.FS, *rule.Set, error) {
	fsys, err := ruleFolder(dir)
	if err != nil {
		return nil, nil, err
	}
	set, report := rule.Load(fsys, rule.Options{})
	below(dir, report.Problems)
	if err := report.Err(); err != nil {
		return nil, nil, &daemon.UsageError{Err: fmt.Errorf("the rules in %s are broken:\n%s", dir, indent(err))}
	}
	return fsys, set, nil
}

// below puts the folder's name before the files' names.
func below(dir string, problems []rule.Problem) {
	for i := range problems {
		problems[i].File = filepath.Join(dir, problems[i].File)
	}
}

// printProblems prints a line for each problem, as a compiler does or as GitHub reads it from a workflow's log.
func printProblems(w io.Writer, format output, problems []rule.Problem) {
	for _, p := range problems {
		if format.github() {
			fmt.Fprintf(w, "::error file=%s,line=%d,col=%d::%s\n", property(p.File), max(p.Line, 1), max(p.Column, 1), escaper.Replace(p.Message))
			continue
		}
		fmt.Fprintln(w, p)
	}
}

// GitHub's own escapes, of a message and of a property.
var (
	escaper         = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyEscaper = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func property(s string) string { return propertyEscaper.Replace(filepath.ToSlash(s)) }
