package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// output is the flag -o. It is a pflag.Value, so that a wrong value is a wrong command line.
type output struct {
	value   string
	allowed []string
}

// flag adds -o to cmd: text or json, and what more there is.
func (o *output) flag(cmd *cobra.Command, more ...string) {
	o.value, o.allowed = "text", append([]string{"text", "json"}, more...)
	usage := "output format: text, or json for one JSON object"
	if slices.Contains(more, "github") {
		usage += ", or github for annotations of a pull request"
	}
	cmd.Flags().VarP(o, "output", "o", usage)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.allowed, cobra.ShellCompDirectiveNoFileComp))
}

func (o output) json() bool { return o.value == "json" }

func (o output) github() bool { return o.value == "github" }

// String is the value.
func (o *output) String() string { return o.value }

// Type is what help calls the value.
func (o *output) Type() string { return "format" }

// Set takes one of the allowed values.
func (o *output) Set(s string) error {
	if !slices.Contains(o.allowed, s) {
		last := len(o.allowed) - 1
		return fmt.Errorf("use %s or %s", strings.Join(o.allowed[:last], ", "), o.allowed[last])
	}
	o.value = s
	return nil
}
