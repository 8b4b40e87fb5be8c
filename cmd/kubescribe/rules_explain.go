package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubescribe/alerter/rule"
	"kubescribe/enricher"
	"kubescribe/internal/daemon"
	"kubescribe/internal/store"
	"kubescribe/producer"
	"kubescribe/schemas"
)

func rulesExplain(con console) *cobra.Command {
	var b backend
	var format output
	var dir string
	var only []string
	cmd := &cobra.Command{
		Use:   "explain EVENT",
		Short: "Say why rules did or did not match an event, condition by condition",
		Long: `explain evaluates every rule on one event and shows what came of each of its conditions, and of which values. Rules that match come
first; of the others only those are shown that were near, unless --rule names them or --all asks for all.

EVENT is a file, - for standard input, or the id of a document in the store. A file holds a document as it is on enriched.<cluster>
and in the store, an observation as it is on events.<cluster>, or an Event as kubectl gets it with -o json; what is no document is
enriched with what it says itself.`,
		Example: `  kubescribe rules explain --rules rules/ event.json
  kubectl get event web-1.17f2 -o json | kubescribe rules explain --rules rules/ --rule CrashLoop -
  kubescribe rules explain --rules rules/ 4c1b6a52-6f0f-4c57-9a37-6a1d2f0c9b3e/0/ca1cd404/679`,
		Args: cobra.ExactArgs(1),
	}
	format.flag(cmd)
	set := addSettings(cmd, con)
	b.flags(cmd, set)
	cmd.Flags().StringVar(&dir, "rules", "", "folder of the rule files (default: key alerter.rules)")
	_ = cmd.MarkFlagDirname("rules")
	cmd.Flags().StringSliceVar(&only, "rule", nil, "only these rules")
	all := cmd.Flags().Bool("all", false, "show every rule")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := set.load(cmd, func(c *config) error { return b.validate(c, false) })
		if err != nil {
			return unlessShown(err)
		}
		if dir == "" {
			dir = c.Alerter.Rules
		}
		_, rules, err := loadRules(dir)
		if err != nil {
			return err
		}
		d, err := b.document(cmd.Context(), con, c, args[0])
		if err != nil {
			return err
		}
		explained, err := choose(rules.Explain(d), only, *all)
		if err != nil {
			return err
		}
		for i := range explained {
			explained[i].File = filepath.Join(dir, explained[i].File)
		}
		if format.json() {
			return json.NewEncoder(con.out).Encode(map[string]any{"event": d.Event.ID, "rules": explained})
		}
		printExplanations(con.out, d, explained, len(rules.Rules))
		return nil
	}
	return cmd
}

// document is the one that name stands for: a file, -, or an id of the store.
func (b *backend) document(ctx context.Context, con console, c *config, name string) (*schemas.Document, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(con.in)
	} else {
		data, err = os.ReadFile(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return b.stored(ctx, con, c, name)
	}
	if err != nil {
		return nil, &daemon.UsageError{Err: err}
	}
	d, err := documentOf(bytes.TrimSpace(data), time.Now())
	if err != nil {
		return nil, &daemon.UsageError{Err: fmt.Errorf("%s: %w", name, err)}
	}
	return d, nil
}

func (b *backend) stored(ctx context.Context, con console, c *config, id string) (*schemas.Document, error) {
	st, release, err := b.open(ctx, c, toolDeps(con, c), false)
	if err != nil {
		return nil, fmt.Errorf("there is no file %s, so it may be an id, but: %w", id, err)
	}
	page, err := st.Search(ctx, store.Query{Filters: []store.Filter{{Field: "id", Values: []string{id}}}, Limit: 1})
	if err = errors.Join(err, release()); err != nil {
		return nil, err
	}
	if len(page.Hits) == 0 {
		return nil, &daemon.UsageError{Err: fmt.Errorf("%s is neither a file nor the id of a document in the store", id)}
	}
	return schemas.DecodeDocument(page.Hits[0].Body)
}

// unnamed is the cluster of an Event that does not say where it comes from.
const unnamed = "cluster"

// documentOf reads a document, an observation or a Kubernetes Event.
func documentOf(data []byte, now time.Time) (*schemas.Document, error) {
	var kind struct {
		Timestamp *time.Time      `json:"@timestamp"`
		Payload   json.RawMessage `json:"payload"`
		Kind      string          `json:"kind"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	var o *schemas.Observation
	var err error
	switch {
	case kind.Timestamp != nil:
		return schemas.DecodeDocument(data)
	case kind.Payload != nil:
		o, err = schemas.DecodeObservation(data)
	case kind.Kind == "Event":
		cluster := schemas.Cluster{Name: unnamed, UID: schemas.RecordingClusterUID(unnamed)}
		o, err = producer.FromJSON(data, cluster, 0, now)
	default:
		return nil, errors.New("is no document (@timestamp), no observation (payload) and no Event (kind: Event)")
	}
	if err != nil {
		return nil, err
	}
	return enricher.Enrich(o, enricher.Object{}, enricher.Fields{})
}

// choose are the explanations to show: those that match first, then those that were near.
func choose(all []rule.Explanation, only []string, every bool) ([]rule.Explanation, error) {
	for _, name := range only {
		if !slices.ContainsFunc(all, func(e rule.Explanation) bool { return e.Rule == name }) {
			return nil, &daemon.UsageError{Err: fmt.Errorf("--rule: there is no rule %q", name)}
		}
	}
	var matched, others []rule.Explanation
	for _, e := range all {
		switch {
		case len(only) > 0 && !slices.Contains(only, e.Rule):
		case e.Matched || e.Resolves:
			matched = append(matched, e)
		case every || len(only) > 0 || near(e.Expr):
			others = append(others, e)
		}
	}
	return append(matched, others...), nil
}

// near says that a condition on what happened was met: on the reason, the message, the gap or the rollout. Kind and type alone are met
// by too many events.
func near(c rule.Condition) bool {
	if c.Op == "not" {
		return false
	}
	telling := slices.ContainsFunc(c.Values, func(v rule.Value) bool {
		return v.Field == "reason" || v.Field == "message" || strings.HasPrefix(v.Field, "gap.") || v.Field == "rollout.known"
	})
	return c.Met && telling || slices.ContainsFunc(c.Parts, near)
}

func printExplanations(w io.Writer, d *schemas.Document, all []rule.Explanation, rules int) {
	n := 0
	for _, e := range all {
		verdict := "does not match"
		switch {
		case e.Matched:
			verdict = "matches"
			n++
		case e.Resolves:
			verdict = "resolves"
		}
		fmt.Fprintf(w, "%s:%d: %s %s\n", e.File, e.Line, e.Rule, verdict)
		if e.Scope != "" {
			fmt.Fprintf(w, "  %s\n", e.Scope)
		}
		printCondition(w, e.Expr, "  ")
		if e.When != nil {
			fmt.Fprintln(w, "  resolve when:")
			printCondition(w, *e.When, "    ")
		}
		if e.Count != "" {
			fmt.Fprintf(w, "  %s\n", e.Count)
		}
		if len(e.Group) > 0 {
			fmt.Fprintf(w, "  group: %s\n", groupText(e.Group))
		}
	}
	fmt.Fprintf(w, "event=%s rules=%d matched=%d\n", d.Event.ID, rules, n)
}

func printCondition(w io.Writer, c rule.Condition, indent string) {
	mark := "no "
	if c.Met {
		mark = "yes"
	}
	if c.Op != "" {
		fmt.Fprintf(w, "%s%s %s\n", indent, mark, map[string]string{"and": "all of", "or": "any of", "not": "not"}[c.Op])
		for _, p := range c.Parts {
			printCondition(w, p, indent+"    ")
		}
		return
	}
	var values []string
	for _, v := range c.Values {
		b, _ := json.Marshal(v.Value)
		values = append(values, fmt.Sprintf("%s is %s", v.Field, b))
	}
	line := indent + mark + " " + c.Text
	if len(values) > 0 {
		line += "    (" + strings.Join(values, ", ") + ")"
	}
	if c.Error != "" {
		line += "    error: " + c.Error
	}
	fmt.Fprintln(w, line)
}

func groupText(group map[string]string) string {
	var parts []string
	for k, v := range group {
		parts = append(parts, fmt.Sprintf("%s=%q", k, v))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
