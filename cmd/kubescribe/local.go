package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"kubescribe/alerter"
	"kubescribe/internal/daemon"
	"kubescribe/producer"
	"kubescribe/schemas"
)

const localLong = `local runs every service in this one process and needs no other system: a Kafka broker inside the process, on loopback, and
SQLite in place of Elasticsearch. The services are the same as elsewhere and talk through the same topics.

It plays recordings (--replay), or watches the cluster of the kubeconfig. A recording is NDJSON of watch events or of Events, or
a List as "kubectl get events -o json" prints it, gzip or not:

  kubectl get events -A --watch -o json --output-watch-events > events.ndjson

What it promises: across graceful stops (Ctrl-C, or --once) every revision is stored once, matched once and paged once. After
a kill (kill -9, power loss) nothing acknowledged is lost; its topics may then hold some records twice, but documents and pages
do not repeat. Playing the same recording again changes nothing. Unlike Kafka, the broker inside deletes records when they have
been read, and keeps the latest only.

The summary's numbers: observed, the distinct revisions in the recordings (when watching: those that this run has seen);
enriched, the documents that this run has made of them (none for what an earlier run has done); documents, deadlettered and
alerts, what the data directory holds at the end, documents counted in the store after it was closed and opened again. Each
alert counts once, under its last state.

Of the configuration it uses the sections log, kubernetes, producer, enricher, indexer, alerter and explorer; kafka,
elasticsearch, topics and http are its own.`

const localExample = `  kubescribe local --replay events.ndjson
  kubescribe local --replay monday.ndjson.gz --replay tuesday.ndjson.gz --rules ./rules --once -o json
  kubectl get events -A -o json | kubescribe local --replay - --once
  kubescribe local --context kind-shop --cluster shop`

// localOptions are the flags of local that are no keys of the configuration.
type localOptions struct {
	replay     []string
	pace       string
	once       bool
	skipBad    bool
	dataDir    string
	rules      string
	clusterUID string
	listen     string
	progress   time.Duration
	format     output
}

// localListen is where the explorer listens unless something else does.
const localListen = "127.0.0.1:8360"

func newLocal(con console) *cobra.Command {
	var o localOptions
	cmd := &cobra.Command{
		Use:     "local",
		Short:   "Run everything in this process, on a recording or a cluster",
		Long:    localLong,
		Example: localExample,
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.replay, "replay", nil, "recording to play; may be given several times; - is standard input")
	f.StringVar(&o.pace, "pace", producer.PaceFast, "how to play it: fast, or real for the pace at which it was recorded")
	f.BoolVar(&o.once, "once", false, "stop when the recordings are through all services")
	f.BoolVar(&o.skipBad, "skip-bad", false, "count lines of a recording that can't be read, and go on")
	f.StringVar(&o.dataDir, "data-dir", "", "where topics and documents are kept (default: a folder of this user's)")
	f.StringVar(&o.rules, "rules", "", "folder of alert rules (default: those that ship)")
	f.StringVar(&o.clusterUID, "cluster-uid", "", "UID of the recorded cluster, a part of every document's id (default: made from the name)")
	f.StringVar(&o.listen, "listen", "", "address of the search API (default "+localListen+", a free port with --once)")
	f.DurationVar(&o.progress, "progress", 0, "how often to say how far it is (default 200ms on a terminal, else 5s)")
	o.format.flag(cmd)
	_ = cmd.MarkFlagFilename("replay")
	_ = cmd.MarkFlagDirname("data-dir")
	_ = cmd.MarkFlagDirname("rules")
	set := addSettings(cmd, con)
	kubernetesFlags(cmd, set)
	set.defaults = func(c *config) {
		c.Cluster = "local"
		c.Log.Level = "warn"
		c.Producer.Lease.Enabled = false
		// Every transaction is synced to disk: large ones are fewer.
		c.Producer.Batch.MaxRecords, c.Producer.Batch.MaxBytes = 5000, 8<<20
		c.Enricher.Instance, c.Alerter.Instance = "local", "local"
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := set.load(cmd, o.validate, func(c *config) error {
			errs := []error{c.validateCluster(), c.logging(), c.Producer.Validate(), c.Enricher.Validate(), c.Indexer.Validate(), c.SQLite.Validate(), c.Alerter.Validate()}
			c.Explorer.Listen = o.address()
			return errors.Join(append(errs, c.Explorer.Validate())...)
		})
		if err != nil {
			return unlessShown(err)
		}
		return runLocal(cmd.Context(), con, o, c)
	}
	return cmd
}

// validate reports every problem of the flags at once.
func (o *localOptions) validate(*config) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.pace != producer.PaceFast && o.pace != producer.PaceReal {
		bad("--pace %q: use %s or %s", o.pace, producer.PaceFast, producer.PaceReal)
	}
	if o.progress < 0 {
		bad("--progress %s: use a positive duration", o.progress)
	}
	if len(o.replay) == 0 && o.once {
		bad("--once needs --replay: watching a cluster has no end")
	}
	if len(o.replay) == 0 && o.clusterUID != "" {
		bad("--cluster-uid needs --replay: a cluster that is watched says its UID itself")
	}
	if o.clusterUID != "" {
		if err := (schemas.Cluster{Name: "x", UID: o.clusterUID}).Validate(); err != nil {
			bad("--cluster-uid: %w", err)
		}
	}
	stdin := 0
	for _, name := range o.replay {
		if name == "-" {
			stdin++
			continue
		}
		info, err := os.Stat(name)
		switch {
		case err != nil:
			bad("--replay: %w", err)
		case info.IsDir():
			bad("--replay: %s is a folder: name the files", name)
		}
	}
	if stdin > 1 {
		bad("--replay -: standard input can be played once only")
	}
	if o.rules != "" {
		if info, err := os.Stat(o.rules); err != nil {
			bad("--rules: %w", err)
		} else if !info.IsDir() {
			bad("--rules: %s is no folder", o.rules)
		}
	}
	return errors.Join(errs...)
}

// address is where the explorer listens; with port 0, on a free one.
func (o *localOptions) address() string {
	switch {
	case o.listen != "":
		return o.listen
	case o.once:
		return "127.0.0.1:0"
	}
	return localListen
}

// recordings are the inputs in the order of the flags.
func (o *localOptions) recordings(con console) []producer.Recording {
	var all []producer.Recording
	for _, name := range o.replay {
		if name == "-" {
			all = append(all, producer.Stdin(con.in))
		} else {
			all = append(all, producer.File(name))
		}
	}
	return all
}

// dir is the data directory.
func (o *localOptions) dir() (string, error) {
	if o.dataDir != "" {
		return filepath.Abs(o.dataDir)
	}
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "kubescribe"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &daemon.UsageError{Err: fmt.Errorf("there is no home directory: name a place with --data-dir (%w)", err)}
	}
	return filepath.Join(home, ".local", "share", "kubescribe"), nil
}

// ruleFolder is where the rules are: the flag's folder, else the configuration's, else the shipped ones, written below dir.
// "" means that there are none.
func (o *localOptions) ruleFolder(c *config, dir string) (string, error) {
	switch {
	case o.rules != "":
		return o.rules, nil
	case c.Alerter.Rules != alerter.Default().Rules:
		return c.Alerter.Rules, nil
	}
	return shippedRules(filepath.Join(dir, "rules"))
}
