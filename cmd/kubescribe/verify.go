package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kubescribe/indexer/reconciliation"
	"kubescribe/schemas"
)

const verifyLong = `verify compares what is on the enriched topics with what is in the store, by id, and says whether anything was lost. It counts
both sides by class and hour, compares ids where the counts differ, and reads by id what a search does not show, so that it does
not depend on when the store refreshes. It may run beside the services at any time.

  records       in Kafka, with an event time in the range
  documents     in the store
  missing       committed by the indexer and not in the store: lost
  extra         in the store and not in Kafka
  deadlettered  put into the dead letter by the indexer: see "kubescribe deadletter"
  expired       past their retention: their index is deleted, or about to be
  pending       not committed by the indexer yet

Kafka keeps its records for a while (7 days by default). What is older can't be compared: for each cluster whose topic has lost
records to retention, the output says from when on the comparison is whole; before that only the records that are left are
looked up.

Exit code 1 when something is missing that was not repaired, or extra. Counts that agree can hide a document that is missing as
long as another one is extra in the same class and hour; --ids compares every id.`

func newVerify(con console) *cobra.Command {
	var format output
	var from back
	o := reconciliation.Options{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Say whether everything on Kafka is in the store, and repair what is missing",
		Long:  verifyLong,
		Example: "  kubescribe verify --since 24h\n  kubescribe verify --since 7d --cluster shop -o json\n" +
			"  kubescribe verify --since 24h --repair\n  kubescribe verify --data-dir ~/.local/share/kubescribe",
		Args: cobra.NoArgs,
	}
	var b backend
	from = back{age: 24 * time.Hour}
	f := cmd.Flags()
	f.Var(&from, "since", "event time to begin with: how long ago, such as 90m, 24h or 7d, or a time in RFC 3339")
	f.StringSliceVar(&o.Clusters, "cluster", nil, "the clusters to compare, separated by commas (default all that have a topic)")
	f.BoolVar(&o.Repair, "repair", false, "store what is missing")
	f.BoolVar(&o.Every, "ids", false, "compare ids also where the counts agree")
	f.IntVar(&o.Listed, "list", 20, "how many differences of each kind to name for each cluster")
	format.flag(cmd)
	set := addSettings(cmd, con).brokers(cmd)
	set.key(cmd, "topic-prefix", "kafka.topic_prefix", "what comes before every topic's name")
	set.key(cmd, "group", "indexer.group", "the indexers' consumer group")
	b.flags(cmd, set)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		c, err := set.load(cmd, func(c *config) error {
			errs := []error{b.validate(c, true), c.Indexer.Validate()}
			for _, name := range o.Clusters {
				if err := schemas.ValidateClusterName(name); err != nil {
					errs = append(errs, fmt.Errorf("--cluster: %w", err))
				}
			}
			if o.Listed < 1 || o.Listed > 100_000 {
				errs = append(errs, fmt.Errorf("--list: %d is not between 1 and 100000", o.Listed))
			}
			return errors.Join(errs...)
		})
		if err != nil {
			return unlessShown(err)
		}
		d := toolDeps(con, c)
		st, release, err := b.open(cmd.Context(), c, d, true)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, release()) }()
		o.Since, o.Group = from.time(time.Now()), c.Indexer.Group
		if b.dataDir != "" { // a local that watches a cluster deletes by age, one that plays a recording does not
			o.Kept = func(class string, t time.Time) time.Time { return t.Add(c.SQLite.Retention.Of(class)) }
		}
		p := newTicker(con)
		o.Progress = func(at reconciliation.Progress) {
			p.say(func() string {
				return fmt.Sprintf("%s: %s, %d of about %d records", at.Cluster, at.Step, at.Records, at.Of)
			})
		}
		report, err := reconciliation.Run(cmd.Context(), o, c.Kafka, d, st)
		p.end()
		total := report.Total()
		if err == nil && !total.Agree() {
			err = fmt.Errorf("Kafka and the store differ: %d missing, %d extra", total.Missing-total.Repaired, total.Extra)
		}
		return errors.Join(printReport(con.out, format, report, err), err)
	}
	return cmd
}

func printReport(w io.Writer, format output, r reconciliation.Report, failed error) error {
	total := r.Total()
	if format.json() {
		out := struct {
			OK    bool   `json:"ok"`
			Error string `json:"error,omitempty"`
			reconciliation.Report
			Total reconciliation.Counts `json:"total"`
		}{OK: failed == nil, Report: r, Total: total}
		if failed != nil {
			out.Error = failed.Error()
		}
		return json.NewEncoder(w).Encode(out)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CLUSTER\tRECORDS\tDOCUMENTS\tMISSING\tEXTRA\tDEADLETTERED\tEXPIRED\tPENDING")
	for _, c := range r.Clusters {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", c.Name, c.Records, c.Documents, c.Missing, c.Extra, c.DeadLettered, c.Expired, c.Pending)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, c := range r.Clusters {
		if c.Whole.After(r.Since) {
			fmt.Fprintf(w, "%s: Kafka's retention has taken records: extra documents are found from %s on only\n", c.Name, c.Whole.Format(time.RFC3339))
		}
		for _, d := range c.Differences {
			printDifference(w, d)
		}
		if n := c.Missing + c.Extra + c.DeadLettered - int64(len(c.Differences)); n > 0 {
			fmt.Fprintf(w, "%s: %d more are not named (--list)\n", c.Name, n)
		}
	}
	_, err := fmt.Fprintf(w, "verify: since=%s records=%d documents=%d missing=%d extra=%d deadlettered=%d expired=%d pending=%d repaired=%d\n",
		r.Since.Format(time.RFC3339), total.Records, total.Documents, total.Missing, total.Extra, total.DeadLettered, total.Expired, total.Pending, total.Repaired)
	return err
}

func printDifference(w io.Writer, d reconciliation.Difference) {
	what := string(d.Kind)
	if d.Repaired {
		what = "repaired"
	}
	fmt.Fprint(w, what)
	for _, part := range []string{d.Class, d.Record, d.ID} {
		if part != "" {
			fmt.Fprint(w, "  ", part)
		}
	}
	if !d.Time.IsZero() {
		fmt.Fprint(w, "  ", d.Time.Format(time.RFC3339))
	}
	if d.Reason != "" {
		fmt.Fprint(w, "  ", firstLine(d.Reason))
	}
	fmt.Fprintln(w)
}
