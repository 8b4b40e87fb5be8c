package rule

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"kubescribe/schemas"
)

// Explanation says why a rule did or did not match a document.
type Explanation struct {
	Rule string `json:"rule"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Matched says that the document counts for the rule, Resolves that it ends the rule's alert.
	Matched  bool `json:"matched"`
	Resolves bool `json:"resolves"`
	// Scope is why the rule's scope leaves the document out, "" if it does not.
	Scope string `json:"scope,omitempty"`
	// Expr is the rule's expression, When the one that resolves, if there is one.
	Expr Condition  `json:"expr"`
	When *Condition `json:"when,omitempty"`
	// Group are the values of group_by, Count what must come together until the alert fires.
	Group map[string]string `json:"group,omitempty"`
	Count string            `json:"count,omitempty"`
}

// Condition is an expression or a part of one, and what came of it.
type Condition struct {
	Text string `json:"text"`
	Met  bool   `json:"met"`
	// Error is why it could not be evaluated.
	Error string `json:"error,omitempty"`
	// Op is and, or, or not, of the Parts; "" for a condition without parts.
	Op    string      `json:"op,omitempty"`
	Parts []Condition `json:"parts,omitempty"`
	// Values are the fields that a condition without parts looks at.
	Values []Value `json:"values,omitempty"`
}

// Value is a field and what the document has in it.
type Value struct {
	Field string `json:"field"`
	Value any    `json:"value"`
}

// Explain says of each rule of s why d meets it or does not, in the order of the files. Every part of an expression is
// evaluated, also where the alerter would stop.
func (s *Set) Explain(d *schemas.Document) []Explanation {
	env := NewEnv(d)
	all := make([]Explanation, 0, len(s.Rules))
	for _, r := range s.Rules {
		all = append(all, r.explain(d, env))
	}
	return all
}

func (r *Rule) explain(d *schemas.Document, env *Env) Explanation {
	e := Explanation{Rule: r.Name, File: r.File, Line: r.Line, Expr: explainExpr(r.Expr, env)}
	switch {
	case env.Occurrences < 1:
		e.Scope = "nothing new happened: the document has no occurrences"
	case !r.Scope.allows(env):
		e.Scope = fmt.Sprintf("cluster %q, namespace %q and its labels are not all in the rule's scope", env.Cluster, env.Namespace)
	}
	e.Matched = e.Scope == "" && e.Expr.Met
	if r.ResolveWhen != "" {
		when := explainExpr(r.ResolveWhen, env)
		e.When = &when
		e.Resolves = e.Scope == "" && when.Met && !e.Matched
	}
	if e.Matched || e.Resolves {
		m, _ := r.match(d, env)
		e.Group = m.Group
	}
	if e.Matched && r.Policy.AtLeast > 1 {
		e.Count = fmt.Sprintf("fires when %d come within %s; this document counts as %d", r.Policy.AtLeast, r.Policy.Within, env.Occurrences)
	}
	return e
}

func explainExpr(text string, env *Env) Condition {
	tree, err := parser.Parse(text)
	if err != nil {
		return Condition{Text: text, Error: err.Error()}
	}
	return explainNode(tree.Node, env)
}

func explainNode(n ast.Node, env *Env) Condition {
	c := Condition{Text: n.String()}
	switch n := n.(type) {
	case *ast.BinaryNode:
		if op := logical(n.Operator); op != "" {
			c.Op = op
			c.Parts = slices.Concat(operands(n.Left, op, env), operands(n.Right, op, env))
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			c.Op, c.Parts = "not", []Condition{explainNode(n.Node, env)}
		}
	}
	met, err := evaluate(c.Text, env)
	if err != nil {
		c.Error = err.Error()
	}
	c.Met, _ = met.(bool)
	if c.Op == "" {
		c.Values = valuesOf(n, env)
	}
	return c
}

// operands are the parts of a chain of one operator: a and b and c has three.
func operands(n ast.Node, op string, env *Env) []Condition {
	if b, ok := n.(*ast.BinaryNode); ok && logical(b.Operator) == op {
		return slices.Concat(operands(b.Left, op, env), operands(b.Right, op, env))
	}
	return []Condition{explainNode(n, env)}
}

func logical(operator string) string {
	switch operator {
	case "and", "&&":
		return "and"
	case "or", "||":
		return "or"
	}
	return ""
}

// evaluate runs a part of an expression that has compiled as a whole.
func evaluate(text string, env *Env) (any, error) {
	program, err := expr.Compile(text, append(language(), expr.AsKind(reflect.Invalid))...)
	if err != nil {
		return nil, err
	}
	return expr.Run(program, env)
}

// fieldWalker gathers the fields that an expression names, each as far as it goes: workload.kind and not workload.
type fieldWalker struct{ names []string }

// Visit is ast.Visitor's. It comes to the inside of a node first.
func (w *fieldWalker) Visit(n *ast.Node) {
	name, ok := fieldName(*n)
	if !ok {
		return
	}
	if m, isMember := (*n).(*ast.MemberNode); isMember {
		if inner, ok := fieldName(m.Node); ok {
			w.names = slices.DeleteFunc(w.names, func(s string) bool { return s == inner })
		}
		name = m.String()
	}
	if !slices.Contains(w.names, name) {
		w.names = append(w.names, name)
	}
}

func valuesOf(n ast.Node, env *Env) []Value {
	w := &fieldWalker{}
	ast.Walk(&n, w)
	var all []Value
	for _, name := range w.names {
		v, err := evaluate(name, env)
		if err != nil {
			continue // a name that only means something within a predicate
		}
		if s, ok := v.(string); ok {
			v = cut(s, maxGroupValue)
		}
		all = append(all, Value{name, v})
	}
	return all
}
