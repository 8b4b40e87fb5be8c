package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

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
	return &Set{Rules: rules, Hash: hex.EncodeToString(h.Sum(nil)[:8]), index: newIndex(conditions(rules), [fieldCount]bool{})}
}

// Failure is a rule that could not be evaluated, or an annotation that could not be rendered, for one document.
type Failure struct {
	Rule *Rule
	Err  error
}

// Matcher evaluates the rules of a Set, one document after the other. It keeps memory between documents and is not safe for
// concurrent use.
type Matcher struct {
	set   *Set
	vm    vm.VM
	draft Env
	found []*condition
}

// NewMatcher returns a Matcher for s.
func NewMatcher(s *Set) *Matcher { return &Matcher{set: s} }

// Match returns a Match for each rule that d meets, and one that resolves for each rule whose resolve expression it meets, and the
// rules that failed on it. A rule that fails does not match and does not stop the others. A document that makes a rule fire does not
// resolve it too. A document of which nothing new happened (no occurrences) matches nothing.
func (m *Matcher) Match(d *schemas.Document) ([]schemas.Match, []Failure) {
	env := NewEnv(d)
	if env.Occurrences < 1 {
		return nil, nil
	}
	m.found = m.set.index.candidates(env, m.found[:0])
	return m.evaluate(m.found, d, env)
}

// MatchValue is Match of the document in a record's value, which it decodes only if a rule could match. An error means that the
// value is no document; what no rule looks at is not looked at here either.
func (m *Matcher) MatchValue(value []byte) ([]schemas.Match, []Failure, error) {
	e := &m.draft
	if !sketch(value, e) {
		d, err := schemas.DecodeDocument(value)
		if err != nil {
			return nil, nil, err
		}
		matches, failed := m.Match(d)
		return matches, failed, nil
	}
	if e.Occurrences < 1 {
		return nil, nil, nil
	}
	m.found = m.set.index.candidates(e, m.found[:0])
	m.found = slices.DeleteFunc(m.found, func(c *condition) bool { return c.excluded(e) })
	if len(m.found) == 0 {
		return nil, nil, nil
	}
	d, err := schemas.DecodeDocument(value)
	if err != nil {
		return nil, nil, err
	}
	matches, failed := m.evaluate(m.found, d, NewEnv(d))
	return matches, failed, nil
}

// excluded says whether a sketch is enough to know that c does not hold.
func (c *condition) excluded(sketch *Env) bool {
	if len(c.rule.Scope.NamespaceLabels) == 0 && !c.rule.Scope.allows(sketch) {
		return true
	}
	for _, met := range c.necessary {
		if !met(sketch) {
			return true
		}
	}
	return false
}

func (m *Matcher) evaluate(found []*condition, d *schemas.Document, e *Env) ([]schemas.Match, []Failure) {
	var matches []schemas.Match
	var failed []Failure
	for _, c := range found {
		if !c.rule.Scope.allows(e) {
			continue
		}
		met, err := m.met(c.program, e)
		if met && c.resolves {
			met, err = m.met(c.rule.program, e)
			met = !met
		}
		if err != nil {
			failed = append(failed, Failure{c.rule, fmt.Errorf("evaluating expr: %w", err)})
			continue
		}
		if !met {
			continue
		}
		if c.resolves {
			matches = append(matches, c.rule.ending(d, e))
			continue
		}
		match, errs := c.rule.match(d, e)
		for _, err := range errs {
			failed = append(failed, Failure{c.rule, err})
		}
		matches = append(matches, match)
	}
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

// basis is what every Match of d by r has.
func (r *Rule) basis(d *schemas.Document, e *Env) schemas.Match {
	m := schemas.Match{
		ID: d.Event.ID + "/" + r.Name, EventID: d.Event.ID, Cluster: r.Scope.cluster(e.Cluster), Rule: r.Name, RuleHash: r.Hash,
		Receivers: r.Receivers, Time: e.Time, ObservedAt: d.Event.Created, Occurrences: int64(e.Occurrences), Policy: r.Policy,
		Evidence: r.evidence(d, e),
	}
	if len(r.groupBy) > 0 {
		m.Group = make(map[string]string, len(r.groupBy))
	}
	for _, g := range r.groupBy {
		m.Group[g.name] = cut(g.value(e), maxGroupValue)
	}
	m.Fingerprint = schemas.Fingerprint(r.Name, m.Group)
	return m
}

// ending is the Match that resolves r's alert of the group that d belongs to.
func (r *Rule) ending(d *schemas.Document, e *Env) schemas.Match {
	m := r.basis(d, e)
	m.ID += "/resolve"
	m.Resolves = true
	return m
}

// match is the Match of d by r. Errors are those of annotations, which are then in the annotation's text.
func (r *Rule) match(d *schemas.Document, e *Env) (schemas.Match, []error) {
	m := r.basis(d, e)
	m.Labels = make(map[string]string, len(r.Labels)+len(m.Group)+2)
	maps.Copy(m.Labels, r.Labels)
	m.Labels["alertname"] = r.Name
	if !r.Scope.Fleet {
		m.Labels["cluster"] = e.Cluster
	}
	for name, v := range m.Group {
		if v != "" {
			m.Labels[name] = v
		}
	}
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
