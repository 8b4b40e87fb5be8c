package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Extent says what is in one partition at a moment, and how far a group has come in it.
type Extent struct {
	Topic     string
	Partition int32
	// Start is the first offset that is there; End is the last stable offset: what is below it is committed or aborted for good.
	Start, End int64
	// StartTime is the timestamp of the first record; zero when there is none.
	StartTime time.Time
	// Since is the first offset that was written at or after the time asked for, by the records' timestamps; at most End.
	Since int64
	// Committed is where the group goes on, or -1 when it has not committed here.
	Committed int64
}

// MatchTopics lists the topics whose names match an anchored pattern, in order.
func MatchTopics(ctx context.Context, cfg Config, d Deps, pattern string) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("reading the pattern of topics: %w", err)
	}
	cl, err := newClient(cfg, d.withDefaults(), "topics")
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", explain("", err))
	}
	var names []string
	for _, name := range listed.Names() {
		if re.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Extents looks at every partition of topics, at one moment as far as Kafka has one, in the order of topics and partitions.
func Extents(ctx context.Context, cfg Config, d Deps, group string, since time.Time, topics ...string) ([]Extent, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	group = cfg.Scoped(group)
	cl, err := newClient(cfg, d.withDefaults(), "extents")
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	var lists [4]kadm.ListedOffsets
	for i, list := range []func() (kadm.ListedOffsets, error){
		func() (kadm.ListedOffsets, error) { return adm.ListCommittedOffsets(ctx, topics...) },
		func() (kadm.ListedOffsets, error) { return adm.ListStartOffsets(ctx, topics...) },
		func() (kadm.ListedOffsets, error) { return adm.ListOffsetsAfterMilli(ctx, 0, topics...) },
		func() (kadm.ListedOffsets, error) {
			return adm.ListOffsetsAfterMilli(ctx, max(since.UnixMilli(), 0), topics...)
		},
	} {
		if lists[i], err = list(); err != nil {
			return nil, fmt.Errorf("reading where topics begin and end: %w", explain("", err))
		}
	}
	committed, err := groupOffsets(ctx, cl, group)
	if err != nil {
		return nil, fmt.Errorf("reading the offsets of group %s: %w", group, explain("", err))
	}
	var all []Extent
	var failed error
	lists[0].Each(func(end kadm.ListedOffset) {
		e := Extent{Topic: end.Topic, Partition: end.Partition, End: end.Offset, Committed: -1}
		start, _ := lists[1].Lookup(end.Topic, end.Partition)
		first, _ := lists[2].Lookup(end.Topic, end.Partition)
		after, _ := lists[3].Lookup(end.Topic, end.Partition)
		if err := errors.Join(end.Err, start.Err, first.Err, after.Err); err != nil {
			failed = errors.Join(failed, fmt.Errorf("reading where %s/%d begins and ends: %w", end.Topic, end.Partition, explain("", err)))
			return
		}
		e.Start, e.Since = start.Offset, min(max(after.Offset, start.Offset), end.Offset)
		if first.Timestamp >= 0 && first.Offset < end.Offset {
			e.StartTime = time.UnixMilli(first.Timestamp).UTC()
		}
		if o, ok := committed.Lookup(end.Topic, end.Partition); ok && o.Err == nil {
			e.Committed = o.At
		}
		all = append(all, e)
	})
	slices.SortFunc(all, func(a, b Extent) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), int(a.Partition-b.Partition))
	})
	return all, failed
}

// Span is a stretch of one partition: the offsets from From to, not including, To.
type Span struct {
	Topic     string
	Partition int32
	From, To  int64
}

// spanReaders is how many spans are read at once.
const spanReaders = 4

// ReadSpans shows every record of the spans to fn, read committed; fn is never called twice at once. Order holds within a span. What
// retention has taken away is passed over. It blocks until all is read, also while no broker answers, until ctx ends, or until fn
// returns an error, which it returns.
func ReadSpans(ctx context.Context, cfg Config, d Deps, spans []Span, fn func(*kgo.Record) error) error {
	d = d.withDefaults()
	cl, err := newClient(cfg, d, "spans", kgo.RetryTimeout(10*time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var one sync.Mutex
	shown := func(r *kgo.Record) error {
		one.Lock()
		defer one.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(r)
	}
	slots := make(chan struct{}, spanReaders)
	var all sync.WaitGroup
	for _, s := range spans {
		if s.From >= s.To {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := readSpan(ctx, cl, d, s, shown); err != nil {
				cancel(err) // the first one counts
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func readSpan(ctx context.Context, cl *kgo.Client, d Deps, s Span, fn func(*kgo.Record) error) error {
	r := &tableReader{cl: cl, tp: topicPartition{s.Topic, s.Partition}}
	var patience patience
	next, located := s.From, false
	for retry := newBackoff(); next < s.To; {
		err := func() (err error) {
			if !located {
				if err := r.locate(ctx); err != nil {
					return err
				}
				located = true
			}
			next, err = r.fetch(ctx, next, s.To, fn)
			return err
		}()
		var own *callbackError
		switch {
		case err == nil:
			retry.reset()
			continue
		case errors.As(err, &own):
			return own.err
		case ctx.Err() != nil:
			return fmt.Errorf("reading %s up to offset %d, at %d: %w", r.tp, s.To, next, context.Cause(ctx))
		case patience.over(err, false), errors.As(err, new(*configError)):
			return fmt.Errorf("reading %s at offset %d: %w", r.tp, next, explain("", err))
		}
		d.Log.Warn("reading records failed; tried again", "topic", s.Topic, "partition", s.Partition, "err", err)
		sleep(ctx, retry.next(nil))
	}
	return nil
}
