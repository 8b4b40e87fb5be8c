package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// Closed indices are passed over, no index is no hit, and an answer that lacks a shard is an error, not a shorter page.
const openIndices = "open"

const nanosFormat = "2006-01-02T15:04:05.000000000Z"

type object map[string]any

// Search asks for one hit more than the page has, to know whether another page follows.
func (e *Elasticsearch) Search(ctx context.Context, q Query) (Page, error) {
	if err := q.Validate(); err != nil {
		return Page{}, err
	}
	body := object{
		"size": q.limit() + 1, "track_total_hits": false, "query": q.elastic(),
		"sort": []object{
			{"@timestamp": object{"order": "desc", "format": "strict_date_optional_time_nanos", "numeric_type": "date_nanos", "unmapped_type": "date_nanos"}},
			{"event.id": object{"order": "desc", "unmapped_type": "keyword"}},
		},
	}
	if c, err := parseCursor(q.After); err != nil {
		return Page{}, err
	} else if c != nil {
		body["search_after"] = []any{time.Unix(0, c.nanos).UTC().Format(nanosFormat), c.id}
	}
	var found struct {
		Hits struct {
			Hits []elasticHit `json:"hits"`
		} `json:"hits"`
	}
	b, err := json.Marshal(body)
	if err != nil {
		return Page{}, fmt.Errorf("searching: %w", err)
	}
	no, yes := false, true
	if err := e.ask(ctx, "searching", esapi.SearchRequest{
		Index: []string{e.pattern()}, Body: bytes.NewReader(b), AllowPartialSearchResults: &no, FilterPath: []string{"hits.hits", "error", "status"},
		ExpandWildcards: openIndices, IgnoreUnavailable: &yes, AllowNoIndices: &yes,
	}, &found); err != nil {
		return Page{}, err
	}
	var page Page
	var last cursor
	for i, h := range found.Hits.Hits {
		if i == q.limit() {
			page.Next = last.String()
			break
		}
		hit, key, err := h.hit(e.cfg.IndexPrefix)
		if err != nil {
			return Page{}, fmt.Errorf("searching: %w", err)
		}
		page.Hits, last = append(page.Hits, hit), key
	}
	return page, nil
}

// Count asks for the number of documents only.
func (e *Elasticsearch) Count(ctx context.Context, q Query) (int64, error) {
	if err := q.Validate(); err != nil {
		return 0, err
	}
	var found struct {
		Count  *int64 `json:"count"`
		Shards struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
	}
	b, err := json.Marshal(object{"query": q.elastic()})
	if err != nil {
		return 0, fmt.Errorf("counting: %w", err)
	}
	yes := true
	if err := e.ask(ctx, "counting", esapi.CountRequest{
		Index: []string{e.pattern()}, Body: bytes.NewReader(b), ExpandWildcards: openIndices, IgnoreUnavailable: &yes, AllowNoIndices: &yes,
	}, &found); err != nil {
		return 0, err
	}
	if found.Count == nil || found.Shards.Failed > 0 {
		return 0, fmt.Errorf("counting: %d shards did not answer", found.Shards.Failed)
	}
	return *found.Count, nil
}

// ask sends a request and decodes the answer into to.
func (e *Elasticsearch) ask(ctx context.Context, doing string, r esapi.Request, to any) error {
	a, err := e.do(ctx, r)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := a.check(doing); err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, to); err != nil {
		return fmt.Errorf("%s: reading Elasticsearch's answer: %w", doing, err)
	}
	return nil
}

// elastic is q in Elasticsearch's query language. Nothing is scored. A document that somebody else has put beside ours, without
// the fields to sort by, is no hit: it would come again on every page.
func (q Query) elastic() object {
	filters := []object{{"exists": object{"field": "@timestamp"}}, {"exists": object{"field": "event.id"}}}
	times := object{}
	from, to := q.bounds()
	if from != nil {
		times["gte"] = from.UTC().Format(nanosFormat)
	}
	if to != nil {
		times["lt"] = to.UTC().Format(nanosFormat)
	}
	if len(times) > 0 {
		filters = append(filters, object{"range": object{"@timestamp": times}})
	}
	for _, f := range q.Filters {
		field, _ := fieldByName(f.Field)
		values := make([]string, len(f.Values))
		for i, v := range f.Values {
			values[i] = field.value(v)
		}
		filters = append(filters, object{"terms": object{field.Path: values}})
	}
	if q.Text != "" {
		filters = append(filters, object{"match": object{"message": object{"query": q.Text, "operator": "and"}}})
	}
	if !q.Where.IsZero() {
		filters = append(filters, q.Where.root.elastic())
	}
	return object{"bool": object{"filter": filters}}
}

type elasticHit struct {
	Index  string            `json:"_index"`
	ID     string            `json:"_id"`
	Source json.RawMessage   `json:"_source"`
	Sort   []json.RawMessage `json:"sort"`
}

// hit is h and its sort key.
func (h elasticHit) hit(prefix string) (Hit, cursor, error) {
	hit := Hit{ID: h.ID, Body: h.Source}
	hit.Class, _, _ = strings.Cut(strings.TrimPrefix(h.Index, prefix+"-"), "-")
	var when, id string
	if len(h.Sort) != 2 || json.Unmarshal(h.Sort[0], &when) != nil || json.Unmarshal(h.Sort[1], &id) != nil {
		return Hit{}, cursor{}, fmt.Errorf("document %q in %s has no sort key", h.ID, h.Index)
	}
	t, err := time.Parse(time.RFC3339Nano, when)
	if err != nil {
		return Hit{}, cursor{}, fmt.Errorf("document %q in %s: %w", h.ID, h.Index, err)
	}
	hit.Time = t.UTC()
	return hit, cursor{t.UnixNano(), id}, nil
}
