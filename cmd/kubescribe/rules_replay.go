package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	rehearsal "kubescribe/alerter/replay"
	"kubescribe/alerter/rule"
	"kubescribe/internal/daemon"
	"kubescribe/internal/stream"
)

// replaying are the flags of rules replay.
type replaying struct {
	backend  backend
	source   string
	clusters []string
	since    back
	until    back
	list     bool
	format   output
}

func rulesReplay(con console) *cobra.Command {
	o := &replaying{since: back{age: 7 * 24 * time.Hour}}
	cmd := &cobra.Command{
		Use:   "replay DIR",
		Short: "Say what rules would have paged in the time that is behind",
		Long: `replay runs the rules below DIR over the documents of the last days, and prints how many pages each would have sent in each hour.
It decides as the alerter does, but in memory: it joins no consumer group, writes nothing and sends nothing.

The documents come from the enriched topics, as far back as Kafka keeps them, or from the store (--from store), as far back as that
does. Over Kafka the clock is the records' timestamps, over the store the times at which the producer observed.`,
		Example: `  kubescribe rules replay rules/ --since 7d
  kubescribe rules replay rules/ --since 24h --alerts --cluster shop
  kubescribe rules replay rules/ --since 30d --from store -o json
  kubescribe rules replay rules/ --data-dir ~/.local/share/kubescribe     # of a stopped kubescribe local`,
		Args: cobra.ExactArgs(1),
	}
	o.format.flag(cmd)
	set := addSettings(cmd, con).brokers(cmd)
	set.key(cmd, "topic-prefix", "kafka.topic_prefix", "what comes before every topic's name")
	o.backend.flags(cmd, set)
	f := cmd.Flags()
	f.StringVar(&o.source, "from", "kafka", "where the documents come from: kafka or store")
	f.StringSliceVar(&o.clusters, "cluster", nil, "only these clusters; from kafka only")
	f.Var(&o.since, "since", "from when on: 90m, 24h, 7d, or a time in RFC 3339")
	f.Var(&o.until, "until", "up to when: so long ago, or a time (default now)")
	f.BoolVar(&o.list, "alerts", false, "print every alert too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, rules, err := loadRules(args[0])
		if err != nil {
			return err
		}
		if o.source != "kafka" && o.source != "store" || o.source == "store" && len(o.clusters) > 0 {
			return &daemon.UsageError{Err: errors.New("--from: use kafka or store; --cluster goes with kafka only")}
		}
		c, err := set.load(cmd, func(c *config) error { return o.backend.validate(c, o.source == "kafka") })
		if err != nil {
			return unlessShown(err)
		}
		report, err := o.run(cmd.Context(), c, toolDeps(con, c), rules)
		if err != nil {
			return err
		}
		return o.print(con.out, report)
	}
	return cmd
}

func (o *replaying) run(ctx context.Context, c *config, d stream.Deps, rules *rule.Set) (rehearsal.Report, error) {
	now := time.Now()
	from, to := o.since.time(now), o.until.time(now)
	if to.IsZero() {
		to = now
	}
	if !from.Before(to) {
		return rehearsal.Report{}, &daemon.UsageError{Err: errors.New("--since must be before --until")}
	}
	r := rehearsal.NewRun(rules, c.Alerter.DefaultReceivers, from, to)
	if o.source == "kafka" && o.backend.dataDir == "" {
		if err := stream.Ping(ctx, c.Kafka, d); err != nil {
			return rehearsal.Report{}, err
		}
		err := o.kafka(ctx, c, d, r)
		return r.End(), err
	}
	st, release, err := o.backend.open(ctx, c, d, o.source == "kafka")
	if err != nil {
		return rehearsal.Report{}, err
	}
	if o.source == "kafka" {
		err = o.kafka(ctx, c, d, r)
	} else {
		err = r.FromStore(ctx, st)
	}
	return r.End(), errors.Join(err, release())
}

// kafka reads the enriched topics of the clusters that are asked for, or of all.
func (o *replaying) kafka(ctx context.Context, c *config, d stream.Deps, r *rehearsal.Run) error {
	topics, err := stream.MatchTopics(ctx, c.Kafka, d, c.topics().EnrichedPattern())
	if err != nil {
		return err
	}
	if len(o.clusters) > 0 {
		var missing []string
		for _, name := range o.clusters {
			if !slices.Contains(topics, c.topics().Enriched(name)) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			return &daemon.UsageError{Err: fmt.Errorf("--cluster: there is no topic of documents of %s", strings.Join(missing, ", "))}
		}
		topics = nil
		for _, name := range o.clusters {
			topics = append(topics, c.topics().Enriched(name))
		}
		slices.Sort(topics)
	}
	if len(topics) == 0 {
		return fmt.Errorf("there is no topic %s: has an enricher ever run?", c.topics().Enriched("<cluster>"))
	}
	return r.FromKafka(ctx, c.Kafka, d, topics)
}

func (o *replaying) print(w io.Writer, r rehearsal.Report) error {
	if o.format.json() {
		return json.NewEncoder(w).Encode(r)
	}
	if o.list {
		for _, a := range r.Alerts {
			muted := ""
			if a.MutedBy != "" {
				muted = " (nobody is told)"
			}
			fmt.Fprintf(w, "%s  %-8s  %s  %s%s\n", a.StartsAt.UTC().Format(time.RFC3339), a.Status, a.Rule, a.Annotations["summary"], muted)
		}
		if len(r.Alerts) > 0 {
			fmt.Fprintln(w)
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Hours) > 0 {
		fmt.Fprintln(tw, "HOUR\tRULE\tPAGES")
	}
	for _, h := range r.Hours {
		fmt.Fprintf(tw, "%s\t%s\t%d\n", h.Hour.Format("2006-01-02T15:00Z"), h.Rule, h.Pages)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "replay: from=%s to=%s rules=%d documents=%d undecodable=%d matches=%d failures=%d alerts=%d pages=%d\n",
		r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), r.Rules, r.Documents, r.Undecodable, r.Matches, r.Failures, len(r.Alerts), r.Pages)
	return err
}
