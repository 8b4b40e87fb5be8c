package rule

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"kubescribe/schemas"
)

var (
	alertName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,127}$`)
	labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`)
)

// reservedLabels are set by the matcher.
var reservedLabels = []string{"alertname", "cluster"}

// draft is a rule as it is written, with the places of what is compiled later.
type draft struct {
	alert, expr text
	labels      map[string]string
	annotations []pair
	groupBy     []text
	notify      []text
	atLeast     int64
	within      time.Duration
	dedup       time.Duration
	resolve     time.Duration
	when        text // resolve.when
	inhibit     []inhibition
	storm       *schemas.Storm
	scope       Scope
	hasDedup    bool
	node        ast.Node
}

type pair struct {
	key   string
	value text
}

// document reads one YAML document and returns its rules; those with problems are left out.
func (l *loader) document(f *file, root ast.Node) {
	f.mapping(root, "file", fields{"groups": func(n ast.Node) {
		names := map[string]bool{}
		for _, g := range f.list(n, "groups") {
			l.group(f, g, names)
		}
	}})
}

func (l *loader) group(f *file, n ast.Node, names map[string]bool) {
	var name text
	var rules []ast.Node
	f.mapping(n, "group", fields{
		"name":  func(v ast.Node) { name, _ = f.scalar(v, "name") },
		"rules": func(v ast.Node) { rules = f.list(v, "rules") },
	})
	switch {
	case name.tok == nil:
		f.at(start(n), "group: has no name")
	case names[name.value]:
		f.at(name.tok, "group %q is there twice in this file", name.value)
	}
	names[name.value] = true
	for _, r := range rules {
		before := len(f.problems)
		d := f.draft(r)
		f.complete(&d)
		l.add(f, d, name.value, before)
	}
}

func (f *file) draft(n ast.Node) draft {
	d := draft{atLeast: 1, labels: map[string]string{}, node: n}
	f.mapping(n, "rule", fields{
		"alert":       func(v ast.Node) { d.alert, _ = f.scalar(v, "alert") },
		"expr":        func(v ast.Node) { d.expr, _ = f.scalar(v, "expr") },
		"labels":      func(v ast.Node) { f.labels(v, d.labels) },
		"annotations": func(v ast.Node) { d.annotations = f.textMap(v, "annotations") },
		"group_by":    func(v ast.Node) { d.groupBy = f.scalars(v, "group_by") },
		"notify":      func(v ast.Node) { d.notify = f.scalars(v, "notify") },
		"dedup":       func(v ast.Node) { d.dedup, d.hasDedup = f.duration(v, "dedup", MaxQuiet), true },
		"count": func(v ast.Node) {
			f.mapping(v, "count", fields{
				"at_least": func(v ast.Node) { d.atLeast = f.number(v, "at_least", 1, MaxAtLeast) },
				"within":   func(v ast.Node) { d.within = f.duration(v, "within", MaxWithin) },
			})
			if d.atLeast > 1 && d.within == 0 {
				f.at(start(v), "count: at_least %d has no within: say in which time they must happen", d.atLeast)
			}
		},
		"resolve": func(v ast.Node) {
			f.mapping(v, "resolve", fields{
				"after": func(v ast.Node) { d.resolve = f.duration(v, "after", MaxQuiet) },
				"when":  func(v ast.Node) { d.when, _ = f.scalar(v, "when") },
			})
		},
		"inhibit": func(v ast.Node) {
			for _, n := range f.list(v, "inhibit") {
				d.inhibit = append(d.inhibit, f.inhibition(n))
			}
		},
		"storm": func(v ast.Node) { d.storm = f.storm(v) },
		"scope": func(v ast.Node) { d.scope = f.scope(v) },
	})
	return d
}

// complete checks what is required, and fills in the defaults.
func (f *file) complete(d *draft) {
	switch {
	case d.alert.tok == nil:
		f.at(start(d.node), "rule: has no alert (its name)")
	case !alertName.MatchString(d.alert.value):
		f.at(d.alert.tok, "alert: %q is no name: use letters, digits, '_' and '-', at most 128, a letter first", d.alert.value)
	}
	if d.expr.tok == nil {
		f.at(start(d.node), "rule: has no expr")
	} else if strings.TrimSpace(d.expr.value) == "" {
		f.at(d.expr.tok, "expr: is empty")
	}
	if d.when.tok != nil && strings.TrimSpace(d.when.value) == "" {
		f.at(d.when.tok, "when: is empty")
	}
	if d.dedup == 0 {
		d.dedup = DefaultDedup
	}
	if d.resolve == 0 {
		d.resolve = d.dedup
	}
}

func (f *file) labels(n ast.Node, into map[string]string) {
	for _, p := range f.textMap(n, "labels") {
		switch {
		case !labelName.MatchString(p.key):
			f.at(p.value.tok, "labels: %q is no label name: use letters, digits and '_', a letter first", p.key)
		case slices.Contains(reservedLabels, p.key):
			f.at(p.value.tok, "labels: %q is set for every alert: use another name", p.key)
		}
		into[p.key] = p.value.value
	}
}

func (f *file) textMap(n ast.Node, what string) []pair {
	var all []pair
	seen := map[string]bool{}
	for key, value := range f.pairs(n, what) {
		if seen[key.Value] {
			f.at(key, "%s: key %q is there twice", what, key.Value)
			continue
		}
		seen[key.Value] = true
		if t, ok := f.scalar(value, what+"."+key.Value); ok {
			all = append(all, pair{key.Value, t})
		}
	}
	return all
}

func (f *file) patterns(n ast.Node, what string) []string {
	var all []string
	for _, t := range f.scalars(n, what) {
		if _, err := path.Match(t.value, ""); err != nil || t.value == "" {
			f.at(t.tok, "%s: %q is no name or pattern", what, t.value)
		}
		all = append(all, t.value)
	}
	return all
}

func (d *draft) policy() schemas.Policy {
	p := schemas.Policy{AtLeast: d.atLeast, Within: d.within, Dedup: d.dedup, ResolveAfter: d.resolve, Storm: d.storm}
	for _, i := range d.inhibit {
		p.Inhibit = append(p.Inhibit, schemas.Inhibit{Alerts: values(i.alerts), Equal: i.equal})
	}
	return p
}

func values(ts []text) []string {
	var all []string
	for _, t := range ts {
		all = append(all, t.value)
	}
	return all
}
