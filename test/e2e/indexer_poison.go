package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

const (
	poisonDocuments = 10_000
	poisonEvery     = 100
	poisonFields    = 300 // the mapping's bound
)

var indexerPoison = Case{
	Name: "indexer-poison",
	About: "100 documents that Elasticsearch refuses go to the dead letter and come back after a mapping fix; an expired API key sends " +
		"nothing there; 10,000 label keys are no 10,000 fields",
	Run: runIndexerPoison,
}

// gate stands before the engine and lets one API key through. The stack's node has no security, and the answer is what one with it gives.
type gate struct {
	*httptest.Server
	mu      sync.Mutex
	key     string
	refused atomic.Int64
}

func newGate(target, key string) (*gate, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	g := &gate{key: key}
	proxy := httputil.NewSingleHostReverseProxy(u)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		good := r.Header.Get("Authorization") == "ApiKey "+g.key
		g.mu.Unlock()
		if good {
			proxy.ServeHTTP(w, r)
			return
		}
		g.refused.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"type":"security_exception","reason":"api key is expired"},"status":401}`)
	}))
	return g, nil
}

// renew makes another key the good one.
func (g *gate) renew(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.key = key
}

// poisonRun is the state of one run of the case.
type poisonRun struct {
	*indexed
	gate    *gate
	keyFile string
	indexer *process
}

func runIndexerPoison(ctx context.Context, env *Env) (Figures, error) {
	x, err := startIndexed(ctx, env)
	if err != nil {
		return nil, err
	}
	p := &poisonRun{indexed: x, keyFile: x.path("api-key")}
	if p.gate, err = newGate(p.es.URL, "first"); err != nil {
		return nil, err
	}
	p.onClose(p.gate.Close)
	if err := os.WriteFile(p.keyFile, []byte("first\n"), 0o600); err != nil {
		return nil, err
	}
	// Small requests, so that the key expires between two of them.
	if err := p.configureIndexer(ctx, fmt.Sprintf("{addresses: [%q], api_key_file: %q}", p.gate.URL, p.keyFile), "{flush_records: 100, bulk_requests: 2}"); err != nil {
		return nil, err
	}
	if err := p.fill(ctx, poisonDocuments, spoil); err != nil {
		return nil, err
	}
	if p.indexer, err = p.service("indexer"); err != nil {
		return nil, err
	}
	if err := p.indexer.start(); err != nil {
		return nil, err
	}
	if err := p.expireKey(ctx); err != nil {
		return nil, err
	}
	if err := p.awaitCommitted(ctx, p.indexer, indexerGroup, poisonDocuments, 2*time.Minute); err != nil {
		return nil, err
	}
	return p.check(ctx)
}

// spoil gives each document a label key of its own, and every hundredth a count that is no number.
func spoil(i int, d *schemas.Document, _ []byte) []byte {
	d.Kubernetes.Labels = map[string]string{fmt.Sprintf("example.com/key-%d", i): "v"}
	value, err := d.Encode()
	if err != nil {
		panic(err) // a Document always encodes
	}
	if i%poisonEvery == poisonEvery/2 {
		return bytes.Replace(value, []byte(`"count":3`), []byte(`"count":"many"`), 1)
	}
	return value
}

// expireKey lets the key expire when a third of the way is done, and renews it once the indexer has been refused for a while.
func (p *poisonRun) expireKey(ctx context.Context) error {
	if err := p.awaitCommitted(ctx, p.indexer, indexerGroup, poisonDocuments/3, time.Minute); err != nil {
		return err
	}
	p.gate.renew("second")
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for p.gate.refused.Load() < 5 {
		if err := pause(wait, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the engine has refused the old key %d times only: %w", p.gate.refused.Load(), err)
		}
	}
	committed, err := p.committed(ctx, indexerGroup)
	if err != nil {
		return err
	}
	if committed == poisonDocuments {
		return errors.New("everything was committed before the key expired")
	}
	p.logf("the key has expired at %d records; renewing it in its file", committed)
	return os.WriteFile(p.keyFile, []byte("second\n"), 0o600)
}

func (p *poisonRun) check(ctx context.Context) (Figures, error) {
	indexed, err := p.stored(ctx)
	if err != nil {
		return nil, err
	}
	letters, unexplained, err := p.letters(ctx)
	if err != nil {
		return nil, err
	}
	fields, err := p.fields(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.mend(ctx); err != nil {
		return nil, err
	}
	found, _, err := p.ids(ctx)
	if err != nil {
		return nil, err
	}
	missing, extra, twice := compare(p.expected(), found)
	figures := Figures{
		{"documents", poisonDocuments},
		{"indexed", indexed},
		{"dead_letters", letters},
		{"refused_with_401", p.gate.refused.Load()},
		{"label_keys", poisonDocuments},
		{"fields", fields},
		{"lost_after_replay", len(missing)},
		{"duplicated", twice + len(extra)},
	}
	const bad = poisonDocuments / poisonEvery
	var errs []error
	broken := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	broken(indexed != poisonDocuments-bad, "%d documents were indexed before the fix, want %d", indexed, poisonDocuments-bad)
	broken(letters != bad, "%d dead letters, want %d", letters, bad)
	broken(unexplained > 0, "%d dead letters do not give the engine's reason", unexplained)
	broken(fields >= poisonFields, "the mapping has %d fields, want fewer than %d", fields, poisonFields)
	broken(len(missing) > 0, "%d documents are missing after the replay of the dead letters", len(missing))
	broken(twice+len(extra) > 0, "%d documents are there twice, %d should not be there", twice, len(extra))
	return figures, errors.Join(errs...)
}

// letters counts the dead letters by the record that each is about, and those without the engine's reason.
func (p *poisonRun) letters(ctx context.Context) (n, unexplained int, err error) {
	of := map[string]bool{}
	err = p.broker.read(ctx, func(r *kgo.Record) error {
		l, err := stream.ParseDeadLetter(r)
		if err != nil {
			return err
		}
		of[fmt.Sprintf("%s/%d/%d", l.Topic, l.Partition, l.Offset)] = true
		if l.Reason != "rejected_document" || !strings.Contains(l.Error, "kubernetes.event.count") {
			unexplained++
		}
		return nil
	}, p.topics.DeadLetter(cluster))
	return len(of), unexplained, err
}

// fields is the greatest number of fields in the mapping of an index.
func (p *poisonRun) fields(ctx context.Context) (int, error) {
	var indices map[string]struct {
		Mappings json.RawMessage `json:"mappings"`
	}
	if err := p.elastic.call(ctx, http.MethodGet, "/kubescribe-*/_mapping", "", &indices); err != nil {
		return 0, err
	}
	most := 0
	for _, i := range indices {
		most = max(most, bytes.Count(i.Mappings, []byte(`"type":`)))
	}
	return most, nil
}

// mend makes the mapping take what it refused, and brings the dead letters in.
func (p *poisonRun) mend(ctx context.Context) error {
	fix := `{"properties":{"kubernetes":{"properties":{"event":{"properties":{"count":{"type":"long","ignore_malformed":true}}}}}}}`
	if err := p.elastic.call(ctx, http.MethodPut, "/kubescribe-*/_mapping", fix, nil); err != nil {
		return err
	}
	if err := p.command(ctx, "deadletter", "replay", "--all"); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		n, err := p.stored(wait)
		if err != nil {
			return err
		}
		if n == poisonDocuments {
			p.logf("the dead letters are in")
			return p.indexer.stop()
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%d documents a minute after the replay of the dead letters, want %d\n%s", n, poisonDocuments, tail(p.indexer.logs))
		}
	}
}
