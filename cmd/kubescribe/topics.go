package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kubescribe/internal/daemon"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

const topicsLong = `topics creates, checks and lists the topics that the services need: four for each cluster, and those that all clusters share.

apply creates what is missing and sets what differs. It deletes nothing and never grows a keyed topic, because that would
break the order of its records and the state of alerts. It may be run again at any time.`

func newTopics(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Create, check or list the topics",
		Long:  topicsLong,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(topicsApply(con), topicsCheck(con), topicsList(con), topicsACLs(con))
	return cmd
}

func topicsApply(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "apply",
		Short:   "Create missing topics and correct their configuration",
		Long:    topicsLong,
		Example: "  kubescribe topics apply --brokers kafka:9092 --cluster shop,office\n  kubescribe topics apply --config kubescribe.yaml --dry-run",
	}
	t := topicsCommand{con: con, cmd: cmd, done: "nothing to do"}
	dry := cmd.Flags().Bool("dry-run", false, "only say what would be done")
	return t.build(func(ctx context.Context, c *config, d stream.Deps, specs []stream.TopicSpec) ([]stream.TopicChange, error) {
		return stream.ApplyTopics(ctx, c.Kafka, d, specs, *dry)
	})
}

func topicsCheck(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Say what is missing or different; exit code 1 if anything is",
		Example: "  kubescribe topics check --config kubescribe.yaml",
	}
	t := topicsCommand{con: con, cmd: cmd, done: "all topics are as they should be"}
	return t.build(func(ctx context.Context, c *config, d stream.Deps, specs []stream.TopicSpec) ([]stream.TopicChange, error) {
		changes, err := stream.ApplyTopics(ctx, c.Kafka, d, specs, true)
		if err == nil && len(changes) > 0 {
			err = errors.New("the topics are not as they should be: run `kubescribe topics apply`")
		}
		return changes, err
	})
}

// topicsCommand is what apply and check share.
type topicsCommand struct {
	con  console
	cmd  *cobra.Command
	done string // what to print when there is no change
}

type topicsWork func(context.Context, *config, stream.Deps, []stream.TopicSpec) ([]stream.TopicChange, error)

func (t topicsCommand) build(work topicsWork) *cobra.Command {
	var format output
	format.flag(t.cmd)
	set := topicSettings(t.cmd, t.con)
	t.cmd.Args = cobra.NoArgs
	t.cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, clusters, err := set.loadClusters(cmd)
		if err != nil {
			return unlessShown(err)
		}
		d := toolDeps(t.con, c)
		if err := stream.Ping(cmd.Context(), c.Kafka, d); err != nil {
			return err
		}
		changes, err := work(cmd.Context(), c, d, c.specs(clusters))
		return errors.Join(printChanges(t.con.out, format, changes, err == nil, t.done), err)
	}
	return t.cmd
}

func printChanges(w io.Writer, format output, changes []stream.TopicChange, ok bool, nothing string) error {
	if format.json() {
		type change struct {
			Topic  string `json:"topic"`
			Action string `json:"action"`
			Name   string `json:"name,omitempty"`
			From   string `json:"from,omitempty"`
			To     string `json:"to"`
		}
		list := []change{}
		for _, c := range changes {
			list = append(list, change(c))
		}
		return json.NewEncoder(w).Encode(map[string]any{"ok": ok, "changes": list})
	}
	for _, c := range changes {
		fmt.Fprintln(w, c)
	}
	if len(changes) == 0 && ok {
		fmt.Fprintln(w, nothing)
	}
	return nil
}

func topicsList(con console) *cobra.Command {
	var format output
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Print the topics as they should be, without asking Kafka",
		Example: "  kubescribe topics list --cluster shop\n  kubescribe topics list --cluster shop -o json",
		Args:    cobra.NoArgs,
	}
	format.flag(cmd)
	set := topicSettings(cmd, con)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, clusters, err := set.loadClusters(cmd)
		if err != nil {
			return unlessShown(err)
		}
		return printSpecs(con.out, format, c.specs(clusters))
	}
	return cmd
}

func printSpecs(w io.Writer, format output, specs []stream.TopicSpec) error {
	if format.json() {
		type spec struct {
			Name        string            `json:"name"`
			Partitions  int32             `json:"partitions"`
			Replication int16             `json:"replication"`
			Configs     map[string]string `json:"configs"`
		}
		list := []spec{}
		for _, s := range specs {
			list = append(list, spec{s.Name, s.Partitions, s.Replication, s.Configs})
		}
		return json.NewEncoder(w).Encode(map[string]any{"topics": list})
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TOPIC\tPARTITIONS\tREPLICATION\tCLEANUP")
	for _, s := range specs {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%s\n", s.Name, s.Partitions, s.Replication, s.Configs["cleanup.policy"])
	}
	return tw.Flush()
}

// topicSettings are the flags of the topics commands.
func topicSettings(cmd *cobra.Command, con console) *settings {
	s := addSettings(cmd, con).brokers(cmd)
	s.key(cmd, "cluster", "cluster", "the clusters, separated by commas; without any, only the shared topics")
	s.key(cmd, "partitions", "topics.partitions", "partitions of events, enriched, matches and alerts")
	s.key(cmd, "replication", "topics.replication", "replication factor")
	s.key(cmd, "topic-prefix", "kafka.topic_prefix", "what comes before every topic's name")
	return s
}

// loadClusters is load where cluster may be several names.
func (s *settings) loadClusters(cmd *cobra.Command) (*config, []string, error) {
	var clusters []string
	c, err := s.load(cmd, func(c *config) error {
		errs := []error{c.Kafka.Validate(), c.Topics.Validate(), c.logging()}
		for name := range strings.SplitSeq(c.Cluster, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			if err := schemas.ValidateClusterName(name); err != nil {
				errs = append(errs, fmt.Errorf("cluster: %w", err))
			}
			clusters = append(clusters, name)
		}
		if len(clusters) == 0 && len(c.Clusters) > 0 {
			errs = append(errs, c.validateClusters())
			clusters = c.clusterNames()
		}
		return errors.Join(errs...)
	})
	return c, clusters, err
}

// logging checks the section log alone, for commands that serve nothing.
func (c *config) logging() error {
	p := c.process()
	p.HTTP = daemon.DefaultHTTP()
	return p.Validate()
}

// specs are the topics of these clusters and those that all share.
func (c *config) specs(clusters []string) []stream.TopicSpec {
	var all []schemas.TopicSpec
	for _, name := range clusters {
		all = append(all, c.topics().ClusterSpecs(name, c.Topics.Partitions)...)
	}
	all = append(all, c.topics().SharedSpecs(c.Topics.Partitions)...)
	specs := make([]stream.TopicSpec, len(all))
	for i, s := range all {
		specs[i] = stream.TopicSpec{
			Name: s.Name, Partitions: s.Partitions, Replication: c.Topics.Replication, Configs: s.Configs, Keyed: s.Keyed,
			Compacted: strings.Contains(s.Configs["cleanup.policy"], "compact"),
		}
	}
	return specs
}

// toolDeps are the dependencies of a command that is no service: only warnings are worth a line.
func toolDeps(con console, c *config) stream.Deps {
	log := c.Log
	if log.Level == daemon.DefaultLog().Level {
		log.Level = "error"
	}
	return stream.Deps{Log: daemon.NewLogger(con.err, log)}
}

// unlessShown is err, but for a command that was only asked about its configuration.
func unlessShown(err error) error {
	if errors.Is(err, errConfigShown) {
		return nil
	}
	return err
}
