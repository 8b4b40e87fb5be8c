package rule

import (
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"kubescribe/schemas"
)

// inhibition is an entry of inhibit as it is written.
type inhibition struct {
	alerts []text
	equal  []string
}

func (f *file) inhibition(n ast.Node) inhibition {
	var i inhibition
	var hasAlerts, hasEqual bool
	f.mapping(n, "inhibit", fields{
		"alerts": func(v ast.Node) {
			hasAlerts = true
			i.alerts = f.scalars(v, "alerts")
			for _, t := range i.alerts {
				if _, err := path.Match(t.value, ""); err != nil || t.value == "" {
					f.at(t.tok, "alerts: %q is no name or pattern", t.value)
				}
			}
		},
		"equal": func(v ast.Node) {
			hasEqual = true
			i.equal = f.evidenceFields(v, "equal")
		},
	})
	if !hasAlerts {
		f.at(start(n), "inhibit: has no alerts: name the alerts that are kept quiet")
	}
	if !hasEqual {
		f.at(start(n), "inhibit: has no equal: say what both alerts must have in common, like equal: [node]")
	}
	return i
}

// evidenceFields reads names of what the decider can compare.
func (f *file) evidenceFields(n ast.Node, what string) []string {
	var all []string
	for _, t := range f.scalars(n, what) {
		if known := schemas.EvidenceFields(); !slices.Contains(known, t.value) {
			f.at(t.tok, "%s: %q is unknown: use %s", what, t.value, strings.Join(known, ", "))
		}
		all = append(all, t.value)
	}
	if len(all) == 0 {
		f.at(start(n), "%s: is empty", what)
	}
	return all
}

// MaxStorm is the largest number of alerts that may be sent before a storm is one.
const MaxStorm = 200

// storm reads when alerts of one origin become one summary; what is left out is as by default.
func (f *file) storm(n ast.Node) *schemas.Storm {
	if s, ok := unwrap(n).(*ast.StringNode); ok {
		if s.Value != "none" {
			f.at(n.GetToken(), "storm: %q is neither none nor a mapping of by, more_than and within", s.Value)
		}
		return &schemas.Storm{}
	}
	s := schemas.DefaultStorm()
	f.mapping(n, "storm", fields{
		"by":        func(v ast.Node) { s.By = f.evidenceFields(v, "by") },
		"more_than": func(v ast.Node) { s.MoreThan = f.number(v, "more_than", 1, MaxStorm) },
		"within":    func(v ast.Node) { s.Within = f.duration(v, "within", MaxWithin) },
	})
	return &s
}

func (f *file) scope(n ast.Node) Scope {
	var s Scope
	if word, ok := unwrap(n).(*ast.StringNode); ok {
		if s.Fleet = word.Value == "fleet"; !s.Fleet {
			f.at(n.GetToken(), "scope: %q is neither fleet nor a mapping of clusters, namespaces, namespace_labels and fleet", word.Value)
		}
		return s
	}
	f.mapping(n, "scope", fields{
		"clusters":   func(v ast.Node) { s.Clusters = f.patterns(v, "clusters") },
		"namespaces": func(v ast.Node) { s.Namespaces = f.patterns(v, "namespaces") },
		"namespace_labels": func(v ast.Node) {
			s.NamespaceLabels = map[string]string{}
			for _, p := range f.textMap(v, "namespace_labels") {
				if _, err := path.Match(p.value.value, ""); err != nil {
					f.at(p.value.tok, "namespace_labels: %q is no value or pattern", p.value.value)
				}
				s.NamespaceLabels[p.key] = p.value.value
			}
		},
		"fleet": func(v ast.Node) { s.Fleet = f.boolean(v, "fleet") },
	})
	return s
}

func (f *file) boolean(n ast.Node, what string) bool {
	b, ok := unwrap(n).(*ast.BoolNode)
	if !ok {
		f.at(n.GetToken(), "%s: is neither true nor false", what)
	}
	return ok && b.Value
}
