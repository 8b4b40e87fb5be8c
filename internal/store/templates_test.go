package store

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

var update = flag.Bool("update", false, "write deploy/elasticsearch anew")

// mappedTypes are the types of mapping.json by path, multi-fields left out.
func mappedTypes(t *testing.T) map[string]string {
	t.Helper()
	var root map[string]any
	require.NoError(t, json.Unmarshal(mappingJSON, &root))
	types := map[string]string{}
	var walk func(prefix string, node map[string]any)
	walk = func(prefix string, node map[string]any) {
		for name, v := range node["properties"].(map[string]any) {
			child := v.(map[string]any)
			if _, ok := child["properties"]; ok {
				walk(prefix+name+".", child)
				continue
			}
			types[prefix+name] = child["type"].(string)
		}
	}
	walk("", root)
	return types
}

// documentTypes are the types that schemas.Document's fields should have, by path.
func documentTypes(t *testing.T) map[string]string {
	t.Helper()
	types := map[string]string{}
	var walk func(prefix string, of reflect.Type)
	walk = func(prefix string, of reflect.Type) {
		for i := range of.NumField() {
			field := of.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			require.NotEmpty(t, name, "%s.%s has no name in JSON", of, field.Name)
			ft := field.Type
			for ft.Kind() == reflect.Pointer || ft.Kind() == reflect.Slice {
				ft = ft.Elem()
			}
			switch {
			case ft == reflect.TypeFor[time.Time]():
				types[prefix+name] = "date"
			case ft.Kind() == reflect.Struct:
				walk(prefix+name+".", ft)
			case ft.Kind() == reflect.Map:
				types[prefix+name] = "flattened"
			case ft.Kind() == reflect.String:
				types[prefix+name] = "keyword"
			case ft.Kind() == reflect.Int64:
				types[prefix+name] = "long"
			case ft.Kind() == reflect.Bool:
				types[prefix+name] = "boolean"
			default:
				t.Errorf("%s%s: no type of Elasticsearch is agreed for %s", prefix, name, ft)
			}
		}
	}
	walk("", reflect.TypeFor[schemas.Document]())
	return types
}

func TestTheMappingHasEachFieldOfADocumentAndNoOther(t *testing.T) {
	want := documentTypes(t)
	// Where people search for words, and where nanoseconds order the revisions of an object.
	for path, kind := range map[string]string{"@timestamp": "date_nanos", "message": "text", "error.message": "text", "error.stack_trace": "text"} {
		require.Contains(t, want, path)
		want[path] = kind
	}
	assert.Equal(t, want, mappedTypes(t))
	assert.Less(t, len(want), 300)
}

func TestTemplatesFollowTheConfiguration(t *testing.T) {
	cfg := DefaultElasticsearch()
	cfg.IndexPrefix, cfg.Period = "rec", schemas.PeriodMonth
	cfg.Retention = Retention{Default: 36 * time.Hour, Classes: map[string]time.Duration{"normal": 30 * day}}
	templates, err := Templates(cfg)
	require.NoError(t, err)
	var paths []string
	bodies := map[string]string{}
	for _, tpl := range templates {
		paths = append(paths, tpl.path())
		b, err := json.Marshal(tpl.Body)
		require.NoError(t, err)
		bodies[tpl.path()] = string(b)
	}
	assert.Equal(t, []string{
		"/_ilm/policy/rec-normal", "/_ilm/policy/rec-default", "/_component_template/rec-mappings", "/_index_template/rec-normal", "/_index_template/rec-layout-index", "/_index_template/rec",
	}, paths)
	assert.Contains(t, bodies["/_ilm/policy/rec-normal"], `"delete":{"actions":{"delete":{"delete_searchable_snapshot":true}},"min_age":"61d"}`)
	assert.Contains(t, bodies["/_ilm/policy/rec-default"], `"min_age":"780h"`)
	assert.Contains(t, bodies["/_index_template/rec-normal"], `"index_patterns":["rec-normal-*"]`)
	for path, body := range bodies {
		for _, never := range []string{"readonly", "forcemerge", "shrink", "rollover", "wildcard", "match_only_text", "constant_keyword"} {
			assert.NotContains(t, body, `"`+never+`"`, "%s: makes an index read-only, rolls over or needs a module", path)
		}
	}
}

// The day on which the indexer calls a document expired is the day on which the policy deletes its index, not an hour before.
func TestDeletionAgreesWithThePolicy(t *testing.T) {
	for _, period := range []schemas.Period{schemas.PeriodDay, schemas.PeriodWeek, schemas.PeriodMonth} {
		cfg := DefaultElasticsearch()
		cfg.Period = period
		templates, err := Templates(cfg)
		require.NoError(t, err)
		for class, retention := range cfg.Retention.Classes {
			at := time.Date(2026, 6, 18, 13, 0, 0, 0, time.UTC)
			end := schedule{{Period: period}}.deletedAt(cfg.Retention, class, at)
			assert.GreaterOrEqual(t, end.Sub(at), retention, "nothing is deleted before its retention")
			for _, tpl := range templates {
				if tpl.path() == "/_ilm/policy/kubescribe-"+class {
					phases := tpl.Body["policy"].(object)["phases"].(object)
					assert.Equal(t, age(end.Sub(period.Start(at))), phases["delete"].(object)["min_age"])
				}
			}
		}
	}
}

func TestAHashChangesWithTheContent(t *testing.T) {
	hashes := func(cfg ElasticsearchConfig) map[string]string {
		templates, err := Templates(cfg)
		require.NoError(t, err)
		all := map[string]string{}
		for _, tpl := range templates {
			require.Len(t, tpl.hash, 16)
			all[tpl.path()] = tpl.hash
		}
		return all
	}
	cfg := DefaultElasticsearch()
	before := hashes(cfg)
	assert.Equal(t, before, hashes(cfg))
	cfg.Retention = DefaultRetention()
	cfg.Retention.Classes["normal"] += time.Hour
	after := hashes(cfg)
	changed := 0
	for path := range before {
		if before[path] != after[path] {
			changed++
			assert.Equal(t, "/_ilm/policy/kubescribe-normal", path)
		}
	}
	assert.Equal(t, 1, changed)
}

// deploy/elasticsearch shows people who own their templates what ours are.
func TestTheTemplatesThatAreShownAreThoseThatAreWritten(t *testing.T) {
	dir := filepath.Join("..", "..", "deploy", "elasticsearch")
	templates, err := Templates(DefaultElasticsearch())
	require.NoError(t, err)
	want := map[string]string{}
	for _, tpl := range templates {
		b, err := json.MarshalIndent(tpl.Body, "", "  ")
		require.NoError(t, err)
		want[strings.ReplaceAll(strings.Trim(tpl.path(), "/_"), "/", "-")+".json"] = string(b) + "\n"
	}
	if *update {
		for name, b := range want {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(b), 0o644))
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	assert.Len(t, files, len(want))
	for name, b := range want {
		have, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, b, string(have), "%s is old: run go test ./internal/store -update", name)
	}
}

// deploy/kibana shows every class through the alias that every index has.
func TestTheDataViewIsOverTheAlias(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kibana", "data-view.ndjson"))
	require.NoError(t, err)
	var view struct {
		Type       string `json:"type"`
		Attributes struct {
			Title         string `json:"title"`
			TimeFieldName string `json:"timeFieldName"`
		} `json:"attributes"`
	}
	require.NoError(t, json.Unmarshal(b, &view))
	assert.Equal(t, "index-pattern", view.Type)
	assert.Equal(t, "date_nanos", mappedTypes(t)[view.Attributes.TimeFieldName])
	templates, err := Templates(DefaultElasticsearch())
	require.NoError(t, err)
	for _, tpl := range templates {
		if tpl.Kind == kindIndex && !strings.Contains(tpl.Name, "layout") {
			assert.Contains(t, tpl.Body["template"].(object)["aliases"], view.Attributes.Title, tpl.Name)
		}
	}
}
