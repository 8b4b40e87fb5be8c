package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

const (
	indexerRecords = 60_000
	indexerGroup   = "kubescribe-indexer"
)

var indexerStage = Stage{
	Name:    "indexer",
	Ceiling: "raw _bulk requests from memory with the same documents, ids, indices and mapping on the same engine, best of a sweep",
	Unit:    "documents/s",
	Measure: measureIndexer,
}

func measureIndexer(ctx context.Context, e *Env) (Measured, error) {
	if err := e.startKafka(ctx); err != nil {
		return Measured{}, err
	}
	url, err := e.startElasticsearch(ctx)
	if err != nil {
		return Measured{}, err
	}
	docs, err := documents(indexerRecords)
	if err != nil {
		return Measured{}, err
	}
	t, err := e.topics(ctx, "bench.")
	if err != nil {
		return Measured{}, err
	}
	if err := e.fill(ctx, t.Enriched(cluster), docs); err != nil {
		return Measured{}, err
	}
	ceiling, how, err := e.bestBulk(ctx, url, docs)
	if err != nil {
		return Measured{}, err
	}
	rate, err := best(ctx, e, "indexer", len(docs), func(ctx context.Context, round int) (time.Duration, error) {
		if err := e.forget(ctx, indexerGroup); err != nil {
			return 0, err
		}
		prefix := fmt.Sprintf("stage%d", round)
		st, err := openStore(ctx, url, prefix)
		if err != nil {
			return 0, err
		}
		defer st.Close()
		took, err := e.untilConsumed(ctx, indexerGroup, t.Enriched(cluster), func(ctx context.Context) error {
			return indexer.Run(ctx, indexer.Default(), e.kafkaConfig("bench."), e.deps(), st)
		})
		if err != nil {
			return 0, err
		}
		return took, checkCount(ctx, url, prefix, len(docs))
	})
	return Measured{Stage: rate, Ceiling: ceiling, Records: len(docs), Detail: map[string]any{"bulk_best": how}}, err
}

func (e *Env) startElasticsearch(ctx context.Context) (string, error) {
	if err := stack.Prepare(ctx, "elasticsearch"); err != nil {
		return "", err
	}
	es, err := stack.StartElasticsearch(ctx, e.path("elasticsearch"), stack.WithHeap(2048))
	if err != nil {
		return "", err
	}
	e.onClose(func() { _ = es.Stop() })
	return es.URL, nil
}

// openStore opens the engine under an index prefix of its own, with templates in place.
func openStore(ctx context.Context, url, prefix string) (*store.Elasticsearch, error) {
	st, err := store.OpenElasticsearch(storeConfig(url, prefix), (&Env{log: io.Discard}).deps())
	if err != nil {
		return nil, err
	}
	return st, st.Setup(ctx)
}

func storeConfig(url, prefix string) store.ElasticsearchConfig {
	c := store.DefaultElasticsearch()
	c.Addresses, c.IndexPrefix = []string{url}, prefix
	return c
}

// checkCount fails when an index prefix does not hold n documents: a fast loader that loses some is no ceiling, and no stage.
func checkCount(ctx context.Context, url, prefix string, n int) error {
	var r struct {
		Count int `json:"count"`
	}
	if err := post(ctx, url+"/"+prefix+"-*/_refresh", nil, nil); err != nil {
		return err
	}
	if err := post(ctx, url+"/"+prefix+"-*/_count", nil, &r); err != nil {
		return err
	}
	if r.Count != n {
		return fmt.Errorf("%s holds %d documents, want %d", prefix, r.Count, n)
	}
	return nil
}

func post(ctx context.Context, url string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.300s", url, resp.Status, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

// bestBulk sweeps batch sizes and workers of a raw loader.
func (e *Env) bestBulk(ctx context.Context, url string, docs []*kgo.Record) (float64, string, error) {
	top, how := 0.0, ""
	for _, batch := range []int{500, 1000, 2000, 5000} {
		for _, workers := range []int{1, 2, 4} {
			prefix := fmt.Sprintf("raw-%d-%d", batch, workers)
			st, err := openStore(ctx, url, prefix)
			if err != nil {
				return 0, "", err
			}
			_ = st.Close()
			bodies, err := bulkBodies(docs, prefix, batch)
			if err != nil {
				return 0, "", err
			}
			took, err := loadBulk(ctx, url, bodies, workers)
			if err != nil {
				return 0, "", err
			}
			if err := checkCount(ctx, url, prefix, len(docs)); err != nil {
				return 0, "", err
			}
			rate := float64(len(docs)) / took.Seconds()
			e.logf("raw loader, %d documents a request, %d workers: %.0f/s", batch, workers, rate)
			if rate > top {
				top, how = rate, fmt.Sprintf("%d documents a request, %d workers", batch, workers)
			}
		}
	}
	return top, how, nil
}

// bulkBodies builds every request before the clock starts.
func bulkBodies(docs []*kgo.Record, prefix string, batch int) ([][]byte, error) {
	var bodies [][]byte
	for from := 0; from < len(docs); from += batch {
		var b bytes.Buffer
		for _, r := range docs[from:min(from+batch, len(docs))] {
			e, err := schemas.ParseHeaders(headers(r))
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&b, `{"create":{"_index":%q,"_id":%q}}`+"\n", schemas.Index(prefix, e.Class, schemas.PeriodWeek, e.Time), e.ID)
			b.Write(r.Value)
			b.WriteByte('\n')
		}
		bodies = append(bodies, b.Bytes())
	}
	return bodies, nil
}

func headers(r *kgo.Record) func(func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for _, h := range r.Headers {
			if !yield(h.Key, h.Value) {
				return
			}
		}
	}
}

func loadBulk(ctx context.Context, url string, bodies [][]byte, workers int) (time.Duration, error) {
	began := time.Now()
	next := make(chan []byte)
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		g.Go(func() error {
			for body := range next {
				var r struct {
					Errors bool `json:"errors"`
				}
				if err := post(ctx, url+"/_bulk?filter_path=errors", body, &r); err != nil {
					return err
				}
				if r.Errors {
					return fmt.Errorf("the raw loader had documents refused")
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(next)
		for _, b := range bodies {
			select {
			case next <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	err := g.Wait()
	return time.Since(began), err
}
