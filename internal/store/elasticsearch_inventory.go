package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

var _ Inventory = (*Elasticsearch)(nil)

const (
	hourPage = 5000 // buckets of one answer
	idPage   = 5000 // ids of one answer
)

// Hours asks for the counts of every index and hour.
func (e *Elasticsearch) Hours(ctx context.Context, cluster string, from time.Time) ([]Hour, error) {
	if err := e.refresh(ctx); err != nil {
		return nil, err
	}
	type key struct {
		Index string `json:"index"`
		Hour  int64  `json:"hour"`
	}
	var hours []Hour
	at := map[Hour]int{} // by class and hour: a class has an index for each period
	composite := object{"size": hourPage, "sources": []object{
		{"index": object{"terms": object{"field": "_index"}}},
		{"hour": object{"date_histogram": object{"field": "@timestamp", "fixed_interval": "1h"}}},
	}}
	for {
		var found struct {
			Aggregations struct {
				Hours struct {
					After   *key `json:"after_key"`
					Buckets []struct {
						Key   key   `json:"key"`
						Count int64 `json:"doc_count"`
					} `json:"buckets"`
				} `json:"hours"`
			} `json:"aggregations"`
		}
		body := object{"size": 0, "track_total_hits": false, "query": e.ours(cluster, from, time.Time{}), "aggs": object{"hours": object{"composite": composite}}}
		if err := e.lookUp(ctx, "counting documents by hour", e.pattern(), body, &found); err != nil {
			return nil, err
		}
		for _, b := range found.Aggregations.Hours.Buckets {
			h := Hour{Class: e.classOf(b.Key.Index), Start: time.UnixMilli(b.Key.Hour).UTC()}
			i, seen := at[h]
			if !seen {
				i = len(hours)
				at[h], hours = i, append(hours, h)
			}
			hours[i].Count += b.Count
		}
		if found.Aggregations.Hours.After == nil || len(found.Aggregations.Hours.Buckets) < hourPage {
			return hours, nil
		}
		composite["after"] = found.Aggregations.Hours.After
	}
}

// IDs pages through the documents in the order of their ids.
func (e *Elasticsearch) IDs(ctx context.Context, cluster, class string, hour time.Time, fn func(ids []string) error) error {
	body := object{
		"size": idPage, "track_total_hits": false, "_source": false, "query": e.ours(cluster, hour, hour.Add(time.Hour)),
		"sort": []object{{"event.id": object{"order": "asc", "unmapped_type": "keyword"}}},
	}
	for {
		var found struct {
			Hits struct {
				Hits []elasticHit `json:"hits"`
			} `json:"hits"`
		}
		if err := e.lookUp(ctx, "listing ids", e.cfg.IndexPrefix+"-"+class+"-*", body, &found); err != nil {
			return err
		}
		hits := found.Hits.Hits
		if len(hits) == 0 {
			return nil
		}
		ids := make([]string, len(hits))
		for i, h := range hits {
			ids[i] = h.ID
		}
		if err := fn(ids); err != nil || len(hits) < idPage {
			return err
		}
		body["search_after"] = hits[len(hits)-1].Sort
	}
}

// Have reads the items' ids in real time.
func (e *Elasticsearch) Have(ctx context.Context, items []Item) ([]bool, error) {
	have := make([]bool, len(items))
	if len(items) == 0 {
		return have, nil
	}
	if err := e.follow(ctx); err != nil {
		return nil, err
	}
	docs := make([]object, len(items))
	for i, it := range items {
		docs[i] = object{"_index": e.index(it), "_id": it.ID}
	}
	var found struct {
		Docs []struct {
			Found bool         `json:"found"`
			Error *engineError `json:"error"`
		} `json:"docs"`
	}
	body, err := json.Marshal(object{"docs": docs})
	if err != nil {
		return nil, fmt.Errorf("reading by id: %w", err)
	}
	if err := e.ask(ctx, "reading by id", esapi.MgetRequest{
		Body: bytes.NewReader(body), Source: []string{"false"},
		FilterPath: []string{"docs._id", "docs.found", "docs.error.type", "docs.error.reason"},
	}, &found); err != nil {
		return nil, err
	}
	if len(found.Docs) != len(items) {
		return nil, fmt.Errorf("reading by id: %d answers for %d documents", len(found.Docs), len(items))
	}
	for i, d := range found.Docs {
		switch {
		case d.Error == nil:
			have[i] = d.Found
		case d.Error.Type == "index_not_found_exception":
		default:
			return nil, fmt.Errorf("reading %q by id: %s", items[i].ID, d.Error.text())
		}
	}
	return have, nil
}

// refresh makes what is stored visible to searches. A user who may not refresh sees what the engine's own refresh has shown.
func (e *Elasticsearch) refresh(ctx context.Context) error {
	yes := true
	a, err := e.do(ctx, esapi.IndicesRefreshRequest{
		Index: []string{e.pattern()}, ExpandWildcards: openIndices, IgnoreUnavailable: &yes, AllowNoIndices: &yes,
	})
	if err != nil {
		return fmt.Errorf("refreshing: %w", err)
	}
	if a.status == http.StatusForbidden {
		return nil
	}
	if err := a.check("refreshing"); err != nil {
		return err
	}
	var done struct {
		Shards struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
	}
	if err := json.Unmarshal(a.body, &done); err != nil || done.Shards.Failed > 0 {
		return fmt.Errorf("refreshing: %d shards did not answer", done.Shards.Failed)
	}
	return nil
}

// lookUp searches the indices that pattern names, and takes no part of an answer for the whole.
func (e *Elasticsearch) lookUp(ctx context.Context, doing, pattern string, body object, to any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	no, yes := false, true
	return e.ask(ctx, doing, esapi.SearchRequest{
		Index: []string{pattern}, Body: bytes.NewReader(b), AllowPartialSearchResults: &no,
		ExpandWildcards: openIndices, IgnoreUnavailable: &yes, AllowNoIndices: &yes,
	}, to)
}

// ours matches a cluster's documents of a stretch of time; a zero to is none.
func (e *Elasticsearch) ours(cluster string, from, to time.Time) object {
	return Query{From: from, To: to, Filters: []Filter{{Field: "cluster", Values: []string{cluster}}}}.elastic()
}

// classOf is the class whose documents are in the index of that name.
func (e *Elasticsearch) classOf(index string) string {
	class, _, _ := strings.Cut(strings.TrimPrefix(index, e.cfg.IndexPrefix+"-"), "-")
	return class
}
