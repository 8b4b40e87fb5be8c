package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Resource is a kind of thing in Kafka that ACLs are about, named as Kafka's own tools name it.
type Resource string

// The resources that services use.
const (
	ResourceTopic           Resource = "topic"
	ResourceGroup           Resource = "group"
	ResourceTransactionalID Resource = "transactional-id"
)

// Access is one thing that a service must be allowed.
type Access struct {
	Resource Resource
	Name     string
	// Prefixed means everything whose name begins with Name.
	Prefixed bool
	// Operations are Read and Write, which include Describe.
	Operations []string
	Why        string // what for, in a few words
}

// Grant is the command of Kafka's own tool that allows a to principal; connection are its options that say where Kafka is.
func (a Access) Grant(connection, principal string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-acls.sh %s--add --allow-principal %s", connection, principal)
	for _, op := range a.Operations {
		fmt.Fprintf(&b, " --operation %s", op)
	}
	fmt.Fprintf(&b, " --%s %s", a.Resource, a.Name)
	if a.Prefixed {
		b.WriteString(" --resource-pattern-type prefixed")
	}
	return b.String()
}

// CheckAccess asks Kafka whether this principal may do all that needs says, and returns one error that names every topic that
// is missing and every ACL. A service that is told at its start is better than one that finds out at its first dead letter. A broker
// that has no ACLs allows everything; one that doesn't tell (before Kafka 2.3) passes.
func CheckAccess(ctx context.Context, cfg Config, d Deps, needs ...Access) error {
	cl, err := newClient(cfg, d.withDefaults(), "access")
	if err != nil {
		return err
	}
	defer cl.Close()
	c := accessCheck{cl: cl, who: "this principal"}
	if cfg.SASL.Username != "" {
		c.who = "User:" + cfg.SASL.Username
	}
	if err := c.topics(ctx, needs); err != nil {
		return fmt.Errorf("looking for topics: %w", explain("", err))
	}
	for _, n := range needs {
		ask := map[Resource]func(context.Context, Access) error{ResourceGroup: c.group, ResourceTransactionalID: c.transactionalID}[n.Resource]
		if ask == nil {
			continue
		}
		// A broker that has just started has no coordinators yet. One that goes on having none is the loop's matter, which waits.
		for retry, until := newBackoff(), time.Now().Add(accessPatience); ; {
			err := ask(ctx, n)
			if err == nil || ctx.Err() == nil && classify(err) == transient && time.Now().After(until) {
				break
			}
			if classify(err) != transient || !sleep(ctx, retry.next(nil)) {
				return fmt.Errorf("asking what is allowed on %s %s: %w", n.Resource, n.Name, explain("", err))
			}
		}
	}
	if len(c.missing) > 0 {
		c.errs = append([]error{missingTopics(c.missing)}, c.errs...)
	}
	return errors.Join(c.errs...)
}

// accessPatience is how long a coordinator may be away before it is not asked any more.
const accessPatience = 20 * time.Second

type accessCheck struct {
	cl      *kgo.Client
	who     string
	missing []string // topics
	errs    []error
}

// deny notes that n's operations are not allowed.
func (c *accessCheck) deny(n Access, operations ...string) {
	name := n.Name
	if n.Prefixed {
		name += "*"
	}
	grant := n
	grant.Operations = operations
	c.errs = append(c.errs, &configError{fmt.Sprintf("an ACL is missing: %s needs %s on %s %s (%s): %s",
		c.who, strings.Join(operations, " and "), n.Resource, name, n.Why, grant.Grant("", strings.ReplaceAll(c.who, "this principal", "User:…")))})
}

// lacks are those of n's operations that the bits of KIP-430 don't have.
func lacks(n Access, bits int32) (operations []string) {
	if bits == -1<<31 { // the broker doesn't tell
		return nil
	}
	for _, op := range n.Operations {
		bit := map[string]int{"Read": 3, "Write": 4}[op]
		if bits&(1<<bit) == 0 {
			operations = append(operations, op)
		}
	}
	return operations
}

func (c *accessCheck) topics(ctx context.Context, needs []Access) error {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, n := range needs {
		if n.Resource != ResourceTopic {
			continue
		}
		if n.Prefixed { // every topic: Kafka shows those that the principal may see
			req.Topics = nil
			break
		}
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(n.Name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return err
	}
	for _, n := range needs {
		if n.Resource == ResourceTopic {
			c.topic(n, resp.Topics, req.Topics == nil)
		}
	}
	return nil
}

// topic judges one need by what Kafka showed. Of a list of all topics (all), it leaves out what the principal may not even see.
func (c *accessCheck) topic(n Access, shown []kmsg.MetadataResponseTopic, all bool) {
	seen := false
	for _, t := range shown {
		if t.Topic == nil || *t.Topic != n.Name && (!n.Prefixed || !strings.HasPrefix(*t.Topic, n.Name)) {
			continue
		}
		seen = true
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			c.missing = append(c.missing, n.Name)
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			c.deny(n, n.Operations...)
		default:
			if ops := lacks(n, t.AuthorizedOperations); len(ops) > 0 {
				c.deny(n, ops...)
				return
			}
		}
	}
	switch {
	case seen:
	case n.Prefixed:
		c.deny(n, n.Operations...)
		c.errs = append(c.errs, &configError{fmt.Sprintf("…or no topic %s* exists: create them with `kubescribe topics apply --cluster NAME`", n.Name)})
	case all:
		c.deny(n, n.Operations...)
		c.errs = append(c.errs, &configError{fmt.Sprintf("…or topic %s does not exist: create it with `kubescribe topics apply`", n.Name)})
	}
}

func (c *accessCheck) group(ctx context.Context, n Access) error {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{n.Name}, true
	resp, err := req.RequestWith(ctx, c.cl)
	if errors.Is(err, kerr.GroupAuthorizationFailed) { // said by the search for its coordinator
		c.deny(n, n.Operations...)
		return nil
	}
	if err != nil {
		return err
	}
	for _, g := range resp.Groups {
		switch err := kerr.ErrorForCode(g.ErrorCode); {
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			c.deny(n, n.Operations...)
		case err != nil && !errors.Is(err, kerr.GroupIDNotFound):
			return err
		default:
			if ops := lacks(n, g.AuthorizedOperations); len(ops) > 0 {
				c.deny(n, ops...)
			}
		}
	}
	return nil
}

// transactionalID finds out by asking for the coordinator, which takes Describe: Kafka doesn't tell more without fencing somebody.
func (c *accessCheck) transactionalID(ctx context.Context, n Access) error {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType = 1
	req.CoordinatorKey, req.CoordinatorKeys = n.Name, []string{n.Name}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil && !errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
		return err
	}
	if err != nil {
		c.deny(n, n.Operations...)
		return nil
	}
	code := resp.ErrorCode
	for _, k := range resp.Coordinators {
		code = cmp.Or(code, k.ErrorCode)
	}
	if err := kerr.ErrorForCode(code); !errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
		return err
	}
	c.deny(n, n.Operations...)
	return nil
}
