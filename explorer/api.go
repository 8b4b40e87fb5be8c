package explorer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"kubescribe/internal/store"
)

// api answers the questions. It is safe for concurrent use.
type api struct {
	store   store.Store
	now     func() time.Time
	timeout time.Duration
	log     *slog.Logger
}

type searchAnswer struct {
	Hits []hit `json:"hits"`
	// Next is the after of the following page; it is missing on the last one.
	Next string `json:"next,omitempty"`
}

type hit struct {
	ID       string          `json:"id"`
	Class    string          `json:"class"`
	Time     time.Time       `json:"time"`
	Document json.RawMessage `json:"document"`
}

type countAnswer struct {
	Count int64 `json:"count"`
}

type errorAnswer struct {
	Error failure `json:"error"`
}

type failure struct {
	Message string `json:"message"`
	// Fields says what is wrong by parameter.
	Fields map[string]string `json:"fields,omitempty"`
}

func (a *api) search(ctx context.Context, q store.Query) (any, error) {
	page, err := a.store.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	answer := searchAnswer{Hits: make([]hit, len(page.Hits)), Next: page.Next}
	for i, h := range page.Hits {
		answer.Hits[i] = hit{h.ID, h.Class, h.Time, h.Body}
	}
	return answer, nil
}

func (a *api) count(ctx context.Context, q store.Query) (any, error) {
	if q.After != "" || q.Limit != 0 {
		return nil, &store.QueryError{Field: "limit", Reason: "and after belong to a search, not to a count"}
	}
	n, err := a.store.Count(ctx, q)
	return countAnswer{n}, err
}

// question makes a handler of what asks the store.
func (a *api) question(ask func(context.Context, store.Query) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), a.timeout)
		defer cancel()
		q, err := parseQuery(r.URL.Query(), a.now())
		var answer any
		if err == nil {
			answer, err = ask(ctx, q)
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		reply(w, http.StatusOK, answer)
	}
}

func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if fields, ok := problems(err); ok {
		reply(w, http.StatusBadRequest, errorAnswer{failure{"the query is not valid", fields}})
		return
	}
	if r.Context().Err() != nil {
		return // the client is gone
	}
	status, message := http.StatusServiceUnavailable, "the store does not answer: try again later"
	switch {
	case store.IsRefused(err):
		status, message = http.StatusBadGateway, "the store refuses the request: see the explorer's log"
	case errors.Is(err, context.DeadlineExceeded):
		status, message = http.StatusGatewayTimeout, "the store took too long: ask for a shorter time range"
	}
	a.log.WarnContext(r.Context(), "asking the store failed", "path", r.URL.Path, "err", err)
	reply(w, status, errorAnswer{failure{Message: message}})
}

func reply(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		// A document in the store is not JSON: only somebody else can have written it.
		status, b = http.StatusInternalServerError, []byte(`{"error":{"message":"a stored document is not JSON"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n')) //nolint:errcheck // the client is gone
}
