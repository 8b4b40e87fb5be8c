package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/elastic/go-elasticsearch/v8"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// maxAnswer bounds what is read of one answer: a page of large documents, with room to spare.
const maxAnswer = 256 << 20

// Elasticsearch is the store in an Elasticsearch of version 8. It is safe for concurrent use.
type Elasticsearch struct {
	cfg    ElasticsearchConfig
	log    *slog.Logger
	client *elasticsearch.BaseClient
	http   *http.Transport
	bulks  sync.Pool // of *bytes.Buffer
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
	client, err := elasticsearch.NewBaseClient(elasticsearch.Config{
		Addresses: cfg.Addresses,
		Transport: transport,
		// A request that one node did not take goes to the others at once; waiting and trying again is the caller's. Every
		// request here may be repeated.
		DisableRetry: len(cfg.Addresses) == 1,
		MaxRetries:   len(cfg.Addresses) - 1,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the Elasticsearch client: %w", err)
	}
	log := d.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Elasticsearch{
		cfg: cfg, log: log, client: client, http: transport,
		bulks: sync.Pool{New: func() any { return new(bytes.Buffer) }},
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
	return deletedAt(e.cfg.Period, e.cfg.Retention, class, t)
}

func (e *Elasticsearch) index(it Item) string {
	return schemas.Index(e.cfg.IndexPrefix, it.Class, e.cfg.Period, it.Time)
}

// pattern names every index of this store.
func (e *Elasticsearch) pattern() string { return e.cfg.IndexPrefix + "-*" }

// answer is what the engine has said.
type answer struct {
	status int
	body   []byte
}

// do sends one request and reads the whole answer. Its error is transient, unless IsRefused: a credential that can't be
// read, or a certificate that isn't trusted.
func (e *Elasticsearch) do(ctx context.Context, method, path, contentType string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.RequestTimeout)
	defer cancel()
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, path, reader)
	if err != nil {
		return answer{}, fmt.Errorf("building the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	auth, err := e.cfg.authorization()
	if err != nil {
		return answer{}, &refusedError{err}
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	res, err := e.client.Perform(req)
	if err != nil {
		return answer{}, connectionError(err)
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

var errNotElasticsearch = errors.New("the answer is not Elasticsearch's: check elasticsearch.addresses")
