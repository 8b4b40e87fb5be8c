package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"kubescribe/explorer/listing"
	"kubescribe/internal/daemon"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

const queryLanguage = `The query language is that of Kibana's search bar, as far as both stores can answer it:

  reason:BackOff                       a field has this value, in the case it is written in
  namespace:(shop or pay)              one of several
  name:web-*   node:*                  * stands for anything; a lone * finds any value
  label.app:web                        a label of the involved object
  count >= 5   time > now-1h           numbers and times have an order
  failed image pull*                   the message has these words, in any order and case
  "failed to pull"                     the message has these words, one after the other
  a and not (b or c)                   not, then and, then or; side by side means and

Fields: annotation.<key>, class, cluster, container, count, exit_code, fact (event, container, gap), id, image, kind, label.<key>,
level, message, name, namespace, node, provider, reason, service, time, type (Normal, Warning), uid, workload, workload_kind, zone,
and the names of the documents' mapping, such as kubernetes.event.source.component. A value with blanks or ():<>" is quoted.`

// ask is what query, timeline and tail share: which documents, from where, and how they are shown.
type ask struct {
	namespace string
	all       bool
	cluster   string
	since     back
	until     back
	limit     int
	format    listing.Format
	backend   backend
	set       *settings
}

func (a *ask) flags(cmd *cobra.Command, con console) {
	f := cmd.Flags()
	f.StringVarP(&a.namespace, "namespace", "n", "", "only this namespace")
	f.BoolVarP(&a.all, "all-namespaces", "A", false, "all namespaces (the default)")
	f.StringVar(&a.cluster, "cluster", "", "only this cluster")
	f.Var(&a.since, "since", "begin with this time: how long ago, such as 90m, 24h or 7d, or RFC 3339")
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	a.set = addSettings(cmd, con)
	a.backend.flags(cmd, a.set)
}

func (a *ask) outputFlag(cmd *cobra.Command) {
	a.format = listing.Table
	cmd.Flags().VarP(&a.format, "output", "o", "output format: "+strings.Join(listing.Formats(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(listing.Formats(), cobra.ShellCompDirectiveNoFileComp))
}

// query is what the flags and the expression ask for.
func (a *ask) query(text string, now time.Time) (store.Query, error) {
	where, err := store.ParseExpression(text, now)
	if err != nil {
		return store.Query{}, &daemon.UsageError{Err: pointAt(text, err)}
	}
	q := store.Query{From: a.since.time(now), To: a.until.time(now), Where: where}
	if a.namespace != "" {
		q.Filters = append(q.Filters, store.Filter{Field: "namespace", Values: []string{a.namespace}})
	}
	if a.cluster != "" {
		q.Filters = append(q.Filters, store.Filter{Field: "cluster", Values: []string{a.cluster}})
	}
	if err := q.Validate(); err != nil {
		return store.Query{}, &daemon.UsageError{Err: err}
	}
	return q, nil
}

// pointAt shows where an expression is wrong.
func pointAt(text string, err error) error {
	var bad *store.ExpressionError
	if !errors.As(err, &bad) || strings.ContainsAny(text, "\n\r\t") || utf8.RuneCountInString(text) > 200 {
		return fmt.Errorf("the query is wrong: %w", err)
	}
	return fmt.Errorf("the query is wrong: %w\n  %s\n  %s^", err, text, strings.Repeat(" ", bad.Column-1))
}

// open loads the configuration and opens the store.
func (a *ask) open(cmd *cobra.Command) (st searchStore, d stream.Deps, release func() error, err error) {
	c, err := a.set.load(cmd, func(c *config) error { return a.backend.validate(c, false) })
	if err != nil {
		return nil, stream.Deps{}, nil, err
	}
	d = toolDeps(a.set.con, c)
	st, release, err = a.backend.open(cmd.Context(), c, d, false)
	return st, d, release, err
}

func newQuery(con console) *cobra.Command {
	var a ask
	var watch bool
	cmd := &cobra.Command{
		Use:   "query [EXPRESSION]",
		Short: "Find documents",
		Long: "query prints the documents that an expression matches, newest first; without one, all. It asks Elasticsearch, or the data of a\n" +
			"`kubescribe local` (--data-dir), which may be running.\n\n" + queryLanguage,
		Example: "  kubescribe query 'type:Warning and namespace:shop' --since 24h\n  kubescribe query 'reason:(BackOff or OOMKilled)' -n shop -o wide\n" +
			"  kubescribe query '\"failed to pull\"' --since 7d -o csv > pulls.csv\n  kubescribe query --since 30d --limit 0 -o ndjson | gzip > documents.ndjson.gz",
		Args: cobra.ArbitraryArgs,
	}
	a.since = back{age: 24 * time.Hour}
	a.flags(cmd, con)
	a.outputFlag(cmd)
	cmd.Flags().Var(&a.until, "until", "end before this time")
	cmd.Flags().IntVar(&a.limit, "limit", 100, "the newest so many; 0 for all")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "then go on with what comes in, as tail does")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if a.limit < 0 {
			return &daemon.UsageError{Err: errors.New("--limit: use a positive number, or 0 for all")}
		}
		if watch {
			return a.follow(cmd, con, strings.Join(args, " "))
		}
		q, err := a.query(strings.Join(args, " "), time.Now())
		if err != nil {
			return err
		}
		st, _, release, err := a.open(cmd)
		if err != nil {
			return unlessShown(err)
		}
		defer func() { err = errors.Join(err, release()) }()
		p := listing.NewPrinter(con.out, a.format)
		found := 0
		more, err := listing.Pages(cmd.Context(), st, q, a.limit, func(hits []store.Hit) error {
			found += len(hits)
			return p.Print(hits)
		})
		if err != nil {
			return err
		}
		a.remark(con, found, more)
		if more {
			p.More()
		}
		return p.End()
	}
	return cmd
}

// remark says on standard error what a person should know about an answer.
func (a *ask) remark(con console, found int, more bool) {
	switch {
	case found == 0 && !a.since.time(time.Now()).IsZero():
		fmt.Fprintf(con.err, "nothing found since %s; --since looks further back\n", a.since.time(time.Now()).UTC().Format(time.RFC3339))
	case found == 0:
		fmt.Fprintln(con.err, "nothing found")
	case more:
		fmt.Fprintf(con.err, "these are the newest %d, there are more: --limit 0 shows all\n", found)
	}
}

// lookEvery is how often tail asks the store.
const lookEvery = 2 * time.Second

// follow prints what is there since a.since, and then what comes in.
func (a *ask) follow(cmd *cobra.Command, con console, text string) (err error) {
	if a.format == listing.JSON || a.format == listing.CSV {
		return &daemon.UsageError{Err: fmt.Errorf("-o %s has an end, and this has none: use table, wide or ndjson", a.format)}
	}
	q, err := a.query(text, time.Now())
	if err != nil {
		return err
	}
	st, d, release, err := a.open(cmd)
	if err != nil {
		return unlessShown(err)
	}
	defer func() { err = errors.Join(err, release()) }()
	p := listing.NewPrinter(con.out, a.format)
	return listing.Follow(cmd.Context(), st, q, lookEvery, time.Now, p.Print, func(err error) {
		if !errors.Is(err, context.Canceled) {
			d.Log.Error("asking the store failed; asked again", "err", err)
		}
	})
}

func newTail(con console) *cobra.Command {
	var a ask
	cmd := &cobra.Command{
		Use:   "tail [EXPRESSION]",
		Short: "Print documents as they come in",
		Long: "tail prints the documents that an expression matches as they are stored, oldest first, until it is stopped. It looks every two\n" +
			"seconds. What is stored more than ten minutes after its event is not shown: \"kubescribe query\" finds it.\n\n" + queryLanguage,
		Example: "  kubescribe tail\n  kubescribe tail 'type:Warning' -n shop --since 10m",
		Args:    cobra.ArbitraryArgs,
	}
	a.since = back{age: time.Minute}
	a.flags(cmd, con)
	a.outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.follow(cmd, con, strings.Join(args, " ")) }
	return cmd
}

func newTimeline(con console) *cobra.Command {
	var a ask
	cmd := &cobra.Command{
		Use:   "timeline KIND/NAME",
		Short: "Print what happened to one object, oldest first",
		Long: `timeline prints what happened to an object: its own events and transitions; for a workload (deployment, statefulset, daemonset,
job, cronjob, replicaset) also those of everything below it; for a node also what was not normal on it. Gaps in the record are
among them. Kinds may be written as for kubectl: po, deploy, sts.`,
		Example: "  kubescribe timeline pod/web-0 -n shop\n  kubescribe timeline deploy/web -n shop --since 7d -o wide\n  kubescribe timeline node/worker-1",
		Args:    cobra.ExactArgs(1),
	}
	a.since = back{age: 24 * time.Hour}
	a.flags(cmd, con)
	a.outputFlag(cmd)
	cmd.Flags().Var(&a.until, "until", "end before this time")
	cmd.Flags().IntVar(&a.limit, "limit", 500, "the newest so many; 0 for all")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		subject, err := listing.ParseSubject(args[0], a.namespace)
		if err != nil {
			return &daemon.UsageError{Err: err}
		}
		if a.limit < 0 {
			return &daemon.UsageError{Err: errors.New("--limit: use a positive number, or 0 for all")}
		}
		a.namespace = "" // a gap has none
		q, err := a.query(subject.Expression(), time.Now())
		if err != nil {
			return err
		}
		st, _, release, err := a.open(cmd)
		if err != nil {
			return unlessShown(err)
		}
		defer func() { err = errors.Join(err, release()) }()
		hits, more, err := listing.Latest(cmd.Context(), st, q, a.limit)
		if err != nil {
			return err
		}
		p := listing.NewPrinter(con.out, a.format)
		if err := p.Print(hits); err != nil {
			return err
		}
		a.remark(con, len(hits), more)
		if more {
			p.More()
		}
		return p.End()
	}
	return cmd
}
