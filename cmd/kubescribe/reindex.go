package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubescribe/indexer/reload"
	"kubescribe/internal/daemon"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

const reindexLong = `reindex puts documents into the store again: what the enriched topics still hold, or what files hold (--file: one document a line,
gzip or not, as "kubescribe query -o ndjson" or a dump of Elasticsearch with _id and _source gives them).

A document that is there already stays as it is, so that reindex may be run at any time, beside the indexers, and again after it
was interrupted. With --state it notes how far it is and goes on there. To write documents anew, for a changed mapping or another
period, give --into another index prefix, which is set up first; then let the indexers write there (elasticsearch.index_prefix),
and delete the old indices.

Documents past their retention are left out. Exit code 1 when a document was refused.`

type reindexOptions struct {
	files    []string
	into     string
	state    string
	clusters []string
	since    back
	skipBad  bool
	format   output
	backend  backend
}

func newReindex(con console) *cobra.Command {
	var o reindexOptions
	cmd := &cobra.Command{
		Use:   "reindex",
		Short: "Put documents into the store again, from Kafka or from files",
		Long:  reindexLong,
		Example: "  kubescribe reindex --since 7d --state reindex.json\n  kubescribe reindex --into kubescribe2 --state reindex.json\n" +
			"  kubescribe reindex --file dump.ndjson.gz --into archive\n  kubescribe query --since 30d -o ndjson | kubescribe reindex --file - --data-dir copy",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.files, "file", nil, "file of documents instead of Kafka; may be given several times; - is standard input")
	f.StringVar(&o.into, "into", "", "another index prefix to write to (default elasticsearch.index_prefix)")
	f.StringVar(&o.state, "state", "", "file where it is noted how far it is")
	f.StringSliceVar(&o.clusters, "cluster", nil, "the clusters whose topics to read, separated by commas (default all)")
	f.Var(&o.since, "since", "event time to begin with: 90m, 24h, 7d, or a time in RFC 3339 (default everything)")
	f.BoolVar(&o.skipBad, "skip-bad", false, "count lines of a file that are no documents, and go on")
	o.format.flag(cmd)
	_ = cmd.MarkFlagFilename("file")
	_ = cmd.MarkFlagFilename("state")
	set := addSettings(cmd, con).brokers(cmd)
	set.key(cmd, "topic-prefix", "kafka.topic_prefix", "what comes before every topic's name")
	o.backend.flags(cmd, set)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := set.load(cmd, o.apply, func(c *config) error {
			return errors.Join(o.backend.validate(c, len(o.files) == 0), c.Indexer.Validate())
		})
		if err != nil {
			return unlessShown(err)
		}
		result, err := o.run(cmd.Context(), con, c)
		if err == nil && result.Refused > 0 {
			err = fmt.Errorf("%d documents were refused", result.Refused)
		}
		var line *reload.LineError
		switch {
		case errors.As(err, &line):
			err = &daemon.UsageError{Err: fmt.Errorf("%w (--skip-bad counts such lines and goes on)", err)}
		case errors.Is(err, reload.ErrOtherTarget):
			err = &daemon.UsageError{Err: err}
		}
		return errors.Join(printReload(con.out, o.format, result, err), err)
	}
	return cmd
}

// apply checks the flags and lays them over the configuration.
func (o *reindexOptions) apply(c *config) error {
	var errs []error
	for _, name := range o.clusters {
		if err := schemas.ValidateClusterName(name); err != nil {
			errs = append(errs, fmt.Errorf("--cluster: %w", err))
		}
	}
	stdin := 0
	for _, name := range o.files {
		if name == "-" {
			stdin++
		} else if _, err := os.Stat(name); err != nil {
			errs = append(errs, fmt.Errorf("--file: %w", err))
		}
	}
	if stdin > 1 || stdin == 1 && o.state != "" {
		errs = append(errs, errors.New("--file -: standard input can be read once only, and has no state to go on from"))
	}
	if len(o.files) > 0 && len(o.clusters) > 0 {
		errs = append(errs, errors.New("--cluster is for topics: a file is read whole"))
	}
	if o.into != "" {
		if o.backend.dataDir != "" {
			errs = append(errs, errors.New("--into is a prefix of Elasticsearch's indices: a data directory has none"))
		}
		c.Elasticsearch.IndexPrefix = o.into
	}
	return errors.Join(errs...)
}

func (o *reindexOptions) run(ctx context.Context, con console, c *config) (total reload.Result, err error) {
	total.Refusals = []reload.Refusal{}
	d := toolDeps(con, c)
	st, release, err := o.backend.open(ctx, c, d, len(o.files) == 0)
	if err != nil {
		return total, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := st.Setup(ctx); err != nil {
		return total, err
	}
	p := newTicker(con)
	defer p.end()
	options := reload.Options{
		FlushRecords: c.Indexer.FlushRecords, FlushBytes: c.Indexer.FlushBytes, Requests: c.Indexer.BulkRequests, SkipBad: o.skipBad, Listed: 100,
		Progress: func(r reload.Result) { p.say(func() string { return reloadLine(r) }) },
	}
	if o.state != "" {
		if options.State, err = reload.OpenState(o.state, o.target(c)); err != nil {
			return total, err
		}
	}
	if len(o.files) == 0 {
		return o.fromKafka(ctx, options, c, d, st)
	}
	for _, name := range o.files {
		r, err := o.fromFile(ctx, options, con, name, st)
		total = sumReloads(total, r)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// target names where the documents go.
func (o *reindexOptions) target(c *config) string {
	if o.backend.dataDir != "" {
		return o.backend.dataDir
	}
	return strings.Join(c.Elasticsearch.Addresses, ",") + "/" + c.Elasticsearch.IndexPrefix
}

func (o *reindexOptions) fromKafka(ctx context.Context, options reload.Options, c *config, d stream.Deps, st store.Store) (reload.Result, error) {
	var topics []string
	var err error
	for _, name := range o.clusters {
		topics = append(topics, c.topics().Enriched(name))
	}
	if len(topics) == 0 {
		topics, err = stream.MatchTopics(ctx, c.Kafka, d, c.topics().EnrichedPattern())
	}
	if err == nil {
		err = stream.RequireTopics(ctx, c.Kafka, d, topics...)
	}
	if err != nil {
		return reload.Result{Refusals: []reload.Refusal{}}, err
	}
	return reload.FromKafka(ctx, options, c.Kafka, d, topics, o.since.time(time.Now()), st)
}

func (o *reindexOptions) fromFile(ctx context.Context, options reload.Options, con console, name string, st store.Store) (reload.Result, error) {
	in := con.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return reload.Result{}, fmt.Errorf("opening a file of documents: %w", err)
		}
		defer file.Close()
		in = file
	}
	return reload.FromFile(ctx, options, name, in, o.since.time(time.Now()), st)
}

func sumReloads(a, b reload.Result) reload.Result {
	a.Read += b.Read
	a.Stored += b.Stored
	a.Existed += b.Existed
	a.Expired += b.Expired
	a.Early += b.Early
	a.Refused += b.Refused
	a.Refusals = append(a.Refusals, b.Refusals...)
	if a.Seconds += b.Seconds; a.Seconds > 0 {
		a.Rate = float64(a.Stored+a.Existed) / a.Seconds
	}
	return a
}

func reloadLine(r reload.Result) string {
	of := ""
	if r.Of > 0 {
		of = fmt.Sprintf(" of about %d", r.Of)
	}
	return fmt.Sprintf("reindex: read=%d%s stored=%d existed=%d expired=%d refused=%d seconds=%.1f docs_per_second=%.0f",
		r.Read, of, r.Stored, r.Existed, r.Expired, r.Refused, r.Seconds, r.Rate)
}

func printReload(w io.Writer, format output, r reload.Result, failed error) error {
	if format.json() {
		out := struct {
			OK    bool   `json:"ok"`
			Error string `json:"error,omitempty"`
			reload.Result
		}{OK: failed == nil, Result: r}
		if failed != nil {
			out.Error = failed.Error()
		}
		return json.NewEncoder(w).Encode(out)
	}
	for _, x := range r.Refusals {
		fmt.Fprintf(w, "refused  %s  %s  %s\n", x.At, x.ID, firstLine(x.Reason))
	}
	if n := r.Refused - int64(len(r.Refusals)); n > 0 {
		fmt.Fprintf(w, "%d more refused documents are not named\n", n)
	}
	r.Of = 0
	_, err := fmt.Fprintln(w, reloadLine(r))
	return err
}
