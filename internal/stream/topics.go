package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicSpec is how a topic should be.
type TopicSpec struct {
	Name       string
	Partitions int32
	// Replication 0 means 3. min.insync.replicas follows from it, min(2, replication), unless Configs says otherwise.
	Replication int16
	// Configs are in Kafka's names. What they don't name is left alone.
	Configs map[string]string
	// Keyed topics must not grow: a key would move to another partition, and order and state with it.
	Keyed bool
	// Compacted topics must have a compacting cleanup.policy in Configs.
	Compacted bool
}

// TopicChange is one thing that ApplyTopics did or, dry, would do.
type TopicChange struct {
	Topic string
	// Action is create, config or grow.
	Action string
	// Name is the configuration's name; From and To are its values, or numbers of partitions. From is empty for a new topic.
	Name, From, To string
}

// String is for people: "kubescribe.alerts: retention.ms 604800000 -> 2592000000".
func (c TopicChange) String() string {
	switch c.Action {
	case "create":
		return fmt.Sprintf("%s: create with %s", c.Topic, c.To)
	case "grow":
		return fmt.Sprintf("%s: grow from %s to %s partitions", c.Topic, c.From, c.To)
	}
	return fmt.Sprintf("%s: %s %s -> %s", c.Topic, c.Name, c.From, c.To)
}

func (s TopicSpec) withDefaults() (TopicSpec, error) {
	if s.Replication == 0 {
		s.Replication = 3
	}
	s.Configs = maps.Clone(s.Configs)
	if s.Configs == nil {
		s.Configs = map[string]string{}
	}
	if _, set := s.Configs["min.insync.replicas"]; !set {
		s.Configs["min.insync.replicas"] = strconv.Itoa(int(min(2, s.Replication)))
	}
	switch policy := s.Configs["cleanup.policy"]; {
	case s.Name == "":
		return s, errors.New("a topic has no name")
	case s.Partitions < 1:
		return s, fmt.Errorf("topic %s: %d partitions", s.Name, s.Partitions)
	case s.Compacted && policy != "compact" && policy != "compact,delete" && policy != "delete,compact":
		return s, fmt.Errorf("topic %s is compacted but its cleanup.policy is %q", s.Name, policy)
	}
	return s, nil
}

// ApplyTopics creates what is missing and sets the configurations that differ; with dryRun it only says what it would do. It never
// deletes, shrinks or moves anything, and refuses, for all topics before it changes any, to grow a keyed one. The changes
// returned are those done (or to do), also beside an error.
func ApplyTopics(ctx context.Context, cfg Config, d Deps, specs []TopicSpec, dryRun bool) ([]TopicChange, error) {
	cl, err := newClient(cfg, d.withDefaults(), "topics")
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	plan, err := compareTopics(ctx, cl, adm, specs)
	if err != nil || dryRun {
		return plan.changes(), err
	}
	var done []TopicChange
	var created []string
	for _, p := range plan {
		if err := p.apply(ctx, adm); err != nil {
			return done, err
		}
		done = append(done, p.changes...)
		if p.missing {
			created = append(created, p.spec.Name)
		}
	}
	awaitEverywhere(ctx, cl, adm, created)
	return done, nil
}

// awaitEverywhere returns when every broker knows the topics, or after missingPatience: whoever starts next must not miss them because
// it asks a broker that has not heard of them yet.
func awaitEverywhere(ctx context.Context, cl *kgo.Client, adm *kadm.Client, topics []string) {
	if len(topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, missingPatience)
	defer cancel()
	known := func() bool {
		brokers, err := adm.ListBrokers(ctx)
		if err != nil || len(brokers) == 0 {
			return false
		}
		for _, id := range brokers.NodeIDs() {
			if _, missing, err := describe(ctx, cl.Broker(int(id)), topics); err != nil || len(missing) > 0 {
				return false
			}
		}
		return true
	}
	for !known() && sleep(ctx, 50*time.Millisecond) {
	}
}

// CheckTopics compares and changes nothing: the error names every topic that is missing or different and the command that mends it.
func CheckTopics(ctx context.Context, cfg Config, d Deps, specs []TopicSpec) error {
	cl, err := newClient(cfg, d.withDefaults(), "topics")
	if err != nil {
		return err
	}
	defer cl.Close()
	plan, err := compareTopics(ctx, cl, kadm.NewClient(cl), specs)
	errs := []error{err}
	for _, c := range plan.changes() {
		what := c.String()
		if c.Action == "create" {
			what = fmt.Sprintf("topic %s does not exist", c.Topic)
		}
		errs = append(errs, errors.New(what))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\nrun `kubescribe topics apply`", err)
	}
	return nil
}

// topicPlan is what has to be done to one topic.
type topicPlan struct {
	spec    TopicSpec
	missing bool
	grow    bool
	configs []kadm.AlterConfig
	changes []TopicChange
}

type topicPlans []topicPlan

func (ps topicPlans) changes() []TopicChange {
	var all []TopicChange
	for _, p := range ps {
		all = append(all, p.changes...)
	}
	return all
}

func compareTopics(ctx context.Context, cl *kgo.Client, adm *kadm.Client, specs []TopicSpec) (topicPlans, error) {
	var errs []error
	var plans topicPlans
	var names []string
	for _, spec := range specs {
		spec, err := spec.withDefaults()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		names = append(names, spec.Name)
		plans = append(plans, topicPlan{spec: spec})
	}
	if len(errs) > 0 || len(names) == 0 {
		return nil, errors.Join(errs...)
	}
	found, _, err := describe(ctx, cl, names)
	if err != nil {
		return nil, fmt.Errorf("looking at topics: %w", explain("", err))
	}
	there := slices.DeleteFunc(names, func(n string) bool { _, ok := found[n]; return !ok })
	configs, err := topicConfigs(ctx, adm, there)
	if err != nil {
		return nil, err
	}
	for i := range plans {
		topic, ok := found[plans[i].spec.Name]
		if !ok {
			plans[i].create()
			continue
		}
		errs = append(errs, plans[i].compare(int32(len(topic.partitions)), configs[plans[i].spec.Name]))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return plans, nil
}

func topicConfigs(ctx context.Context, adm *kadm.Client, names []string) (map[string]map[string]string, error) {
	m := map[string]map[string]string{}
	if len(names) == 0 {
		return m, nil
	}
	described, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("reading topic configurations: %w", explain("", err))
	}
	for _, rc := range described {
		if rc.Err != nil {
			return nil, fmt.Errorf("reading the configuration of topic %s: %w", rc.Name, explain("", rc.Err))
		}
		m[rc.Name] = map[string]string{}
		for _, c := range rc.Configs {
			m[rc.Name][c.Key] = c.MaybeValue()
		}
	}
	return m, nil
}

func (p *topicPlan) create() {
	p.missing = true
	p.changes = append(p.changes, TopicChange{
		Topic: p.spec.Name, Action: "create",
		To: fmt.Sprintf("%d partitions, replication %d", p.spec.Partitions, p.spec.Replication),
	})
}

func (p *topicPlan) compare(have int32, configs map[string]string) error {
	name, want := p.spec.Name, p.spec.Partitions
	switch {
	case have > want:
		return fmt.Errorf("topic %s has %d partitions and the configuration wants %d: Kafka cannot shrink a topic, configure %d", name, have, want, have)
	case have < want && p.spec.Keyed:
		return fmt.Errorf("topic %s has %d partitions and the configuration wants %d: it is keyed, and growing would break order and state; "+
			"configure %d, or create a topic under another prefix", name, have, want, have)
	case have < want:
		p.grow = true
		p.changes = append(p.changes, TopicChange{Topic: name, Action: "grow", From: fmt.Sprint(have), To: fmt.Sprint(want)})
	}
	for _, key := range slices.Sorted(maps.Keys(p.spec.Configs)) {
		if is, to := configs[key], p.spec.Configs[key]; is != to {
			p.configs = append(p.configs, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &to})
			p.changes = append(p.changes, TopicChange{Topic: name, Action: "config", Name: key, From: is, To: to})
		}
	}
	return nil
}

func (p *topicPlan) apply(ctx context.Context, adm *kadm.Client) error {
	if p.missing {
		configs := map[string]*string{}
		for k, v := range p.spec.Configs {
			configs[k] = &v
		}
		resp, err := adm.CreateTopic(ctx, p.spec.Partitions, p.spec.Replication, configs, p.spec.Name)
		switch {
		case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
			return nil
		case errors.Is(err, kerr.InvalidReplicationFactor):
			return fmt.Errorf("creating topic %s: the cluster has fewer brokers than the replication factor %d: %s", p.spec.Name, p.spec.Replication, resp.ErrMessage)
		}
		return fmt.Errorf("creating topic %s: %w", p.spec.Name, withMessage(explain("", err), resp.ErrMessage))
	}
	if p.grow {
		resp, err := adm.UpdatePartitions(ctx, int(p.spec.Partitions), p.spec.Name)
		if err == nil {
			err = resp.Error()
		}
		if err != nil {
			return fmt.Errorf("growing topic %s: %w", p.spec.Name, explain("", err))
		}
	}
	if len(p.configs) == 0 {
		return nil
	}
	resps, err := adm.AlterTopicConfigs(ctx, p.configs, p.spec.Name)
	if err != nil {
		return fmt.Errorf("configuring topic %s: %w", p.spec.Name, explain("", err))
	}
	for _, r := range resps {
		if r.Err != nil {
			return fmt.Errorf("configuring topic %s: %w", p.spec.Name, withMessage(explain("", r.Err), r.ErrMessage))
		}
	}
	return nil
}

func withMessage(err error, message string) error {
	if message == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, message)
}
