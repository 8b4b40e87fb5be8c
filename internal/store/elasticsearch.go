package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"kubescribe/internal/stream"
)

// maxAnswer bounds what is read of one answer: a page of large documents, with room to spare.
const maxAnswer = 256 << 20

// Elasticsearch is the store in an Elasticsearch of version 8. It is safe for concurrent use.
//
// It asks with go-elasticsearch's requests (esapi) over its transport. The client in that module's root is left out: it brings the
// typed API with it, 860 packages that nothing here uses and every build would compile.
type Elasticsearch struct {
	cfg    ElasticsearchConfig
	log    *slog.Logger
	client *elastictransport.Client
	http   *http.Transport
	bulks  sync.Pool // of *requestBuffer
	// compress says that bulk requests go out in gzip.
	compress bool
	now      func() time.Time

	layout  atomic.Pointer[layout]
	reading sync.Mutex
}

var _ Store = (*Elasticsearch)(nil)

// OpenElasticsearch validates cfg and prepares the client. It opens no connection: Setup is the first to ask the engine.
func OpenElasticsearch(cfg ElasticsearchConfig, d stream.Deps) (*Elasticsearch, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	transport, err := cfg.transport()
	if err != nil {
		return nil, err
	}
	urls := make([]*url.URL, len(cfg.Addresses))
	for i, a := range cfg.Addresses {
		if urls[i], err = url.Parse(strings.TrimRight(a, "/")); err != nil {
			return nil, fmt.Errorf("reading elasticsearch.addresses: %w", err)
		}
	}
	// A request that one node did not take goes to the others at once; waiting and trying again is the caller's. Every request
	// here may be repeated.
	retry := elastictransport.WithMaxRetries(len(urls) - 1)
	if len(urls) == 1 {
		retry = elastictransport.WithDisableRetry()
	}
	client, err := elastictransport.NewClient(elastictransport.WithUserAgent("kubescribe"), elastictransport.WithURLs(urls...),
		elastictransport.WithTransport(transport), retry)
	if err != nil {
		return nil, fmt.Errorf("preparing the Elasticsearch client: %w", err)
	}
	log := d.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	now := d.Now
	if now == nil {
		now = time.Now
	}
	return &Elasticsearch{
		now: now,
		cfg: cfg, log: log, client: client, http: transport, compress: cfg.compresses(),
		bulks: sync.Pool{New: func() any { return new(requestBuffer) }},
	}, nil
}

// Close closes idle connections.
func (e *Elasticsearch) Close() error {
	e.http.CloseIdleConnections()
	return nil
}

// DeletedAt is the origination date of the document's index, plus the longest period, plus the retention: the age at which
// the lifecycle policy deletes it.
func (e *Elasticsearch) DeletedAt(class string, t time.Time) time.Time {
	return e.known().schedule.deletedAt(e.cfg.Retention, class, t)
}

func (e *Elasticsearch) index(it Item) string {
	return e.known().schedule.index(e.cfg.IndexPrefix, it.Class, it.Time)
}

// pattern names every index of this store.
func (e *Elasticsearch) pattern() string { return e.cfg.IndexPrefix + "-*" }

// answer is what the engine has said.
type answer struct {
	status int
	body   []byte
}

// Perform sends one HTTP request with the credentials of now. It implements esapi.Transport.
func (e *Elasticsearch) Perform(req *http.Request) (*http.Response, error) {
	auth, err := e.cfg.authorization()
	if err != nil {
		return nil, &refusedError{err}
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	res, err := e.client.Perform(req)
	if err != nil {
		return nil, connectionError(err)
	}
	if res.StatusCode/100 == 2 && res.Header.Get(productHeader) != "Elasticsearch" {
		res.Body.Close()
		return nil, &refusedError{errNotElasticsearch}
	}
	return res, nil
}

// productHeader is in every good answer of an Elasticsearch since 7.14.
const productHeader = "X-Elastic-Product"

// do sends one request and reads the whole answer. Its error is transient, unless IsRefused: a credential that can't be
// read, a certificate that isn't trusted, or something that isn't Elasticsearch.
func (e *Elasticsearch) do(ctx context.Context, r esapi.Request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.RequestTimeout)
	defer cancel()
	res, err := r.Do(ctx, e)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("reading Elasticsearch's answer: %w", err)
	}
	if len(b) > maxAnswer {
		return answer{}, fmt.Errorf("reading Elasticsearch's answer: it has more than %d bytes", maxAnswer)
	}
	return answer{res.StatusCode, b}, nil
}

// engineError is Elasticsearch's own description of a failure.
type engineError struct {
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	CausedBy *struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	} `json:"caused_by"`
}

// UnmarshalJSON also takes the bare string that some answers have in place of an object.
func (e *engineError) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &e.Reason)
	}
	type plain engineError
	return json.Unmarshal(b, (*plain)(e))
}

// text is the failure in one line of bounded length.
func (e *engineError) text() string {
	s := e.Type
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.CausedBy != nil && e.CausedBy.Reason != "" {
		s += ": " + e.CausedBy.Reason
	}
	return shorten(strings.TrimPrefix(s, ": "))
}

func shorten(s string) string {
	const most = 1000
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// failure reads the error of an answer that isn't 2xx.
func (a answer) failure() engineError {
	var body struct {
		Error engineError `json:"error"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.Error == (engineError{}) {
		return engineError{Reason: shorten(string(a.body))}
	}
	return body.Error
}

// check turns an answer that isn't 2xx into an error: refused or transient.
func (a answer) check(doing string) error {
	if a.status/100 == 2 {
		return nil
	}
	f := a.failure()
	err := fmt.Errorf("%s: Elasticsearch answered %d %s", doing, a.status, f.text())
	if classifyRequest(a.status, f.Type) == requestRefused {
		return &refusedError{err}
	}
	return err
}

var errNotElasticsearch = errors.New("the answer is not Elasticsearch's: check elasticsearch.addresses (OpenSearch is not supported: it has no ILM)")
