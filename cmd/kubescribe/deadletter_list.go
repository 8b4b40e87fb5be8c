package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubescribe/internal/daemon"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// letterFilter says which dead letters a command is about.
type letterFilter struct {
	cluster              string
	reason, group, topic string
	since                back
}

func (f *letterFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cluster, "cluster", "", "only this cluster's and those that belong to no cluster")
	cmd.Flags().StringVar(&f.reason, "reason", "", "only those with this reason")
	cmd.Flags().StringVar(&f.group, "from-group", "", "only those that this consumer group gave up")
	cmd.Flags().StringVar(&f.topic, "topic", "", "only those of this source topic, such as kubescribe.enriched.shop")
	cmd.Flags().Var(&f.since, "since", "only those given up since then: 90m, 24h, 7d, or a time in RFC 3339")
}

func (f letterFilter) validate(*config) error {
	if f.cluster == "" {
		return nil
	}
	if err := schemas.ValidateClusterName(f.cluster); err != nil {
		return fmt.Errorf("--cluster: %w", err)
	}
	return nil
}

func (f letterFilter) takes(l stream.DeadLetter, now time.Time) bool {
	return (f.reason == "" || f.reason == l.Reason) && (f.group == "" || f.group == l.Group) && (f.topic == "" || f.topic == l.Topic) &&
		!l.Time.Before(f.since.time(now))
}

// deadTopics are the dead-letter topics that the filter leaves: those of clusters first, the common one last.
func (c *config) deadTopics(cmd *cobra.Command, d stream.Deps, f letterFilter) ([]string, error) {
	common := c.topics().DeadLetter("")
	topics := []string{c.topics().DeadLetter(f.cluster)}
	if f.cluster == "" {
		var err error
		if topics, err = stream.MatchTopics(cmd.Context(), c.Kafka, d, "^"+regexp.QuoteMeta(common+".")+"[a-z0-9-]+$"); err != nil {
			return nil, err
		}
	}
	topics = append(topics, common)
	return topics, stream.RequireTopics(cmd.Context(), c.Kafka, d, topics...)
}

// eachLetter shows the dead letters of a topic that the filter leaves to fn, each source record once, oldest first.
func (c *config) eachLetter(cmd *cobra.Command, d stream.Deps, topic string, f letterFilter, fn func(stream.DeadLetter) error) error {
	seen, now := map[stream.Origin]bool{}, time.Now()
	return stream.ReadDeadLetters(cmd.Context(), c.Kafka, d, topic, func(l stream.DeadLetter) error {
		if seen[l.Origin()] || !f.takes(l, now) {
			return nil
		}
		seen[l.Origin()] = true
		return fn(l)
	})
}

func deadletterList(con console) *cobra.Command {
	var format output
	var filter letterFilter
	var open bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, oldest first",
		Long:  deadletterLong,
		Example: "  kubescribe deadletter list\n  kubescribe deadletter list --cluster shop --open --since 24h\n" +
			"  kubescribe deadletter list --reason rejected_document -o json",
		Args: cobra.NoArgs,
	}
	format.flag(cmd)
	filter.flags(cmd)
	cmd.Flags().BoolVar(&open, "open", false, "only those that were not replayed")
	set := deadSettings(cmd, con)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, d, err := set.open(cmd, filter.validate)
		if err != nil {
			return unlessShown(err)
		}
		topics, err := c.deadTopics(cmd, d, filter)
		if err != nil {
			return err
		}
		list, hide := []letterView{}, mask(false)
		n := 0
		for _, topic := range topics {
			replays, err := stream.ReadReplays(cmd.Context(), c.Kafka, d, topic)
			if err != nil {
				return err
			}
			err = c.eachLetter(cmd, d, topic, filter, func(l stream.DeadLetter) error {
				at, replayed := replays[l.Origin()]
				if open && replayed {
					return nil
				}
				n++
				v := viewOf(l, at, hide)
				if format.json() {
					list = append(list, v)
					return nil
				}
				_, err := fmt.Fprintln(con.out, v.line())
				return err
			})
			if err != nil {
				return err
			}
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

// line is a dead letter in a list.
func (v letterView) line() string {
	text := fmt.Sprintf("%s  %s  %s  %s: %s", v.Time.Format(time.RFC3339), v.Record, v.Group, v.Reason, firstLine(v.Error))
	if !v.Replayed.IsZero() {
		text += "  (replayed " + v.Replayed.Format(time.RFC3339) + ")"
	}
	return text
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// noSuch makes a dead letter that isn't there a wrong input.
func noSuch(err error) error {
	if errors.Is(err, stream.ErrNoDeadLetter) {
		return &daemon.UsageError{Err: err}
	}
	return err
}
