package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kubescribe/internal/daemon"
	"kubescribe/internal/stream"
)

const deadletterLong = `A record that can never succeed (it does not decode, or Elasticsearch refuses it for what it holds) goes to a dead-letter topic,
unchanged, with its origin and the reason. When too many of a partition's records do so, the service stops that partition and
says so in /readyz, because then the fault is probably elsewhere.

A dead letter is named by the record that it was: TOPIC/PARTITION/OFFSET. It stays in its topic until that topic's retention
takes it (30 days); what was replayed is noted there.`

func newDeadletter(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletter",
		Short: "Look at what could not be handled, replay it, or accept the loss",
		Long:  deadletterLong,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(deadletterList(con), deadletterShow(con), deadletterReplay(con), deadletterAccept(con))
	return cmd
}

// deadSettings are the flags of the deadletter commands.
func deadSettings(cmd *cobra.Command, con console) *settings {
	s := addSettings(cmd, con).brokers(cmd)
	s.key(cmd, "topic-prefix", "kafka.topic_prefix", "what comes before every topic's name")
	return s
}

// open loads the configuration and makes sure that Kafka answers.
func (s *settings) open(cmd *cobra.Command, validate ...func(*config) error) (*config, stream.Deps, error) {
	c, err := s.load(cmd, append(validate, func(c *config) error { return errors.Join(c.Kafka.Validate(), c.logging()) })...)
	if err != nil {
		return nil, stream.Deps{}, err
	}
	d := toolDeps(s.con, c)
	return c, d, stream.Ping(cmd.Context(), c.Kafka, d)
}

// parseOrigin reads TOPIC/PARTITION/OFFSET.
func parseOrigin(s string) (stream.Origin, error) {
	topic, rest, _ := strings.Cut(s, "/")
	partition, offset, _ := strings.Cut(rest, "/")
	n, err1 := strconv.ParseInt(partition, 10, 32)
	at, err2 := strconv.ParseInt(offset, 10, 64)
	if topic == "" || err1 != nil || err2 != nil || n < 0 || at < 0 {
		return stream.Origin{}, &daemon.UsageError{Err: fmt.Errorf("%q is no TOPIC/PARTITION/OFFSET, such as kubescribe.events.shop/0/17", s)}
	}
	return stream.Origin{Topic: topic, Partition: int32(n), Offset: at}, nil
}

// deadTopicOf is the dead-letter topic where a source record goes.
func (c *config) deadTopicOf(o stream.Origin) string {
	t := c.topics()
	return t.DeadLetter(t.ClusterOf(o.Topic))
}

func deadletterAccept(con console) *cobra.Command {
	var group string
	cmd := &cobra.Command{
		Use:   "accept TOPIC/PARTITION --group GROUP",
		Short: "Let a stopped partition go on, its broken records into the dead letter",
		Long: `accept lets a service go on that has stopped a partition because too many of its records can't be handled. Every record below
the partition's present end is then put into the dead letter without limit if it can't be handled. Mend the cause first if it
can be mended: then nothing needs to be accepted.`,
		Example: "  kubescribe deadletter accept kubescribe.enriched.shop/2 --group kubescribe-indexer",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&group, "group", "", "the consumer group that stopped, as /readyz names it")
	_ = cmd.MarkFlagRequired("group")
	set := deadSettings(cmd, con)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parseOrigin(args[0] + "/0")
		if err != nil {
			return &daemon.UsageError{Err: fmt.Errorf("%q is no TOPIC/PARTITION, such as kubescribe.enriched.shop/2", args[0])}
		}
		c, d, err := set.open(cmd)
		if err != nil {
			return unlessShown(err)
		}
		if err := stream.RequireTopics(cmd.Context(), c.Kafka, d, p.Topic); err != nil {
			return err
		}
		end, err := stream.Accept(cmd.Context(), c.Kafka, d, group, p.Topic, p.Partition)
		if err != nil {
			return err
		}
		fmt.Fprintf(con.out, "accepted: group %s goes on with %s/%d; what it can't handle below offset %d becomes a dead letter\n", group, p.Topic, p.Partition, end)
		return nil
	}
	return cmd
}
