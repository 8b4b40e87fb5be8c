package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"kubescribe/alerter"
	"kubescribe/enricher"
	"kubescribe/indexer"
	"kubescribe/producer"
)

const aclsLong = `acls prints the least that each service must be allowed in Kafka, as commands for Kafka's own kafka-acls.sh or as JSON. It asks
no broker. Read and Write include Describe. No service needs a permission on the cluster, and none may create or delete a topic:
that is what "kubescribe topics apply" is for, whose own permissions come last.`

// acl is one thing that a service must be allowed.
type acl struct {
	Service    string   `json:"service"`
	Resource   string   `json:"resource"` // topic, group or transactional-id, as kafka-acls.sh names them
	Name       string   `json:"name"`
	Prefixed   bool     `json:"prefixed"`
	Operations []string `json:"operations"`
	Why        string   `json:"why"`
}

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

// acls are what the services of these clusters, and those that all clusters share, need.
func (c *config) acls(clusters []string) []acl {
	t := c.topics()
	var all []acl
	one := func(service, resource, name, why string, operations ...string) {
		all = append(all, acl{Service: service, Resource: resource, Name: name, Operations: operations, Why: why})
	}
	many := func(service, resource, name, why string, operations ...string) {
		all = append(all, acl{Service: service, Resource: resource, Name: name, Prefixed: true, Operations: operations, Why: why})
	}
	scoped := c.Kafka.Scoped
	for _, name := range clusters {
		one("producer", "topic", t.Events(name), "what it saw", "Write")
		one("producer", "topic", t.Checkpoints(name), "how far it got", "Read", "Write")
		many("producer", "transactional-id", scoped(producer.TransactionalIDPrefix), "both in one transaction", "Write")

		one("enricher", "topic", t.Events(name), "what it enriches", "Read")
		one("enricher", "topic", t.Enriched(name), "its documents", "Write")
		one("enricher", "topic", t.DeadLetter(name), "records that can never be enriched", "Write")
		many("enricher", "group", scoped(enricher.Group(name)), "its offsets", "Read")
		many("enricher", "transactional-id", scoped(enricher.Group(name)), "documents and offsets in one transaction", "Write")
	}
	enriched := strings.TrimSuffix(t.Enriched("x"), "x")
	deadLetters := t.DeadLetter("")

	many("indexer", "topic", enriched, "the documents of all clusters", "Read")
	many("indexer", "topic", deadLetters, "documents that the store refuses", "Write")
	many("indexer", "group", scoped(indexer.Group), "its offsets", "Read")

	many("alerter", "topic", enriched, "the documents of all clusters", "Read")
	one("alerter", "topic", t.Matches(), "documents that meet a rule", "Read", "Write")
	one("alerter", "topic", t.AlertState(), "what is counted and what fires", "Read", "Write")
	one("alerter", "topic", t.Alerts(), "what is sent", "Read", "Write")
	one("alerter", "topic", t.Notifications(), "what was sent", "Read", "Write")
	many("alerter", "topic", deadLetters, "what a receiver refuses", "Write")
	for _, group := range []string{alerter.MatchGroup, alerter.DecideGroup, alerter.NotifyGroup} {
		many("alerter", "group", scoped(group), "its offsets", "Read")
	}
	for _, group := range []string{alerter.MatchGroup, alerter.DecideGroup} {
		many("alerter", "transactional-id", scoped(group), "output and offsets in one transaction", "Write")
	}

	for _, name := range clusters {
		for _, topic := range []string{t.Events(name), t.Enriched(name), t.Checkpoints(name), t.DeadLetter(name)} {
			one("topics", "topic", topic, "topics apply", "Create", "Describe", "DescribeConfigs", "AlterConfigs")
		}
	}
	for _, s := range t.SharedSpecs(1) {
		one("topics", "topic", s.Name, "topics apply", "Create", "Describe", "DescribeConfigs", "AlterConfigs")
	}
	return all
}

func printACLs(w io.Writer, format output, principal string, all []acl) error {
	if format.json() {
		return json.NewEncoder(w).Encode(map[string]any{"acls": all})
	}
	service := ""
	for _, a := range all {
		if a.Service != service {
			service = a.Service
			fmt.Fprintf(w, "# %s\n", service)
		}
		line := []string{"kafka-acls.sh", "--bootstrap-server", "$BOOTSTRAP", "--command-config", "$ADMIN", "--add",
			"--allow-principal", quoted(strings.ReplaceAll(principal, "{service}", a.Service))}
		for _, op := range a.Operations {
			line = append(line, "--operation", op)
		}
		line = append(line, "--"+a.Resource, a.Name)
		if a.Prefixed {
			line = append(line, "--resource-pattern-type", "prefixed")
		}
		fmt.Fprintf(w, "%s  # %s\n", strings.Join(line, " "), a.Why)
	}
	return nil
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

