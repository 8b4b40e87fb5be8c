package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kubescribe/internal/store"
)

const setupLong = `setup creates what the indexer needs in Elasticsearch: ILM policies, templates, and the layout that records the period. It may be
run again at any time:

  - What is missing is created.
  - What is as kubescribe left it follows this version and configuration.
  - What somebody has changed is shown and kept; --force overwrites it.
  - Another elasticsearch.period is recorded for documents from a day in the future on, so that every document keeps its index.

Policies and templates apply to indices that exist (policies) and that are made later (templates).

It needs the cluster privileges manage_ilm and manage_index_templates, and create_index, manage and view_index_metadata on kubescribe-*.
The indexer itself then gets by with create_doc, auto_configure and view_index_metadata on kubescribe-*.`

func indexerSetup(con console) *cobra.Command {
	var format output
	var o store.SetupOptions
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Create and update the ILM policies and templates in Elasticsearch, and exit",
		Long:  setupLong,
		Example: "  kubescribe indexer setup --config kubescribe.yaml\n  kubescribe indexer setup --diff\n" +
			"  kubescribe indexer setup --force -o json",
		Args: cobra.NoArgs,
	}
	set := addSettings(cmd, con)
	set.key(cmd, "elasticsearch", "elasticsearch.addresses", "Elasticsearch nodes, URLs separated by commas")
	cmd.Flags().BoolVar(&o.DryRun, "diff", false, "show what would change and change nothing; exit code 1 when something differs")
	cmd.Flags().BoolVar(&o.Force, "force", false, "overwrite also what somebody has changed")
	format.flag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		c, err := set.load(cmd, func(c *config) error { return errors.Join(c.Elasticsearch.Validate(), c.logging()) })
		if err != nil {
			return unlessShown(err)
		}
		st, err := store.OpenElasticsearch(c.Elasticsearch, toolDeps(con, c))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.Close()) }()
		changes, err := st.SetUp(cmd.Context(), o)
		if err == nil && o.DryRun && differing(changes) > 0 {
			err = fmt.Errorf("%d of %d differ", differing(changes), len(changes))
		}
		return errors.Join(printSetup(con.out, format, changes, o, err), err)
	}
	return cmd
}

func differing(changes []store.Change) int {
	n := 0
	for _, c := range changes {
		if c.Action != store.ActionNone {
			n++
		}
	}
	return n
}

func printSetup(w io.Writer, format output, changes []store.Change, o store.SetupOptions, failed error) error {
	if format.json() {
		out := struct {
			OK      bool           `json:"ok"`
			Error   string         `json:"error,omitempty"`
			Changes []store.Change `json:"changes"`
		}{OK: failed == nil, Changes: changes}
		if failed != nil {
			out.Error = failed.Error()
		}
		return json.NewEncoder(w).Encode(out)
	}
	words := map[store.Action]string{
		store.ActionCreate: "created", store.ActionUpdate: "updated", store.ActionOverwrite: "overwritten",
		store.ActionKeep: "changed by somebody, kept (--force overwrites it)",
	}
	if o.DryRun {
		words[store.ActionCreate], words[store.ActionUpdate], words[store.ActionOverwrite] = "would be created", "would be updated", "would be overwritten"
	}
	for _, c := range changes {
		if c.Action == store.ActionNone {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s %s: %s\n", c.Kind, c.Name, words[c.Action]); err != nil {
			return err
		}
		for _, d := range c.Differences {
			if _, err := fmt.Fprintf(w, "  %s: %s -> %s\n", d.Path, shown(d.Have), shown(d.Want)); err != nil {
				return err
			}
		}
	}
	if failed == nil && differing(changes) == 0 {
		_, err := fmt.Fprintln(w, "Elasticsearch is set up; nothing to do")
		return err
	}
	return nil
}

// shown is one side of a difference.
func shown(v any) string {
	if v == nil {
		return "(nothing)"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
