package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

const (
	indexerRecords = 150_000
	indexerGroup   = "bench." + indexer.Group // a prefix other than the default is before groups, too
)

var indexerStage = Stage{
	Name:    "indexer",
	Ceiling: "raw _bulk requests from memory with the same documents, ids, indices and mapping on the same engine, best of a sweep",
	Unit:    "documents/s",
	Bound:   0.85,
	Limits:  map[string]float64{"cpu_us_per_document": 15, "rss_mib": 200},
	Measure: measureIndexer,
}

// measureIndexer runs the real binary once after each raw loader: both meet the engine warm and cold alike, a machine that is busy
// slows both, and the best of each is the best of as many. An index is deleted once it is counted: what one round leaves to merge must not slow
// the next one down.
func measureIndexer(ctx context.Context, e *Env) (Measured, error) {
	x, err := e.prepareIndexer(ctx)
	if err != nil {
		return Measured{}, err
	}
	var m Measured
	how, sweep := "", map[string]float64{}
	cpu, rss := math.Inf(1), 0.0
	for round, l := range rawLoaders() {
		rate, err := x.load(ctx, l)
		if err != nil {
			return Measured{}, err
		}
		e.logf("raw loader, %s: %.0f/s", l, rate)
		sweep[l.String()] = math.Round(rate)
		if rate > m.Ceiling {
			m.Ceiling, how = rate, l.String()
		}
		r, err := x.run(ctx, round)
		if err != nil {
			return Measured{}, fmt.Errorf("indexer: %w", err)
		}
		e.logf("indexer: %.0f/s, %.1f µs of CPU a document, %.0f MiB", r.rate, r.cpu, r.rss)
		m.Stage, cpu, rss = max(m.Stage, r.rate), min(cpu, r.cpu), max(rss, r.rss)
	}
	sqlite, err := loadSQLite(ctx, e.path("documents.sqlite"), x.docs[:20_000])
	if err != nil {
		return Measured{}, fmt.Errorf("SQLite: %w", err)
	}
	m.Records = len(x.docs)
	m.Detail = map[string]any{
		"bulk_best": how, "bulk_sweep": sweep, "cpu_us_per_document": round(cpu), "rss_mib": round(rss), "sqlite_documents_per_s": math.Round(sqlite),
	}
	return m, nil
}

// indexerBench is what the rounds and the raw loaders share.
type indexerBench struct {
	*Env
	url    string
	topic  string
	docs   []*kgo.Record
	binary string
}

func (e *Env) prepareIndexer(ctx context.Context) (*indexerBench, error) {
	x := &indexerBench{Env: e, binary: e.path("kubescribe")}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", x.binary, "./cmd/kubescribe").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the binary: %w: %s", err, out)
	}
	if err := e.startKafka(ctx); err != nil {
		return nil, err
	}
	var err error
	if x.url, err = e.startElasticsearch(ctx); err != nil {
		return nil, err
	}
	if x.docs, err = documents(indexerRecords); err != nil {
		return nil, err
	}
	t, err := e.topics(ctx, "bench.")
	if err != nil {
		return nil, err
	}
	x.topic = t.Enriched(cluster)
	return x, e.fill(ctx, x.topic, x.docs)
}

// indexerRound are the figures of one run of the binary: documents a second, µs of CPU for each, and the most memory in MiB.
type indexerRound struct{ rate, cpu, rss float64 }

// run lets the binary read the topic from its start and write it under a prefix of the round's own. The clock runs from the moment at
// which it has its partitions: how long a process and a group take to start is another figure. All of its CPU is counted.
func (x *indexerBench) run(ctx context.Context, round int) (indexerRound, error) {
	prefix := fmt.Sprintf("stage%d", round)
	if err := errors.Join(x.forget(ctx, indexerGroup), setUp(ctx, x.url, prefix)); err != nil {
		return indexerRound{}, err
	}
	config := x.path(prefix + ".yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
log: {level: warn}
http: {listen: "127.0.0.1:0"}
kafka: {brokers: [%q], topic_prefix: bench.}
elasticsearch: {addresses: [%q], index_prefix: %s}
`, x.kafka.Bootstrap, x.url, prefix), 0o600); err != nil {
		return indexerRound{}, err
	}
	cmd := exec.CommandContext(ctx, x.binary, "indexer", "--config", config)
	cmd.Stdout, cmd.Stderr = x.log, x.log
	rss, began := 0.0, time.Now()
	joined := make(chan time.Duration, 1)
	took, err := x.untilConsumed(ctx, indexerGroup, x.topic, func(ctx context.Context) error {
		if err := cmd.Start(); err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() {
			rss = peakMemory(cmd.Process.Pid)
			_ = cmd.Process.Signal(syscall.SIGTERM)
		})
		defer stop()
		if err := x.awaitMember(ctx, indexerGroup); err != nil {
			return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
		joined <- time.Since(began)
		return cmd.Wait()
	})
	if err != nil {
		return indexerRound{}, err
	}
	n := float64(len(x.docs))
	r := indexerRound{rate: n / (took - <-joined).Seconds(), rss: rss}
	r.cpu = float64((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Microseconds()) / n
	return r, errors.Join(checkCount(ctx, x.url, prefix, len(x.docs)), drop(ctx, x.url, prefix))
}

// awaitMember returns when a group has its partitions.
func (x *indexerBench) awaitMember(ctx context.Context, group string) error {
	for {
		groups, err := x.admin.DescribeGroups(ctx, group)
		if err == nil && groups[group].State == "Stable" {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// peakMemory is the most that a process has had in memory, in MiB. What the kernel reports at its end is no use: it counts what this
// process had when it started the other one.
func peakMemory(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return math.Inf(1)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return math.Inf(1)
}

// rawLoader is one shape of a loader.
type rawLoader struct{ batch, workers int }

func (l rawLoader) String() string {
	return fmt.Sprintf("%d documents a request, %d workers", l.batch, l.workers)
}

func rawLoaders() []rawLoader {
	var all []rawLoader
	for _, batch := range []int{500, 1000, 2000, 5000} {
		for _, workers := range []int{1, 2, 4} {
			all = append(all, rawLoader{batch, workers})
		}
	}
	return all
}

// load is the rate of one raw loader.
func (x *indexerBench) load(ctx context.Context, l rawLoader) (float64, error) {
	prefix := fmt.Sprintf("raw-%d-%d", l.batch, l.workers)
	if err := setUp(ctx, x.url, prefix); err != nil {
		return 0, err
	}
	bodies, err := bulkBodies(x.docs, prefix, l.batch)
	if err != nil {
		return 0, err
	}
	took, err := loadBulk(ctx, x.url, bodies, l.workers)
	if err != nil {
		return 0, err
	}
	return float64(len(x.docs)) / took.Seconds(), errors.Join(checkCount(ctx, x.url, prefix, len(x.docs)), drop(ctx, x.url, prefix))
}

// loadSQLite is the rate of the embedded default's store in batches as the indexer gives them.
func loadSQLite(ctx context.Context, path string, docs []*kgo.Record) (float64, error) {
	st, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	items := make([]store.Item, len(docs))
	for i, r := range docs {
		if items[i], err = indexer.ItemOf(r); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	for part := range slices.Chunk(items, indexer.Default().FlushRecords) {
		if _, err := st.Index(ctx, part); err != nil {
			return 0, err
		}
	}
	return float64(len(docs)) / time.Since(began).Seconds(), nil
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

// setUp puts the templates of an index prefix in place.
func setUp(ctx context.Context, url, prefix string) error {
	st, err := store.OpenElasticsearch(storeConfig(url, prefix), (&Env{log: io.Discard}).deps())
	if err != nil {
		return err
	}
	return errors.Join(st.Setup(ctx), st.Close())
}

// drop deletes the indices of a prefix.
func drop(ctx context.Context, url, prefix string) error {
	var found map[string]any
	if err := call(ctx, http.MethodGet, url+"/"+prefix+"-*/_alias", nil, &found); err != nil {
		return err
	}
	for name := range found {
		if err := call(ctx, http.MethodDelete, url+"/"+name, nil, nil); err != nil {
			return err
		}
	}
	return nil
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
	return call(ctx, http.MethodPost, url, body, into)
}

func call(ctx context.Context, method, url string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
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
