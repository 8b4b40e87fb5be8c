package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/expr-lang/expr/vm"

	"kubescribe/schemas"
)

// Set is a whole set of rules. It is immutable and safe for concurrent use.
type Set struct {
	// Rules are in the order of the files.
	Rules []*Rule
	// Hash changes when any rule changes.
	Hash  string
	index *index
}

func newSet(rules []*Rule) *Set {
	h := sha256.New()
	for _, r := range rules {
		fmt.Fprintln(h, r.Name, r.Hash)
	}
	return &Set{Rules: rules, Hash: hex.EncodeToString(h.Sum(nil)[:8]), index: newIndex(rules, [fieldCount]bool{})}
}

// Failure is a rule that could not be evaluated, or an annotation that could not be rendered, for one document.
type Failure struct {
	Rule *Rule
	Err  error
}

// Matcher evaluates the rules of a Set, one document after the other. It keeps the virtual machine's memory between
// documents and is not safe for concurrent use.
type Matcher struct {
	set *Set
	vm  vm.VM
}

// NewMatcher returns a Matcher for s.
func NewMatcher(s *Set) *Matcher { return &Matcher{set: s} }

// Match returns a Match for each rule that d meets, and the rules that failed on it. A rule that fails does not match and
// does not stop the others. A document of which nothing new happened (no occurrences) matches nothing.
func (m *Matcher) Match(d *schemas.Document) ([]schemas.Match, []Failure) {
	var matches []schemas.Match
	var failed []Failure
	env := NewEnv(d)
	if env.Occurrences < 1 {
		return nil, nil
	}
	m.set.index.each(env, func(r *Rule) {
		if !r.Scope.allows(env) {
			return
		}
		met, err := m.met(r.program, env)
		if err != nil {
			failed = append(failed, Failure{r, fmt.Errorf("evaluating expr: %w", err)})
		}
		if !met {
			return
		}
		match, errs := r.match(d, env)
		for _, err := range errs {
			failed = append(failed, Failure{r, err})
		}
		matches = append(matches, match)
	})
	return matches, failed
}

func (m *Matcher) met(p *vm.Program, e *Env) (bool, error) {
	met, err := m.vm.Run(p, e)
	if err != nil {
		return false, err
	}
	b, _ := met.(bool)
	return b, nil
}

// match is the Match of d by r. Errors are those of annotations, which are then in the annotation's text.
func (r *Rule) match(d *schemas.Document, e *Env) (schemas.Match, []error) {
	m := schemas.Match{
		ID: d.Event.ID + "/" + r.Name, EventID: d.Event.ID, Cluster: r.Scope.cluster(e.Cluster), Rule: r.Name, RuleHash: r.Hash,
		Labels: maps.Clone(r.Labels), Receivers: r.Receivers, Time: e.Time, ObservedAt: d.Event.Created,
		Occurrences: int64(e.Occurrences), Policy: r.Policy, Evidence: r.evidence(d, e),
	}
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	m.Labels["alertname"] = r.Name
	if !r.Scope.Fleet {
		m.Labels["cluster"] = e.Cluster
	}
	if len(r.groupBy) > 0 {
		m.Group = make(map[string]string, len(r.groupBy))
	}
	for _, g := range r.groupBy {
		v := cut(g.value(e), maxGroupValue)
		m.Group[g.name] = v
		if v != "" {
			m.Labels[g.name] = v
		}
	}
	m.Fingerprint = schemas.Fingerprint(r.Name, m.Group)
	var errs []error
	if len(r.annotations) > 0 {
		m.Annotations = make(map[string]string, len(r.annotations))
	}
	for _, a := range r.annotations {
		text, err := a.render(e)
		if err != nil {
			errs = append(errs, fmt.Errorf("rendering annotation %s: %w", a.name, err))
		}
		m.Annotations[a.name] = text
	}
	return m, errs
}
