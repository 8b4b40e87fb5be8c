package store

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"
)

// mappingJSON maps every field of schemas.Document; a test holds the two together. Fields that it doesn't know are kept
// and shown, but not indexed.
//
//go:embed mapping.json
var mappingJSON []byte

const managedBy = "kubescribe"

// Template is one thing that Setup creates in Elasticsearch.
type Template struct {
	// Kind is how people call it, Name is its name among its kind, Body is what is put there.
	Kind, Name string
	Body       map[string]any
	// hash identifies what this version of kubescribe would write; it is in the body's _meta.
	hash string
}

// Templates are what Setup creates for cfg, in the order in which they depend on each other. They are plain data, so that
// people who own their templates can see ours.
func Templates(cfg ElasticsearchConfig) ([]Template, error) {
	return templates(cfg, cfg.Period.Longest())
}

// templates has policies that wait for longest, the greatest length of a period, before the retention begins.
func templates(cfg ElasticsearchConfig, longest time.Duration) ([]Template, error) {
	var mapping map[string]any
	if err := json.Unmarshal(mappingJSON, &mapping); err != nil {
		return nil, fmt.Errorf("decoding mapping.json: %w", err)
	}
	var all []Template
	name := cfg.IndexPrefix
	for _, class := range cfg.Retention.names() {
		all = append(all, policy(name+"-"+class, longest, cfg.Retention.Of(class)))
	}
	all = append(all, policy(name+"-default", longest, cfg.Retention.Default))
	all = append(all, seal(Template{Kind: kindComponent, Name: name + "-mappings", Body: object{
		"template": object{
			"settings": object{"index": object{"mapping": object{"total_fields": object{"limit": 500}}}},
			"mappings": mapping,
		},
	}}))
	for _, class := range cfg.Retention.names() {
		// A class has no '-' in its name, so that none of these patterns takes another class's indices.
		all = append(all, indexTemplate(cfg, name+"-"+class, name+"-"+class+"-*", name+"-"+class, 310))
	}
	// Without a policy and a date in its name. Its template has a name that no class's can have.
	all = append(all, seal(Template{Kind: kindIndex, Name: name + "-layout-index", Body: object{
		"index_patterns": []string{name + "-layout"},
		"priority":       320,
		"template": object{
			"settings": object{"index": object{"number_of_shards": 1, "auto_expand_replicas": "0-1", "hidden": true}},
			"mappings": object{"dynamic": false},
		},
	}}))
	return append(all, indexTemplate(cfg, name, name+"-*", name+"-default", 300)), nil
}

func indexTemplate(cfg ElasticsearchConfig, name, pattern, policy string, priority int) Template {
	return seal(Template{Kind: kindIndex, Name: name, Body: object{
		"index_patterns": []string{pattern},
		"composed_of":    []string{cfg.IndexPrefix + "-mappings"},
		"priority":       priority,
		"template": object{
			"settings": object{"index": object{
				"number_of_shards":     cfg.Shards,
				"auto_expand_replicas": "0-1",
				"codec":                "best_compression",
				"sort":                 object{"field": []string{"@timestamp"}, "order": []string{"desc"}},
				"lifecycle":            object{"name": policy, "parse_origination_date": true},
			}},
			"aliases": object{cfg.IndexPrefix: object{}},
		},
	}})
}

// policy moves an index by the date in its name: warm when its period is over and late documents have become rare, cold at
// half of the retention, deleted at its end. No phase makes an index read-only, so that a replay of any age is taken.
func policy(name string, over, retention time.Duration) Template {
	return seal(Template{Kind: kindPolicy, Name: name, Body: object{"policy": object{
		"phases": object{
			"hot":    object{"min_age": "0ms", "actions": object{"set_priority": object{"priority": 100}}},
			"warm":   object{"min_age": age(over + retention/10), "actions": object{"set_priority": object{"priority": 50}}},
			"cold":   object{"min_age": age(over + retention/2), "actions": object{"set_priority": object{"priority": 0}}},
			"delete": object{"min_age": age(over + retention), "actions": object{"delete": object{"delete_searchable_snapshot": true}}},
		},
	}}})
}

// age writes d as Elasticsearch reads it, in whole hours, or in whole days.
func age(d time.Duration) string {
	hours := int64(d / time.Hour)
	if hours%24 == 0 {
		return fmt.Sprintf("%dd", hours/24)
	}
	return fmt.Sprintf("%dh", hours)
}

// seal computes the hash of t and writes it into its _meta. A component template's goes into its mappings too, where every index
// shows it.
func seal(t Template) Template {
	content, err := canonical(t.Body)
	if err == nil {
		t.hash, err = contentHash(content)
	}
	if err != nil {
		panic(fmt.Sprintf("encoding %s: %v", t.Name, err)) // of maps, strings and numbers only
	}
	inner := t.Body
	if p, ok := t.Body["policy"].(object); ok {
		inner = p
	}
	inner["_meta"] = object{"managed_by": managedBy, "hash": t.hash}
	if tpl, ok := t.Body["template"].(object); ok {
		if m, ok := tpl["mappings"].(map[string]any); ok && t.Kind == kindComponent {
			m["_meta"] = object{"managed_by": managedBy, "hash": t.hash}
		}
	}
	return t
}
