package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"kubescribe/internal/daemon"
)

func newVersion(con console) *cobra.Command {
	var format output
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print which build this is",
		Example: "  kubescribe version\n  kubescribe version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := daemon.ReadVersion()
			if format.json() {
				return json.NewEncoder(con.out).Encode(v)
			}
			_, err := fmt.Fprintln(con.out, v)
			return err
		},
	}
	format.flag(cmd)
	return cmd
}
