package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// elastic looks at Elasticsearch from outside, over plain HTTP.
type elastic struct{ url string }

func (e elastic) call(ctx context.Context, method, path, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, e.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

type hit struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	Source json.RawMessage `json:"_source"`
	Sort   []any           `json:"sort"`
}

const pageSize = 5000

// each gives fn every document that a search finds now, page by page.
func (e elastic) each(ctx context.Context, query, source string, fn func(hit)) error {
	after := ""
	for {
		body := fmt.Sprintf(`{"size":%d,"query":%s,"_source":%s,"sort":[{"@timestamp":"asc"},{"event.id":"asc"}],"track_total_hits":false%s}`, pageSize, query, source, after)
		var r struct {
			Hits struct {
				Hits []hit `json:"hits"`
			} `json:"hits"`
		}
		if err := e.call(ctx, http.MethodPost, "/kubescribe-*/_search?ignore_unavailable=true&allow_no_indices=true", body, &r); err != nil {
			return err
		}
		for _, h := range r.Hits.Hits {
			fn(h)
		}
		if len(r.Hits.Hits) < pageSize {
			return nil
		}
		last, err := json.Marshal(r.Hits.Hits[len(r.Hits.Hits)-1].Sort)
		if err != nil {
			return err
		}
		after = `,"search_after":` + string(last)
	}
}

// watcher notes when each document could first be found by a search, as a user would find it: it forces no refresh.
type watcher struct {
	es   elastic
	mu   sync.Mutex
	seen map[string]time.Time
	err  error
}

// run polls until ctx ends.
func (w *watcher) run(ctx context.Context, every time.Duration) {
	for pause(ctx, every) == nil {
		now := time.Now()
		err := w.es.each(ctx, `{"match_all":{}}`, "false", func(h hit) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if _, ok := w.seen[h.ID]; !ok {
				w.seen[h.ID] = now
			}
		})
		w.mu.Lock()
		if ctx.Err() == nil {
			w.err = err
		}
		w.mu.Unlock()
	}
}

// at is when id was first found, and whether it was.
func (w *watcher) at(id string) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.seen[id]
	return t, ok
}
