package enricher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/enricher/crashlog"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// transformer turns batches of observations into batches of documents.
type transformer struct {
	cluster     string
	topic       string // of the documents
	objects     Objects
	fields      Fields
	timeout     time.Duration // for all look-ups of a batch
	concurrency int           // of look-ups
	metrics     *metrics
	logs        *logs // nil for none
}

// item is one record on its way through a batch.
type item struct {
	in     *kgo.Record
	o      *schemas.Observation
	object int // index into what was looked up; -1 for nothing
	out    *kgo.Record
	facts  docFacts
	poison *stream.Poison
	log    *crashlog.Log // nil when none belongs to the record
}

// docFacts are what the metrics need of a document.
type docFacts struct {
	class      string
	enrichment *schemas.Enrichment
	truncated  bool
}

// Why a record is poison: values of a metric's label and of the dead letter's header.
const (
	poisonUndecodable = "undecodable"   // no observation
	poisonCluster     = "other_cluster" // an observation of another cluster than its topic's
	poisonPayload     = "payload"       // its payload is not what its type says
)

// transform is the stream.Transform. It keeps the records' order, and fails only when ctx ends.
func (t *transformer) transform(ctx context.Context, records []*kgo.Record) (stream.Output, error) {
	items := make([]item, len(records))
	inParallel(len(items), func(i int) { t.decode(&items[i], records[i]) })
	finishLogs := t.logs.begin(ctx, items)
	objects := t.lookUp(ctx, items)
	finishLogs()
	if ctx.Err() != nil {
		return stream.Output{}, fmt.Errorf("looking up a batch: %w", context.Cause(ctx))
	}
	inParallel(len(items), func(i int) { t.build(&items[i], objects) })

	out := stream.Output{Records: make([]*kgo.Record, 0, len(items))}
	facts := make([]docFacts, 0, len(items))
	for i := range items {
		if p := items[i].poison; p != nil {
			out.Poison = append(out.Poison, *p)
			continue
		}
		out.Records = append(out.Records, items[i].out)
		facts = append(facts, items[i].facts)
	}
	out.Committed = func() { t.metrics.committed(facts) }
	return out, nil
}

func (t *transformer) decode(it *item, r *kgo.Record) {
	it.in, it.object = r, -1
	o, err := decodeObservation(r.Value)
	switch {
	case err != nil:
		it.poison = &stream.Poison{Record: r, Reason: poisonUndecodable, Err: err}
	case o.Cluster.Name != t.cluster:
		err = fmt.Errorf("the observation is of cluster %q, in the topic of cluster %q", o.Cluster.Name, t.cluster)
		it.poison = &stream.Poison{Record: r, Reason: poisonCluster, Err: err}
	default:
		it.o = o
	}
}

// lookUp asks for each involved object of the batch once, for as long as the batch's deadline allows.
func (t *transformer) lookUp(ctx context.Context, items []item) []Object {
	type wanted struct {
		ref  schemas.Subject
		seen time.Time // the latest
	}
	var want []wanted
	index := map[schemas.Subject]int{}
	for i := range items {
		if items[i].o == nil || items[i].o.Subject.Kind == "" {
			continue
		}
		ref := items[i].o.Subject
		ref.ResourceVersion, ref.FieldPath = "", ""
		n, ok := index[ref]
		if !ok {
			n = len(want)
			index[ref] = n
			want = append(want, wanted{ref: ref})
		}
		if seen := items[i].o.ObservedAt; seen.After(want[n].seen) {
			want[n].seen = seen
		}
		items[i].object = n
	}
	if len(want) == 0 {
		return nil
	}
	start := time.Now()
	defer func() { t.metrics.lookedUp(time.Since(start)) }()
	ctx, cancel := context.WithTimeoutCause(ctx, t.timeout, errors.New("the batch's look-ups took too long"))
	defer cancel()
	objects := make([]Object, len(want))
	each(len(want), t.concurrency, func(i int) { objects[i] = t.objects.Lookup(ctx, want[i].ref, want[i].seen) })
	return objects
}

func (t *transformer) build(it *item, objects []Object) {
	if it.poison != nil {
		return
	}
	var object Object
	if it.object >= 0 {
		object = objects[it.object]
	}
	d, err := Enrich(it.o, object, t.fields)
	var value []byte
	if err == nil {
		addLog(d, it.log)
		if err = d.Validate(); err == nil {
			value, err = encode(d)
		}
	}
	if err != nil {
		it.poison = &stream.Poison{Record: it.in, Reason: poisonPayload, Err: err}
		return
	}
	it.out = &kgo.Record{Topic: t.topic, Key: it.in.Key, Value: value, Headers: headers(d), Context: it.in.Context}
	it.facts = docFacts{d.Kubescribe.Class, d.Kubescribe.Enrichment, len(d.Kubescribe.Truncated) > 0}
	it.o, it.log = nil, nil
}

// encode encodes d, smaller than it is if that is too large.
func encode(d *schemas.Document) ([]byte, error) {
	value, err := d.Encode()
	if err == nil && len(value) > MaxDocumentBytes {
		fit(d)
		value, err = d.Encode()
	}
	return value, err
}

func headers(d *schemas.Document) []kgo.RecordHeader {
	h := d.Headers()
	out := make([]kgo.RecordHeader, len(h))
	for i := range h {
		out[i] = kgo.RecordHeader(h[i])
	}
	return out
}

// inParallel calls f for 0..n-1 on as many goroutines as there are CPUs.
func inParallel(n int, f func(int)) { each(n, min(runtime.GOMAXPROCS(0), (n+63)/64), f) }

// each calls f for 0..n-1 on up to workers goroutines and returns when all are through.
func each(n, workers int, f func(int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i)
		}
	}
	var wg sync.WaitGroup
	for range min(workers, n) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}
