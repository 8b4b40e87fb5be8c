package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"text/template"
	"time"

	"github.com/expr-lang/expr/vm"

	"kubescribe/schemas"
)

// What a rule gets when it says nothing, and the limits of what it may say.
const (
	// DefaultDedup is how often a firing alert is repeated at most.
	DefaultDedup = time.Hour
	// MaxAtLeast keeps a group's state small: so many matches must be remembered until it fires.
	MaxAtLeast = 500
	// MaxWithin and MaxQuiet bound windows and waits: state is kept for so long.
	MaxWithin = 24 * time.Hour
	MaxQuiet  = 7 * 24 * time.Hour
)

// Rule is one alert's rule, compiled. It is immutable.
type Rule struct {
	Name, Group string
	// File and Line say where it is written.
	File string
	Line int
	// Expr is the expression's text.
	Expr string
	// Hash changes when anything changes that the rule says; comments and layout don't count.
	Hash string
	// Labels are fixed; Receivers may be empty: then the default receivers are notified.
	Labels    map[string]string
	Receivers []string
	Policy    schemas.Policy
	Scope     Scope
	// ResolveWhen is the text of the expression that ends the alert, "" for none.
	ResolveWhen string

	groupBy     []groupLabel
	annotations []annotation
	program     *vm.Program
	resolve     *vm.Program // nil without ResolveWhen
	// required are the values that some fields must have; see index.go.
	required map[field][]string
}

// Scope limits a rule. Each entry is a name or a pattern with *, ? and [a-z]; an empty list allows everything.
type Scope struct {
	Clusters   []string `json:"clusters,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
	// NamespaceLabels must all be there, each with a value that fits the pattern.
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	// Fleet makes groups that span clusters.
	Fleet bool `json:"fleet,omitempty"`
}

func (s Scope) allows(e *Env) bool {
	if !anyOf(s.Clusters, e.Cluster) || !anyOf(s.Namespaces, e.Namespace) {
		return false
	}
	for name, pattern := range s.NamespaceLabels {
		if value, there := e.NamespaceLabels[name]; !there || !anyOf([]string{pattern}, value) {
			return false
		}
	}
	return true
}

// cluster is what the rule's alerts of a document of this cluster belong to.
func (s Scope) cluster(name string) string {
	if s.Fleet {
		return schemas.Fleet
	}
	return name
}

func anyOf(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); err == nil && ok {
			return true
		}
	}
	return len(patterns) == 0
}

type groupLabel struct {
	name  string
	value func(*Env) string
}

type annotation struct {
	name string
	text *template.Template
}

// canonical is what a rule says, without how it is written.
type canonical struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	GroupBy     []string          `json:"groupBy,omitempty"`
	Policy      schemas.Policy    `json:"policy"`
	Receivers   []string          `json:"receivers,omitempty"`
	Scope       Scope             `json:"scope"`
	ResolveWhen string            `json:"resolveWhen,omitempty"`
}

func (c canonical) hash() (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encoding rule: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), nil
}
