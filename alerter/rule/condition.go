package rule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"kubescribe/schemas"
)

// finding is a mistake in an expression, at a place of its text that counts characters from 0.
type finding struct {
	at      int
	message string
}

// conditionFindings says what of an expression that compiles can't be meant: constants that a field never has, patterns that
// are not known at load, and a whole that no document can meet. What it does not see through, it believes.
func conditionFindings(text string) []finding {
	tree, err := parser.Parse(text)
	if err != nil {
		return nil // the text has compiled, so this is a difference within the library
	}
	w := &walker{}
	ast.Walk(&tree.Node, w)
	if len(w.found) > 0 {
		return w.found // a contradiction would only say the same again
	}
	if f := contradiction(tree.Node); f != nil {
		return []finding{*f}
	}
	return nil
}

// closed are the fields with a fixed set of values. The empty value stands for documents that have none.
var closed = map[string][]string{
	"type":          {"Normal", "Warning"},
	"event_type":    typeNames(),
	"enrichment":    {schemas.EnrichmentComplete, schemas.EnrichmentPartial, schemas.EnrichmentUnavailable, ""},
	"gap.certainty": {string(schemas.GapCertain), string(schemas.GapPossible), ""},
	"gap.cause":     {string(schemas.GapExpired), string(schemas.GapRegression), ""},
}

func typeNames() []string {
	var names []string
	for _, t := range schemas.Types() {
		names = append(names, string(t))
	}
	return names
}

// walker looks at each comparison by itself.
type walker struct{ found []finding }

// Visit is ast.Visitor's.
func (w *walker) Visit(n *ast.Node) {
	b, ok := (*n).(*ast.BinaryNode)
	if !ok {
		return
	}
	if b.Operator == "matches" {
		if _, ok := b.Right.(*ast.StringNode); !ok {
			w.add(b.Right, "the pattern of matches must be a text in quotes, so that it is compiled once")
		}
		return
	}
	a, ok := newAtom(b)
	if !ok {
		return
	}
	for i, v := range a.values {
		if known, ok := closed[a.field]; ok && (a.op == "==" || a.op == "in") && !slices.Contains(known, v) {
			w.add(a.nodes[i], "%s is never %q: it is one of %s", a.field, v, quoted(known))
		}
		if a.field == "kind" && (a.op == "==" || a.op == "in") && v != "" && (v[0] < 'A' || v[0] > 'Z') {
			w.add(a.nodes[i], "kind is never %q: kinds begin with a capital letter", v)
		}
	}
}

func (w *walker) add(n ast.Node, format string, args ...any) {
	w.found = append(w.found, finding{n.Location().From, fmt.Sprintf(format, args...)})
}

func quoted(values []string) string {
	var all []string
	for _, v := range values {
		if v != "" {
			all = append(all, fmt.Sprintf("%q", v))
		}
	}
	return strings.Join(all, ", ")
}

// atom compares one field with constants.
type atom struct {
	node   ast.Node
	field  string
	op     string // ==, in, startsWith, endsWith, contains, matches; <, <=, >, >= and == for numbers
	values []string
	nodes  []ast.Node
	number int
	isInt  bool
	negate bool
}

// newAtom reads a comparison of a field with constants, in either order of its sides.
func newAtom(b *ast.BinaryNode) (atom, bool) {
	left, right, op := b.Left, b.Right, b.Operator
	if _, constant := left.(*ast.StringNode); constant && (op == "==" || op == "!=") {
		left, right = right, left
	}
	if _, constant := left.(*ast.IntegerNode); constant {
		left, right = right, left
		op = mirrored(op)
	}
	field, ok := fieldName(left)
	if !ok {
		return atom{}, false
	}
	a := atom{node: b, field: field, op: op}
	if op == "!=" {
		a.op, a.negate = "==", true
	}
	switch c := right.(type) {
	case *ast.StringNode:
		a.values, a.nodes = []string{c.Value}, []ast.Node{c}
		return a, slices.Contains([]string{"==", "startsWith", "endsWith", "contains", "matches"}, a.op)
	case *ast.IntegerNode:
		a.number, a.isInt = c.Value, true
		return a, slices.Contains([]string{"==", "<", "<=", ">", ">="}, a.op)
	case *ast.ArrayNode:
		for _, n := range c.Nodes {
			s, ok := n.(*ast.StringNode)
			if !ok {
				return atom{}, false
			}
			a.values, a.nodes = append(a.values, s.Value), append(a.nodes, n)
		}
		return a, a.op == "in"
	}
	return atom{}, false
}

func mirrored(op string) string {
	switch op {
	case "<":
		return ">"
	case "<=":
		return ">="
	case ">":
		return "<"
	case ">=":
		return "<="
	}
	return op
}

// fieldName is the name of a field of Env, like reason, gap.cause or labels["app"].
func fieldName(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, true
	case *ast.MemberNode:
		of, ok := fieldName(n.Node)
		s, isText := n.Property.(*ast.StringNode)
		if !ok || !isText {
			return "", false
		}
		return of + "." + s.Value, true
	}
	return "", false
}

// String is the atom as it is written.
func (a atom) String() string {
	if a.negate && a.node.String() != "" {
		if b, ok := a.node.(*ast.BinaryNode); !ok || b.Operator != "!=" {
			return "not (" + a.node.String() + ")"
		}
	}
	return a.node.String()
}
