package reconciliation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// Store is what is compared with Kafka.
type Store interface {
	store.Store
	store.Inventory
}

// Options say what to compare. The zero value of Clusters, Listed, Held, Kept and Progress stands for a default.
type Options struct {
	// Clusters are those to compare; none means every one that has a topic.
	Clusters []string
	// Since is the event time to begin with; it is taken back to a full hour.
	Since time.Time
	// Group is the indexers' consumer group: its commits say what must be in the store.
	Group string
	// Repair stores what is missing.
	Repair bool
	// Every compares ids also where the counts agree.
	Every bool
	// Listed is how many differences of each kind and cluster the report names; default 100.
	Listed int
	// Held bounds the ids in memory at once; default 1,000,000.
	Held int64
	// Kept says until when a document may be deleted by somebody who is not asked here, as a `kubescribe local` does that watches a
	// cluster: a record past that time whose document is gone is expired. nil means that only the store's own DeletedAt counts.
	Kept func(class string, t time.Time) time.Time
	// Progress is told now and then how far it is. It must return at once.
	Progress func(Progress)
}

// Progress is how far a reconciliation is.
type Progress struct {
	Cluster string
	// Step is what it does now: "reading", "comparing" or "looking up".
	Step string
	// Records are those read in this step, of about Of.
	Records, Of int64
}

const (
	defaultListed = 100
	defaultHeld   = 1_000_000
	// slack is how long after its event time a record may have been written at the latest to count as on time: producers move an
	// event time to at most an hour after they saw it, and clocks differ by some more.
	slack = 2 * time.Hour
	// progressEvery is the number of records between two reports of progress.
	progressEvery = 10_000
)

// Run compares Kafka and st. It returns a report of what it has found also beside an error. It blocks while Kafka is away, until
// ctx ends; an error of the store ends it.
func Run(ctx context.Context, o Options, k stream.Config, d stream.Deps, st Store) (Report, error) {
	if o.Listed == 0 {
		o.Listed = defaultListed
	}
	if o.Held == 0 {
		o.Held = defaultHeld
	}
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	o.Since = time.Unix(max(floorHour(o.Since), 0)*3600, 0).UTC()
	report := Report{Since: o.Since, Group: o.Group, Clusters: []Cluster{}}
	topics := schemas.Topics{Prefix: k.TopicPrefix}
	clusters, err := clustersOf(ctx, o, k, d, topics)
	if err != nil {
		return report, err
	}
	for _, name := range clusters {
		c := &comparison{Options: o, kafka: k, deps: d, store: st, topics: topics, now: now(), found: Cluster{Name: name, Differences: []Difference{}}}
		err := c.run(ctx)
		c.found.sort()
		report.Clusters = append(report.Clusters, c.found)
		if err != nil {
			return report, fmt.Errorf("comparing cluster %s: %w", name, err)
		}
	}
	return report, nil
}

func clustersOf(ctx context.Context, o Options, k stream.Config, d stream.Deps, topics schemas.Topics) ([]string, error) {
	there, err := stream.MatchTopics(ctx, k, d, topics.EnrichedPattern())
	if err != nil {
		return nil, err
	}
	if len(o.Clusters) == 0 {
		if len(there) == 0 {
			return nil, fmt.Errorf("there is no topic %s: nothing to compare", topics.Enriched("<cluster>"))
		}
		names := make([]string, len(there))
		for i, t := range there {
			names[i] = topics.ClusterOf(t)
		}
		return names, nil
	}
	for _, name := range o.Clusters {
		if !slices.Contains(there, topics.Enriched(name)) {
			return nil, fmt.Errorf("there is no topic %s: check the cluster's name, or create it with `kubescribe topics apply`", topics.Enriched(name))
		}
	}
	return o.Clusters, nil
}

// comparison is that of one cluster.
type comparison struct {
	Options
	kafka  stream.Config
	deps   stream.Deps
	store  Store
	topics schemas.Topics
	now    time.Time
	found  Cluster

	extents    []stream.Extent // of the enriched topic's partitions, by number in the scan
	parts      map[int32]int   // the number of a partition
	tallies    map[bucket]*tally
	unreadable []unreadable
	letters    *letters // read when first needed
	setUp      bool     // before the first repair
}

func (c *comparison) run(ctx context.Context) error {
	topic := c.topics.Enriched(c.found.Name)
	var err error
	if c.extents, err = stream.Extents(ctx, c.kafka, c.deps, c.Group, c.Since.Add(-slack), topic); err != nil {
		return err
	}
	if err := c.checkGroup(); err != nil {
		return err
	}
	c.found.Whole = whole(c.extents, c.now)
	if err := c.count(ctx); err != nil {
		return err
	}
	if err := c.judgeUnreadable(ctx); err != nil {
		return err
	}
	var oneSided, differing []bucket
	for b, t := range c.tallies {
		switch {
		case b.start().Before(c.found.Whole):
			if t.records > 0 {
				oneSided = append(oneSided, b)
			}
		case c.Every || t.records != t.documents:
			differing = append(differing, b)
		}
	}
	for _, r := range rounds(c.tallies, differing, c.Held) {
		if err := c.compare(ctx, r); err != nil {
			return err
		}
	}
	return c.lookUpAll(ctx, oneSided)
}

// checkGroup makes sure that the group's commits say something: without any, everything that is missing would pass as pending.
func (c *comparison) checkGroup() error {
	records := int64(0)
	for _, e := range c.extents {
		if e.Committed >= 0 {
			return nil
		}
		records += e.End - e.Start
	}
	if records == 0 {
		return nil
	}
	return fmt.Errorf("the group %s has committed nothing on %s: either no indexer has run yet, or it runs as another group; name it with --group",
		c.Group, c.topics.Enriched(c.found.Name))
}

// whole is the full hour of event time from which on every record must still be in Kafka; zero if none was ever taken away.
func whole(extents []stream.Extent, now time.Time) time.Time {
	var cut time.Time
	for _, e := range extents {
		if e.Start == 0 {
			continue
		}
		first := e.StartTime
		if first.IsZero() {
			first = now
		}
		if first.After(cut) {
			cut = first
		}
	}
	if cut.IsZero() {
		return cut
	}
	// A record is written at the latest slack before its event time.
	return time.Unix((floorHour(cut.Add(slack))+1)*3600, 0).UTC()
}

// unreadable is a record that is no document.
type unreadable struct {
	part   int
	offset int64
	err    error
}

// maxUnreadable bounds those that are kept; beyond, they are missing without being looked up in the dead letter.
const maxUnreadable = 100_000

// count reads Kafka once, then asks the store.
func (c *comparison) count(ctx context.Context) error {
	c.tallies, c.parts = map[bucket]*tally{}, map[int32]int{}
	all := make([]stream.Span, len(c.extents))
	for i, e := range c.extents {
		c.parts[e.Partition] = i
		all[i] = stream.Span{Topic: e.Topic, Partition: e.Partition, From: e.Since, To: e.End}
	}
	err := c.read(ctx, "reading", all, func(r *kgo.Record, part int) error {
		item, err := indexer.ItemOf(r)
		switch {
		case err != nil:
			c.found.Records++
			if len(c.unreadable) < maxUnreadable {
				c.unreadable = append(c.unreadable, unreadable{part, r.Offset, err})
			} else {
				c.found.Missing++
			}
			return nil
		case item.Time.Before(c.Since):
			return nil
		}
		c.found.Records++
		if c.expired(item.Class, item.Time) {
			c.found.Expired++
			return nil
		}
		t := c.tally(bucketOf(item.Class, item.Time))
		t.records++
		t.at(part, r.Offset)
		return nil
	})
	if err != nil {
		return err
	}
	hours, err := c.store.Hours(ctx, c.found.Name, c.Since)
	if err != nil {
		return err
	}
	for _, h := range hours {
		c.found.Documents += h.Count
		if !c.expired(h.Class, h.Start) {
			c.tally(bucketOf(h.Class, h.Start)).documents += h.Count
		}
	}
	return nil
}

func (c *comparison) tally(b bucket) *tally {
	t := c.tallies[b]
	if t == nil {
		t = &tally{}
		c.tallies[b] = t
	}
	return t
}

func (c *comparison) expired(class string, t time.Time) bool {
	end := c.store.DeletedAt(class, t)
	return !end.IsZero() && c.now.After(end)
}

var errUnknownPartition = errors.New("a record of a partition that was not there at the start")

// read reads spans of the cluster's topic; part is the number of a record's partition.
func (c *comparison) read(ctx context.Context, step string, of []stream.Span, fn func(r *kgo.Record, part int) error) error {
	p := Progress{Cluster: c.found.Name, Step: step}
	for _, s := range of {
		p.Of += max(s.To-s.From, 0)
	}
	return stream.ReadSpans(ctx, c.kafka, c.deps, of, func(r *kgo.Record) error {
		if p.Records++; c.Progress != nil && p.Records%progressEvery == 0 {
			c.Progress(p)
		}
		part, ok := c.parts[r.Partition]
		if !ok {
			return errUnknownPartition
		}
		return fn(r, part)
	})
}
