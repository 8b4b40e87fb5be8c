package store_test

import (
	"sort"
	"strings"
	"time"

	"kubescribe/internal/store"
	"kubescribe/schemas"
)

// queryCase is a query, and in plain Go what it should find beside its time range.
type queryCase struct {
	name  string
	q     store.Query
	holds func(d *schemas.Document) bool
	none  bool // nothing is to be found
}

func queries() []queryCase {
	is := func(pairs ...string) []store.Filter {
		var fs []store.Filter
		for i := 0; i < len(pairs); i += 2 {
			fs = append(fs, store.Filter{Field: pairs[i], Values: strings.Split(pairs[i+1], "|")})
		}
		return fs
	}
	all := func(*schemas.Document) bool { return true }
	message := func(of ...int) func(d *schemas.Document) bool {
		return func(d *schemas.Document) bool {
			for _, m := range of {
				if d.Message == messages[m] {
					return true
				}
			}
			return false
		}
	}
	nobody := func(*schemas.Document) bool { return false }
	return []queryCase{
		{name: "everything", holds: all},
		{name: "from is inclusive", q: store.Query{From: origin.Add(9*time.Hour + 1)}, holds: all},
		{name: "to is exclusive", q: store.Query{To: origin.Add(9*time.Hour + 1)}, holds: all},
		{name: "one nanosecond", q: store.Query{From: origin.Add(1), To: origin.Add(2)}, holds: all},
		{name: "one instant in another zone", q: store.Query{From: origin.In(time.FixedZone("x", 7200)), To: origin.Add(1)}, holds: all},
		{name: "before everything", q: store.Query{To: origin}, holds: all, none: true},
		{name: "bounds beyond what a store can hold", q: store.Query{From: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, holds: all},
		{name: "from beyond", q: store.Query{From: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, holds: all, none: true},
		{name: "to before 1970", q: store.Query{To: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)}, holds: all, none: true},
		{name: "id", q: store.Query{Filters: is("id", "cluster-uid/1/event-uid-17/1017")}, holds: func(d *schemas.Document) bool { return d.Event.ID == "cluster-uid/1/event-uid-17/1017" }},
		{name: "class", q: store.Query{Filters: is("class", "audit_x")}, holds: func(d *schemas.Document) bool { return d.Kubescribe.Class == "audit_x" }},
		{name: "cluster", q: store.Query{Filters: is("cluster", "c1")}, holds: func(d *schemas.Document) bool { return d.Orchestrator.Cluster.Name == "c1" }},
		{name: "namespace", q: store.Query{Filters: is("namespace", "ns-1")}, holds: func(d *schemas.Document) bool { return d.Kubernetes.Namespace == "ns-1" }},
		{name: "one of several values", q: store.Query{Filters: is("namespace", "ns-1|ns-2|nowhere")}, holds: func(d *schemas.Document) bool {
			return d.Kubernetes.Namespace == "ns-1" || d.Kubernetes.Namespace == "ns-2"
		}},
		{name: "kind as people write it", q: store.Query{Filters: is("kind", "Node")}, holds: func(d *schemas.Document) bool { return d.Orchestrator.Resource.Type == "node" }},
		{name: "name", q: store.Query{Filters: is("name", "web-33")}, holds: func(d *schemas.Document) bool { return d.Orchestrator.Resource.Name == "web-33" }},
		{name: "names have case", q: store.Query{Filters: is("name", "Web-33")}, holds: nobody, none: true},
		{name: "part of a name is no name", q: store.Query{Filters: is("name", "web")}, holds: nobody, none: true},
		{name: "uid", q: store.Query{Filters: is("uid", "uid-40")}, holds: func(d *schemas.Document) bool { return d.Orchestrator.Resource.ID == "uid-40" }},
		{name: "reason", q: store.Query{Filters: is("reason", "Killing")}, holds: func(d *schemas.Document) bool { return d.Event.Action == "Killing" }},
		{name: "type", q: store.Query{Filters: is("type", "Warning")}, holds: func(d *schemas.Document) bool { return d.Kubernetes.Event != nil }},
		{name: "fact", q: store.Query{Filters: is("fact", "gap")}, holds: func(d *schemas.Document) bool { return d.Kubescribe.Type == schemas.TypeGap }},
		{name: "workload", q: store.Query{Filters: is("workload", "web", "workload_kind", "Deployment")}, holds: func(d *schemas.Document) bool { return d.Kubescribe.Workload != nil }},
		{name: "service", q: store.Query{Filters: is("service", "web")}, holds: func(d *schemas.Document) bool { return d.Service != nil }},
		{name: "node", q: store.Query{Filters: is("node", "node-1")}, holds: func(d *schemas.Document) bool { return d.Kubernetes.Node != nil }},
		{name: "filters and a range", q: store.Query{From: origin.Add(8 * time.Hour), Filters: is("reason", "BackOff", "kind", "pod")}, holds: func(d *schemas.Document) bool {
			return d.Event.Action == "BackOff" && d.Orchestrator.Resource.Type == "pod"
		}},
		{name: "filters that exclude each other", q: store.Query{Filters: is("class", "normal", "kind", "node")}, holds: nobody, none: true},
		{name: "a value that is SQL", q: store.Query{Filters: is("name", "x') OR 1=1 --")}, holds: nobody, none: true},
		{name: "one word", q: store.Query{Text: "image"}, holds: message(1, 2)},
		{name: "case does not matter", q: store.Query{Text: "BACK OFF"}, holds: message(0)},
		{name: "all words", q: store.Query{Text: "image pulling"}, holds: message(1)},
		{name: "all words, one missing", q: store.Query{Text: "image restarting"}, holds: nobody, none: true},
		{name: "part of a word is no word", q: store.Query{Text: "restart"}, holds: nobody, none: true},
		{name: "punctuation separates", q: store.Query{Text: "(back)off!"}, holds: message(0)},
		{name: "a host name is a word", q: store.Query{Text: "registry.example.com"}, holds: message(1)},
		{name: "a part of a host name is none", q: store.Query{Text: "example"}, holds: nobody, none: true},
		{name: "an address", q: store.Query{Text: "10.0.0.1"}, holds: message(2)},
		{name: "umlauts", q: store.Query{Text: "grösse"}, holds: nobody, none: true},
		{name: "umlauts in the other case", q: store.Query{Text: "GRÖßE äöü"}, holds: message(3)},
		{name: "umlauts are no vowels", q: store.Query{Text: "aou"}, holds: nobody, none: true},
		{name: "ideographs and katakana", q: store.Query{Text: "不足 メモリ"}, holds: message(4)},
		{name: "an underscore joins", q: store.Query{Text: "snake_case"}, holds: message(5)},
		{name: "a dash separates", q: store.Query{Text: "kebab"}, holds: message(5)},
		{name: "numbers and apostrophes", q: store.Query{Text: "1,000.5 don't"}, holds: message(6)},
		{name: "the engines' own languages are words", q: store.Query{Text: `NOT "col:x" OR star*`}, holds: message(7)},
		{name: "text, filter and range", q: store.Query{Text: "image", To: origin.Add(30 * time.Hour), Filters: is("cluster", "c0")}, holds: func(d *schemas.Document) bool {
			return message(1, 2)(d) && d.Orchestrator.Cluster.Name == "c0"
		}},
	}
}

// expected are the ids that q should find, newest first, then by id in descending byte order.
func expected(docs []*schemas.Document, q store.Query, holds func(d *schemas.Document) bool) []string {
	var found []*schemas.Document
	for _, d := range docs {
		early := !q.From.IsZero() && d.Timestamp.Before(q.From)
		late := !q.To.IsZero() && !d.Timestamp.Before(q.To)
		if holds(d) && !early && !late {
			found = append(found, d)
		}
	}
	sort.Slice(found, func(i, j int) bool {
		if !found[i].Timestamp.Equal(found[j].Timestamp) {
			return found[i].Timestamp.After(found[j].Timestamp)
		}
		return found[i].Event.ID > found[j].Event.ID
	})
	all := make([]string, len(found))
	for i, d := range found {
		all[i] = d.Event.ID
	}
	return all
}
