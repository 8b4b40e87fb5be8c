package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Closed indices are passed over, no index is no hit, and an answer that lacks a shard is an error, not a shorter page.
const searchOptions = "expand_wildcards=open&ignore_unavailable=true&allow_no_indices=true"

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
	path := "/" + e.pattern() + "/_search?allow_partial_search_results=false&filter_path=hits.hits,error,status&" + searchOptions
	if err := e.ask(ctx, "searching", path, body, &found); err != nil {
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
	if err := e.ask(ctx, "counting", "/"+e.pattern()+"/_count?"+searchOptions, object{"query": q.elastic()}, &found); err != nil {
		return 0, err
	}
	if found.Count == nil || found.Shards.Failed > 0 {
		return 0, fmt.Errorf("counting: %d shards did not answer", found.Shards.Failed)
	}
	return *found.Count, nil
}

// ask posts a JSON body and decodes the answer into to.
func (e *Elasticsearch) ask(ctx context.Context, doing, path string, body, to any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	a, err := e.do(ctx, http.MethodPost, path, "application/json", b)
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
