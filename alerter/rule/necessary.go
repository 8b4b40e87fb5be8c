package rule

import (
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// test is a part of an expression as a function of a sketch. It takes a tenth of the time that the expression's own machine takes.
type test func(*Env) bool

// necessary are tests that must all be met for an expression to be true: those of its terms joined by and that compare fields of a
// sketch with constants. What is not one of the plain forms is left out.
func necessary(text string) []test {
	tree, err := parser.Parse(text)
	if err != nil {
		return nil // the text has compiled, so this is a difference within the library
	}
	var tests []test
	for _, term := range terms(tree.Node) {
		if t := exactly(term); t != nil {
			tests = append(tests, t)
		}
	}
	return tests
}

func terms(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "and" || b.Operator == "&&") {
		return append(terms(b.Left), terms(b.Right)...)
	}
	return []ast.Node{n}
}

// sketchedTexts and sketchedNumbers are the fields that a sketch has.
var (
	sketchedTexts = map[string]func(*Env) string{
		"cluster": func(e *Env) string { return e.Cluster }, "event_type": func(e *Env) string { return e.EventType },
		"class": func(e *Env) string { return e.Class }, "namespace": func(e *Env) string { return e.Namespace },
		"kind": func(e *Env) string { return e.Kind }, "name": func(e *Env) string { return e.Name },
		"object": func(e *Env) string { return e.Object }, "reason": func(e *Env) string { return e.Reason },
		"type": func(e *Env) string { return e.Type }, "message": func(e *Env) string { return e.Message },
		"workload.kind": func(e *Env) string { return e.Workload.Kind }, "workload.name": func(e *Env) string { return e.Workload.Name },
	}
	sketchedNumbers = map[string]func(*Env) int{
		"count": func(e *Env) int { return e.Count }, "occurrences": func(e *Env) int { return e.Occurrences },
	}
)

// exactly is true for the documents for which n is; nil if n is not of a form that is known here.
func exactly(n ast.Node) test {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if t := exactly(n.Node); t != nil && (n.Operator == "not" || n.Operator == "!") {
			return func(e *Env) bool { return !t(e) }
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			if l, r := exactly(n.Left), exactly(n.Right); l != nil && r != nil {
				return func(e *Env) bool { return l(e) && r(e) }
			}
		case "or", "||":
			if l, r := exactly(n.Left), exactly(n.Right); l != nil && r != nil {
				return func(e *Env) bool { return l(e) || r(e) }
			}
		default:
			return comparison(n)
		}
	}
	return nil
}

// comparison is one of a field with constants.
func comparison(n *ast.BinaryNode) test {
	a, ok := newAtom(n)
	if !ok {
		return nil
	}
	var t test
	if a.isInt {
		number, known := sketchedNumbers[a.field]
		if !known {
			return nil
		}
		t = numberTest(a, number)
	} else {
		text, known := sketchedTexts[a.field]
		if !known {
			return nil
		}
		t = textTest(a, text)
	}
	if t != nil && a.negate {
		return func(e *Env) bool { return !t(e) }
	}
	return t
}

func numberTest(a atom, of func(*Env) int) test {
	n := a.number
	switch a.op {
	case "==":
		return func(e *Env) bool { return of(e) == n }
	case "<":
		return func(e *Env) bool { return of(e) < n }
	case "<=":
		return func(e *Env) bool { return of(e) <= n }
	case ">":
		return func(e *Env) bool { return of(e) > n }
	case ">=":
		return func(e *Env) bool { return of(e) >= n }
	}
	return nil
}

func textTest(a atom, of func(*Env) string) test {
	if a.op == "in" {
		return func(e *Env) bool { return slices.Contains(a.values, of(e)) }
	}
	s := a.values[0]
	switch a.op {
	case "==":
		return func(e *Env) bool { return of(e) == s }
	case "startsWith":
		return func(e *Env) bool { return strings.HasPrefix(of(e), s) }
	case "endsWith":
		return func(e *Env) bool { return strings.HasSuffix(of(e), s) }
	case "contains":
		return func(e *Env) bool { return strings.Contains(of(e), s) }
	case "matches":
		return patternTest(s, of)
	}
	return nil
}

func patternTest(pattern string, of func(*Env) string) test {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	// What must begin with some text is mostly decided by it.
	prefix := ""
	if strings.HasPrefix(pattern, "^") {
		prefix, _ = re.LiteralPrefix()
	}
	return func(e *Env) bool {
		v := of(e)
		return strings.HasPrefix(v, prefix) && re.MatchString(v)
	}
}
