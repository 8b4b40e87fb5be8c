package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"kubescribe/internal/store/storetest"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

const (
	indexerGroup     = "kubescribe-indexer"
	indexPartitions  = 6
	documentInterval = 4 * 7 * 24 * time.Hour // of event time, over which a case's documents are spread
)

// indexed is what the indexer's cases share: Kafka, Elasticsearch and the documents that should be there.
type indexed struct {
	*Env
	topics schemas.Topics
	start  time.Time // of the first document
	n      int
}

// startIndexed starts a broker and a node, side by side.
func startIndexed(ctx context.Context, env *Env, options ...stack.ElasticsearchOption) (*indexed, error) {
	x := &indexed{Env: env, topics: schemas.Topics{Prefix: schemas.DefaultTopicPrefix}}
	// Four whole periods, the present one the last of them: nothing in them is past its retention.
	x.start = schemas.PeriodWeek.Start(time.Now()).AddDate(0, 0, -21)
	if err := stack.Prepare(ctx, stack.PartKafka, stack.PartElasticsearch); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if x.kafka, err = stack.StartKafka(gctx, x.path("kafka")); err != nil {
			return err
		}
		x.onClose(func() { _ = x.kafka.Stop() })
		x.broker, err = newBroker(x.kafka.Bootstrap)
		return err
	})
	g.Go(func() (err error) {
		if x.es, err = stack.StartElasticsearch(gctx, x.path("elasticsearch"), options...); err != nil {
			return err
		}
		x.onClose(func() { _ = x.es.Stop() })
		x.elastic = elastic{url: x.es.URL}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	x.onClose(x.broker.close)
	x.logf("stack is up: kafka %s, elasticsearch %s", x.kafka.Bootstrap, x.es.URL)
	return x, nil
}

// configureIndexer writes the configuration, with the sections elasticsearch and indexer as given, and sets Kafka and the engine up.
func (x *indexed) configureIndexer(ctx context.Context, elasticsearch, indexer string) error {
	x.configFile = x.path("kubescribe.yaml")
	err := os.WriteFile(x.configFile, fmt.Appendf(nil, `
cluster: %s
log: {level: info, format: text}
kafka: {brokers: [%q]}
topics: {partitions: %d, replication: 1}
elasticsearch: %s
indexer: %s
`, cluster, x.kafka.Bootstrap, indexPartitions, elasticsearch, indexer), 0o600)
	return errors.Join(err, x.command(ctx, "topics", "apply"), x.command(ctx, "indexer", "setup"))
}

// document is the ith document, of three classes in turn; together they span the four periods.
func (x *indexed) document(i int) *schemas.Document {
	d := storetest.Document(i, x.start)
	d.Timestamp = x.start.Add(time.Duration(float64(i) / float64(x.n) * float64(documentInterval))).Truncate(time.Millisecond)
	if now := time.Now(); d.Timestamp.After(now) { // the last period is not over
		d.Timestamp = now.Add(-time.Duration(i%1000) * time.Second).UTC().Truncate(time.Millisecond)
		if first := schemas.PeriodWeek.Start(now); d.Timestamp.Before(first) {
			d.Timestamp = first
		}
	}
	d.Orchestrator.Cluster.Name = cluster
	d.Kubescribe.Class = []string{schemas.ClassWarning, schemas.ClassNormal, schemas.ClassCrash}[i%3]
	return d
}

// fill produces n documents as an enricher writes them; change, if set, may alter the bytes of each.
func (x *indexed) fill(ctx context.Context, n int, change func(i int, d *schemas.Document, value []byte) []byte) error {
	x.n = n
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.kafka.Bootstrap), kgo.DefaultProduceTopic(x.topics.Enriched(cluster)),
		kgo.MaxBufferedRecords(20_000), kgo.ProducerLinger(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	promise := kgo.AbortingFirstErrPromise(cl)
	for i := range n {
		d := x.document(i)
		value, err := d.Encode()
		if err != nil {
			return err
		}
		if change != nil {
			value = change(i, d, value)
		}
		r := &kgo.Record{Key: []byte(d.Orchestrator.Resource.Name), Value: value}
		for _, h := range d.Headers() {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		cl.Produce(ctx, r, promise.Promise())
	}
	if err := errors.Join(cl.Flush(ctx), promise.Err()); err != nil {
		return fmt.Errorf("producing the documents: %w", err)
	}
	x.logf("%d documents are in %s", n, x.topics.Enriched(cluster))
	return nil
}

// committed is how many records of the topic a group has committed.
func (x *indexed) committed(ctx context.Context, group string) (int64, error) {
	commits, err := x.broker.admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("fetching offsets of %s: %w", group, err)
	}
	var n int64
	for _, partition := range commits[x.topics.Enriched(cluster)] {
		n += max(partition.At, 0)
	}
	return n, nil
}

// awaitCommitted returns when a group has committed n records, or with an error when p exits or the time is over.
func (x *indexed) awaitCommitted(ctx context.Context, p *process, group string, n int64, within time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		have, err := x.committed(wait, group)
		if err == nil && have >= n {
			return nil
		}
		select {
		case err := <-p.exited:
			return fmt.Errorf("%s exited: %w\n%s", p.name, err, tail(p.logs))
		default:
		}
		if stop := pause(wait, 20*time.Millisecond); stop != nil {
			return fmt.Errorf("group %s has committed %d of %d records after %s: %w\n%s", group, have, n, within, errors.Join(err, stop), tail(p.logs))
		}
	}
}

// stored is how many documents the engine holds.
func (x *indexed) stored(ctx context.Context) (int64, error) {
	var r struct {
		Count int64 `json:"count"`
	}
	// A node that has just come back may not serve every shard yet, and would count less.
	if err := x.elastic.call(ctx, http.MethodGet, "/_cluster/health/kubescribe-*?wait_for_status=yellow&timeout=30s", "", nil); err != nil {
		return 0, err
	}
	if err := x.elastic.call(ctx, http.MethodPost, "/kubescribe-*/_refresh", "", nil); err != nil {
		return 0, err
	}
	err := x.elastic.call(ctx, http.MethodGet, "/kubescribe-*/_count", "", &r)
	return r.Count, err
}

// ids counts the engine's documents by id, over all indices, and names the indices.
func (x *indexed) ids(ctx context.Context) (map[string]int, map[string]bool, error) {
	found, indices := map[string]int{}, map[string]bool{}
	err := x.elastic.each(ctx, `{"match_all":{}}`, "false", func(h hit) {
		found[h.ID]++
		indices[h.Index] = true
	})
	return found, indices, err
}

// expected are the ids of all documents.
func (x *indexed) expected() map[string]bool {
	ids := make(map[string]bool, x.n)
	for i := range x.n {
		ids[storetest.Document(i, x.start).Event.ID] = true
	}
	return ids
}
