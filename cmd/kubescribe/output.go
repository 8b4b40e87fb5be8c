package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// output is the flag -o. It is a pflag.Value, so that a wrong value is a wrong command line.
type output string

func (o *output) flag(cmd *cobra.Command) {
	*o = "text"
	cmd.Flags().VarP(o, "output", "o", "output format: text, or json for one JSON object")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func (o output) json() bool { return o == "json" }

// String is the value.
func (o *output) String() string { return string(*o) }

// Type is what help calls the value.
func (o *output) Type() string { return "format" }

// Set takes text or json.
func (o *output) Set(s string) error {
	if s != "text" && s != "json" {
		return fmt.Errorf("use text or json")
	}
	*o = output(s)
	return nil
}
