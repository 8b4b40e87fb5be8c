package rule

import (
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// field is a field of Env that rules are indexed by.
type field int

const (
	byReason field = iota
	byKind
	byNamespace
	byEventType
	byType
	fieldCount
)

var indexed = map[string]field{"reason": byReason, "kind": byKind, "namespace": byNamespace, "event_type": byEventType, "type": byType}

func (e *Env) at(f field) string {
	switch f {
	case byReason:
		return e.Reason
	case byKind:
		return e.Kind
	case byNamespace:
		return e.Namespace
	case byEventType:
		return e.EventType
	case byType:
		return e.Type
	}
	return ""
}

// requirements are the fields of which an expression surely needs one of some constants: `reason == "BackOff" and count > 3`
// can only be true for a document whose reason is BackOff. What it does not see through, it leaves out.
func requirements(text string) map[field][]string {
	tree, err := parser.Parse(text)
	if err != nil {
		return nil // the text has compiled, so this is a difference within the library: then nothing is required
	}
	return required(tree.Node)
}

func required(n ast.Node) map[field][]string {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return nil
	}
	switch b.Operator {
	case "==":
		if f, value, ok := equality(b.Left, b.Right); ok {
			return map[field][]string{f: {value}}
		}
		if f, value, ok := equality(b.Right, b.Left); ok {
			return map[field][]string{f: {value}}
		}
	case "in":
		if f, values, ok := membership(b); ok {
			return map[field][]string{f: values}
		}
	case "and", "&&":
		return both(required(b.Left), required(b.Right))
	case "or", "||":
		return either(required(b.Left), required(b.Right))
	}
	return nil
}

func equality(name, value ast.Node) (field, string, bool) {
	id, ok := name.(*ast.IdentifierNode)
	if !ok {
		return 0, "", false
	}
	s, isText := value.(*ast.StringNode)
	f, known := indexed[id.Value]
	if !isText || !known {
		return 0, "", false
	}
	return f, s.Value, true
}

func membership(b *ast.BinaryNode) (field, []string, bool) {
	list, ok := b.Right.(*ast.ArrayNode)
	if !ok {
		return 0, nil, false
	}
	var f field
	var values []string
	for _, n := range list.Nodes {
		g, v, ok := equality(b.Left, n)
		if !ok {
			return 0, nil, false
		}
		f, values = g, append(values, v)
	}
	return f, distinct(values), len(values) > 0
}

func distinct(values []string) []string { return slices.Compact(slices.Sorted(slices.Values(values))) }

// both holds when a and b hold: for a field that both require, the values that both allow.
func both(a, b map[field][]string) map[field][]string {
	all := map[field][]string{}
	for f, values := range a {
		all[f] = values
	}
	for f, values := range b {
		if had, ok := all[f]; ok {
			values = slices.DeleteFunc(slices.Clone(had), func(v string) bool { return !slices.Contains(values, v) })
		}
		all[f] = values
	}
	return all
}

// either holds when a or b holds: only what both require is required.
func either(a, b map[field][]string) map[field][]string {
	all := map[field][]string{}
	for f, values := range a {
		if other, ok := b[f]; ok {
			all[f] = distinct(slices.Concat(values, other))
		}
	}
	return all
}

// condition is an expression of a rule: the one that makes it fire, or the one that resolves it.
type condition struct {
	rule     *Rule
	program  *vm.Program
	required map[field][]string
	// necessary must all be met by a sketch of a document if program holds for the document.
	necessary []test
	resolves  bool
}

func conditions(rules []*Rule) []*condition {
	var all []*condition
	for _, r := range rules {
		all = append(all, &condition{rule: r, program: r.program, required: r.required, necessary: necessary(r.Expr)})
		if r.resolve != nil {
			all = append(all, &condition{
				rule: r, program: r.resolve, required: requirements(r.ResolveWhen), necessary: necessary(r.ResolveWhen), resolves: true,
			})
		}
	}
	return all
}

// index is a tree: each level asks for one field and goes on with the conditions that its value allows, and with those that
// don't care about it. So a document meets only the conditions that could hold.
type index struct {
	conditions []*condition
	field      field
	values     map[string]*index
	rest       *index
}

// worthIt is how many conditions must require a field before a level for it costs less than it saves.
const worthIt = 3

func newIndex(all []*condition, used [fieldCount]bool) *index {
	best, most := field(-1), worthIt-1
	for f := range fieldCount {
		n := 0
		for _, c := range all {
			if _, ok := c.required[f]; ok && !used[f] {
				n++
			}
		}
		if n > most {
			best, most = f, n
		}
	}
	if best < 0 {
		return &index{conditions: all}
	}
	used[best] = true
	var rest []*condition
	values := map[string][]*condition{}
	for _, c := range all {
		required, ok := c.required[best]
		if !ok {
			rest = append(rest, c)
		}
		for _, v := range required {
			values[v] = append(values[v], c)
		}
	}
	ix := &index{field: best, values: make(map[string]*index, len(values))}
	for v, cs := range values {
		ix.values[v] = newIndex(cs, used)
	}
	if len(rest) > 0 {
		ix.rest = newIndex(rest, used)
	}
	return ix
}

// candidates appends every condition that could hold for e, each once. e may be a sketch.
func (ix *index) candidates(e *Env, all []*condition) []*condition {
	for ix != nil {
		all = append(all, ix.conditions...)
		if len(ix.values) > 0 {
			if v, ok := ix.values[e.at(ix.field)]; ok {
				all = v.candidates(e, all)
			}
		}
		ix = ix.rest
	}
	return all
}
