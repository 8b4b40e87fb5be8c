package rule

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// maxWays bounds the alternatives that an expression is spread out to; what has more is believed.
const maxWays = 512

// contradiction is a finding when no document can meet the expression.
func contradiction(n ast.Node) *finding {
	ways, ok := spread(n, false)
	if !ok {
		return nil
	}
	var first *finding
	for _, way := range ways {
		f := impossible(way)
		if f == nil {
			return nil
		}
		if first == nil {
			first = f
		}
	}
	if first == nil {
		first = &finding{n.Location().From, "it is false"}
	}
	first.message = "can never be true: " + first.message
	return first
}

// spread turns an expression into its ways to be true: each is a list of atoms that all hold. An atom without a field is one
// that nothing is known of. No way at all is false.
func spread(n ast.Node, negate bool) ([][]atom, bool) {
	switch n := n.(type) {
	case *ast.BoolNode:
		if n.Value != negate {
			return [][]atom{{}}, true
		}
		return nil, true
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return spread(n.Node, !negate)
		}
	case *ast.BinaryNode:
		and, or := n.Operator == "and" || n.Operator == "&&", n.Operator == "or" || n.Operator == "||"
		if and || or {
			left, ok := spread(n.Left, negate)
			right, also := spread(n.Right, negate)
			if !ok || !also {
				return nil, false
			}
			if and == negate { // not (a and b) is (not a) or (not b)
				return append(left, right...), len(left)+len(right) <= maxWays
			}
			return product(left, right)
		}
		if a, ok := newAtom(n); ok {
			a.negate = a.negate != negate
			return [][]atom{{a}}, true
		}
	}
	return [][]atom{{{node: n, negate: negate}}}, true
}

func product(left, right [][]atom) ([][]atom, bool) {
	if len(left)*len(right) > maxWays {
		return nil, false
	}
	var all [][]atom
	for _, l := range left {
		for _, r := range right {
			all = append(all, slices.Concat(l, r))
		}
	}
	return all, true
}

// impossible is a finding when the atoms can't all hold.
func impossible(way []atom) *finding {
	fields := map[string][]atom{}
	var order []string
	for _, a := range way {
		key := a.field
		if key == "" {
			key = "?" + a.node.String()
		}
		if fields[key] == nil {
			order = append(order, key)
		}
		fields[key] = append(fields[key], a)
	}
	for _, key := range order {
		all := fields[key]
		var ok bool
		switch {
		case strings.HasPrefix(key, "?"):
			ok = !slices.ContainsFunc(all, func(a atom) bool { return a.negate != all[0].negate })
		case all[0].isInt:
			ok = someNumber(key, all)
		default:
			ok = someText(all)
		}
		if !ok {
			return &finding{place(all[len(all)-1]), explain(key, all)}
		}
	}
	return gapFields(way)
}

// place is where an atom begins.
func place(a atom) int {
	if b, ok := a.node.(*ast.BinaryNode); ok {
		return min(begin(b.Left), begin(b.Right))
	}
	return begin(a.node)
}

func begin(n ast.Node) int {
	if m, ok := n.(*ast.MemberNode); ok {
		return begin(m.Node)
	}
	return n.Location().From
}

func explain(field string, all []atom) string {
	if len(all) == 1 {
		return fmt.Sprintf("nothing meets %s", all[0])
	}
	var parts []string
	for _, a := range all {
		if s := a.String(); !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return fmt.Sprintf("nothing meets both %s", strings.Join(parts, " and "))
}

// someText says whether a text can meet all atoms. Without a list of candidates only beginnings and ends can exclude each other.
func someText(all []atom) bool {
	var candidates []string
	listed := false
	for _, a := range all {
		if a.negate || a.op != "==" && a.op != "in" {
			continue
		}
		if !listed {
			candidates, listed = a.values, true
			continue
		}
		candidates = slices.DeleteFunc(slices.Clone(candidates), func(v string) bool { return !slices.Contains(a.values, v) })
	}
	if listed {
		return slices.ContainsFunc(candidates, func(v string) bool {
			return !slices.ContainsFunc(all, func(a atom) bool { return !a.holds(v) })
		})
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.excludes(b) {
				return false
			}
		}
	}
	return true
}

// holds says whether v meets a; when that is unknown, it does.
func (a atom) holds(v string) bool {
	var met bool
	switch a.op {
	case "==", "in":
		met = slices.Contains(a.values, v)
	case "startsWith":
		met = strings.HasPrefix(v, a.values[0])
	case "endsWith":
		met = strings.HasSuffix(v, a.values[0])
	case "contains":
		met = strings.Contains(v, a.values[0])
	case "matches":
		re, err := regexp.Compile(a.values[0])
		if err != nil {
			return true
		}
		met = re.MatchString(v)
	default:
		return true
	}
	return met != a.negate
}

// excludes says whether no text can meet both.
func (a atom) excludes(b atom) bool {
	if a.op != b.op || len(a.values) != 1 || len(b.values) != 1 {
		return false
	}
	x, y := a.values[0], b.values[0]
	if a.negate != b.negate {
		return x == y
	}
	if a.negate {
		return false
	}
	switch a.op {
	case "startsWith":
		return !strings.HasPrefix(x, y) && !strings.HasPrefix(y, x)
	case "endsWith":
		return !strings.HasSuffix(x, y) && !strings.HasSuffix(y, x)
	}
	return false
}

// least are the smallest values of the fields that are numbers.
var least = map[string]int{"count": 0, "occurrences": 1}

// someNumber says whether a whole number can meet all atoms.
func someNumber(field string, all []atom) bool {
	low, high := math.MinInt, math.MaxInt
	if l, ok := least[field]; ok {
		low = l
	}
	var not []int
	for _, a := range all {
		op := a.op
		if a.negate {
			op = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!="}[op]
		}
		switch op {
		case "<":
			high = min(high, a.number-1)
		case "<=":
			high = min(high, a.number)
		case ">":
			low = max(low, a.number+1)
		case ">=":
			low = max(low, a.number)
		case "==":
			low, high = max(low, a.number), min(high, a.number)
		case "!=":
			not = append(not, a.number)
		}
	}
	return low <= high && (low != high || !slices.Contains(not, low))
}

// gapFields finds a wish for a gap's fields in what is no gap.
func gapFields(way []atom) *finding {
	var gap *atom
	for i, a := range way {
		if strings.HasPrefix(a.field, "gap.") && !a.negate && !a.isInt && a.op == "==" && a.values[0] != "" {
			gap = &way[i]
		}
	}
	if gap == nil {
		return nil
	}
	for _, a := range way {
		if (a.field == "event_type" || a.field == "reason") && !a.holds("gap") || a.field == "kind" && !a.holds("") {
			return &finding{place(a), fmt.Sprintf("only a gap meets %s, and no gap meets %s", gap, a)}
		}
	}
	return nil
}
