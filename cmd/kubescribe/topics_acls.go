package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kubescribe/alerter"
	"kubescribe/enricher"
	"kubescribe/internal/stream"
	"kubescribe/producer"
)

const aclsLong = `acls prints the least that each service must be allowed in Kafka, as commands for Kafka's own kafka-acls.sh or as JSON. It asks
no broker. Read and Write include Describe. No service needs a permission on the cluster, and none may create or delete a topic:
that is what "kubescribe topics apply" is for, whose own permissions come last.`

func topicsACLs(con console) *cobra.Command {
	var format output
	var principal string
	cmd := &cobra.Command{
		Use:   "acls",
		Short: "Print the least that each service must be allowed, without asking Kafka",
		Long:  aclsLong,
		Example: "  kubescribe topics acls --cluster shop\n  kubescribe topics acls --cluster shop -o json\n" +
			"  kubescribe topics acls --cluster shop --principal 'User:CN={service},OU=platform'",
		Args: cobra.NoArgs,
	}
	format.flag(cmd)
	cmd.Flags().StringVar(&principal, "principal", "User:kubescribe-{service}", "who the services are in Kafka; {service} stands for the service's name")
	set := topicSettings(cmd, con)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, clusters, err := set.loadClusters(cmd)
		if err != nil {
			return unlessShown(err)
		}
		return printACLs(con.out, format, principal, c.acls(clusters))
	}
	return cmd
}

// accessOf is what a service's processes must be allowed. For the alerter it is what all its steps need together.
type accessOf struct {
	service string
	access  []stream.Access
}

// acls are what the services of these clusters, and those that all clusters share, need.
func (c *config) acls(clusters []string) []accessOf {
	var all []accessOf
	for _, name := range clusters {
		all = append(all, accessOf{"producer", c.producerAccess(name)}, accessOf{"enricher", c.enricherAccess(name)})
	}
	all = append(all,
		accessOf{"indexer", c.indexerAccess()},
		accessOf{"alerter", slices.Concat(c.matchAccess(), c.decideAccess(), c.notifyAccess())},
	)
	apply := accessOf{service: "topics"}
	for _, s := range c.specs(clusters) {
		apply.access = append(apply.access, topic(s.Name, "topics apply", "Create", "Describe", "DescribeConfigs", "AlterConfigs"))
	}
	return append(all, apply)
}

func (c *config) producerAccess(cluster string) []stream.Access {
	t := c.topics()
	return []stream.Access{
		topic(t.Events(cluster), "what it saw", "Write"),
		topic(t.Checkpoints(cluster), "how far it got", "Read", "Write"),
		topic(t.DeadLetter(cluster), "Events that can never be read", "Write"),
		c.transactionalID(producer.TransactionalIDPrefix, "both in one transaction"),
	}
}

func (c *config) enricherAccess(cluster string) []stream.Access {
	t, group := c.topics(), enricher.Group(cluster)
	return []stream.Access{
		topic(t.Events(cluster), "what it enriches", "Read"),
		topic(t.Enriched(cluster), "its documents", "Write"),
		topic(t.DeadLetter(cluster), "records that can never be enriched", "Write"),
		c.group(group),
		c.transactionalID(group, "documents and offsets in one transaction"),
	}
}

func (c *config) indexerAccess() []stream.Access {
	return []stream.Access{c.documents(), c.deadLetters("documents that the store refuses"), c.group(c.Indexer.Group)}
}

func (c *config) matchAccess() []stream.Access {
	return []stream.Access{
		c.documents(),
		topic(c.topics().Matches(), "documents that meet a rule", "Write"),
		c.deadLetters("documents that can never be matched"),
		c.group(alerter.MatchGroup),
		c.transactionalID(alerter.MatchGroup, "matches and offsets in one transaction"),
	}
}

func (c *config) decideAccess() []stream.Access {
	t := c.topics()
	return []stream.Access{
		topic(t.Matches(), "what it counts", "Read"),
		topic(t.AlertState(), "what is counted and what fires", "Read", "Write"),
		topic(t.Alerts(), "what is to be sent", "Write"),
		c.deadLetters("matches that can never be counted"),
		c.group(alerter.DecideGroup),
		c.transactionalID(alerter.DecideGroup, "alerts, state and offsets in one transaction"),
	}
}

func (c *config) notifyAccess() []stream.Access {
	t := c.topics()
	return []stream.Access{
		topic(t.Alerts(), "what it sends", "Read"),
		topic(t.Notifications(), "what was sent", "Read", "Write"),
		c.deadLetters("what a receiver refuses"),
		c.group(alerter.NotifyGroup),
	}
}

// documents are the enriched topics of all clusters.
func (c *config) documents() stream.Access {
	t := topic(strings.TrimSuffix(c.topics().Enriched("x"), "x"), "the documents of all clusters", "Read")
	t.Prefixed = true
	return t
}

// deadLetters are the dead-letter topics of all clusters.
func (c *config) deadLetters(why string) stream.Access {
	t := topic(c.topics().DeadLetter(""), why, "Write")
	t.Prefixed = true
	return t
}

func topic(name, why string, operations ...string) stream.Access {
	return stream.Access{Resource: stream.ResourceTopic, Name: name, Operations: operations, Why: why}
}

// group is a consumer group with those that go with it: each receiver's, and what deadletter accept notes.
func (c *config) group(name string) stream.Access {
	return stream.Access{Resource: stream.ResourceGroup, Name: c.Kafka.Scoped(name), Prefixed: true, Operations: []string{"Read"}, Why: "its offsets"}
}

func (c *config) transactionalID(name, why string) stream.Access {
	return stream.Access{
		Resource: stream.ResourceTransactionalID, Name: c.Kafka.Scoped(name), Prefixed: true, Operations: []string{"Write"}, Why: why,
	}
}

func printACLs(w io.Writer, format output, principal string, all []accessOf) error {
	if format.json() {
		type acl struct {
			Service    string          `json:"service"`
			Principal  string          `json:"principal"`
			Resource   stream.Resource `json:"resource"`
			Name       string          `json:"name"`
			Prefixed   bool            `json:"prefixed"`
			Operations []string        `json:"operations"`
			Why        string          `json:"why"`
		}
		list := []acl{}
		for _, s := range all {
			for _, a := range s.access {
				list = append(list, acl{s.service, principalOf(principal, s.service), a.Resource, a.Name, a.Prefixed, a.Operations, a.Why})
			}
		}
		return json.NewEncoder(w).Encode(map[string]any{"acls": list})
	}
	for _, s := range all {
		fmt.Fprintf(w, "# %s\n", s.service)
		for _, a := range s.access {
			fmt.Fprintf(w, "%s  # %s\n", a.Grant("--bootstrap-server $BOOTSTRAP --command-config $ADMIN ", quoted(principalOf(principal, s.service))), a.Why)
		}
	}
	return nil
}

func principalOf(pattern, service string) string {
	return strings.ReplaceAll(pattern, "{service}", service)
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
