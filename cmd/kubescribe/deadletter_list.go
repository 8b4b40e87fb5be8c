package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubescribe/internal/daemon"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// letterFilter says which dead letters a command is about.
type letterFilter struct{ reason, group string }

func (f *letterFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "only those with this reason")
	cmd.Flags().StringVar(&f.group, "from-group", "", "only those that this consumer group gave up")
}

func (f letterFilter) takes(l stream.DeadLetter) bool {
	return (f.reason == "" || f.reason == l.Reason) && (f.group == "" || f.group == l.Group)
}

// letters reads the dead letters of a cluster and those that belong to none, each source record once, oldest first.
func (c *config) letters(cmd *cobra.Command, d stream.Deps, f letterFilter, fn func(stream.DeadLetter) error) error {
	topics := []string{c.topics().DeadLetter("")}
	if c.Cluster != "" {
		topics = append([]string{c.topics().DeadLetter(c.Cluster)}, topics...)
	}
	if err := stream.RequireTopics(cmd.Context(), c.Kafka, d, topics...); err != nil {
		return err
	}
	seen := map[position]bool{}
	for _, topic := range topics {
		err := stream.ReadDeadLetters(cmd.Context(), c.Kafka, d, topic, func(l stream.DeadLetter) error {
			p := positionOf(l)
			if seen[p] || !f.takes(l) {
				return nil
			}
			seen[p] = true
			return fn(l)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// validateOptionalCluster is for tools, where no cluster means what all clusters share.
func (c *config) validateOptionalCluster() error {
	if c.Cluster == "" {
		return nil
	}
	return schemas.ValidateClusterName(c.Cluster)
}

func deadletterList(con console) *cobra.Command {
	var format output
	var filter letterFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, oldest first",
		Long:    deadletterLong,
		Example: "  kubescribe deadletter list --cluster shop\n  kubescribe deadletter list --cluster shop --reason decode -o json",
		Args:    cobra.NoArgs,
	}
	format.flag(cmd)
	filter.flags(cmd)
	set := deadSettings(cmd, con)
	set.key(cmd, "cluster", "cluster", "the cluster; without it, only what belongs to no cluster")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, d, err := set.open(cmd, (*config).validateOptionalCluster)
		if err != nil {
			return unlessShown(err)
		}
		list := []letterView{}
		n := 0
		err = c.letters(cmd, d, filter, func(l stream.DeadLetter) error {
			n++
			if format.json() {
				list = append(list, viewOf(l))
				return nil
			}
			_, err := fmt.Fprintf(con.out, "%s  %s  %s  %s: %s\n", l.Time.UTC().Format(time.RFC3339), positionOf(l), l.Group, l.Reason, firstLine(l.Error))
			return err
		})
		if err != nil {
			return err
		}
		if format.json() {
			return json.NewEncoder(con.out).Encode(map[string]any{"deadletters": list})
		}
		if n == 0 {
			fmt.Fprintln(con.out, "there are no dead letters")
		}
		return nil
	}
	return cmd
}

// letterView is a dead letter in JSON.
type letterView struct {
	Record    string            `json:"record"`
	Group     string            `json:"group"`
	Reason    string            `json:"reason"`
	Error     string            `json:"error"`
	Time      time.Time         `json:"time"`
	Bytes     int               `json:"bytes"`
	SHA256    string            `json:"sha256,omitempty"`
	Key       string            `json:"key,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Value     *string           `json:"value,omitempty"` // when it is text
	ValueHex  string            `json:"valueHex,omitempty"`
	Truncated bool              `json:"truncated,omitempty"`
}

func viewOf(l stream.DeadLetter) letterView {
	return letterView{
		Record: positionOf(l).String(), Group: l.Group, Reason: l.Reason, Error: l.Error, Time: l.Time, Bytes: l.Size, SHA256: l.SHA256,
		Truncated: l.Cut,
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func deadletterReplay(con console) *cobra.Command {
	var filter letterFilter
	var all bool
	cmd := &cobra.Command{
		Use:   "replay (TOPIC/PARTITION/OFFSET... | --all)",
		Short: "Write dead letters to the topics they came from, to be handled again",
		Long: `replay writes a dead letter's key, value and headers again to the end of the partition that it came from. Do it when the cause
is mended. Replaying twice does no harm: a record's id stays the same, so that it is indexed and counted once. The dead letter
stays where it is until it is too old.`,
		Example: "  kubescribe deadletter replay kubescribe.enriched.shop/2/1043\n  kubescribe deadletter replay --cluster shop --all --reason mapping",
	}
	filter.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every dead letter of the cluster, or of those that the filters leave")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if all == (len(args) > 0) {
			return errors.New("name the records to replay, or all of them with --all")
		}
		return nil
	}
	set := deadSettings(cmd, con)
	set.key(cmd, "cluster", "cluster", "the cluster; without it, only what belongs to no cluster")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		positions := make([]position, len(args))
		for i, a := range args {
			var err error
			if positions[i], err = parsePosition(a); err != nil {
				return err
			}
		}
		c, d, err := set.open(cmd, (*config).validateOptionalCluster)
		if err != nil {
			return unlessShown(err)
		}
		r := replay{con.out, c, d, 0, nil}
		for _, p := range positions {
			l, err := c.letter(cmd.Context(), d, p)
			if err != nil {
				return noSuch(err)
			}
			r.one(cmd, l)
		}
		if all {
			if err := c.letters(cmd, d, filter, func(l stream.DeadLetter) error {
				r.one(cmd, l)
				return cmd.Context().Err()
			}); err != nil {
				return err
			}
		}
		fmt.Fprintf(con.out, "%d replayed\n", r.done)
		return errors.Join(r.failed...)
	}
	return cmd
}

// replay counts what was replayed; one record that can't be does not keep the others.
type replay struct {
	out    io.Writer
	c      *config
	d      stream.Deps
	done   int
	failed []error
}

func (r *replay) one(cmd *cobra.Command, l stream.DeadLetter) {
	if err := stream.Replay(cmd.Context(), r.c.Kafka, r.d, l); err != nil {
		r.failed = append(r.failed, err)
		return
	}
	r.done++
}

// noSuch makes a dead letter that isn't there a wrong input.
func noSuch(err error) error {
	if errors.Is(err, stream.ErrNoDeadLetter) {
		return &daemon.UsageError{Err: err}
	}
	return err
}
