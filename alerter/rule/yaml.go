package rule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// file reads one YAML file and gathers its problems. Its methods return ok=false after noting why.
type file struct {
	name     string
	problems []Problem
}

func (f *file) at(tok *token.Token, format string, args ...any) {
	p := Problem{File: f.name, Message: fmt.Sprintf(format, args...)}
	if tok != nil && tok.Position != nil {
		p.Line, p.Column = tok.Position.Line, tok.Position.Column
	}
	f.problems = append(f.problems, p)
}

// parse returns the roots of the file's documents.
func (f *file) parse(data []byte) []ast.Node {
	parsed, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) {
			f.at(e.GetToken(), "%s", e.GetMessage())
		} else {
			f.at(nil, "%s", err)
		}
		return nil
	}
	var roots []ast.Node
	for _, d := range parsed.Docs {
		if d.Body != nil && d.Body.Type() != ast.NullType && d.Body.Type() != ast.CommentType {
			roots = append(roots, d.Body)
		}
	}
	return roots
}

// fields are the keys that a mapping may have.
type fields map[string]func(ast.Node)

// mapping calls the function of each key of n in the order of the file; unknown and repeated keys are problems.
func (f *file) mapping(n ast.Node, what string, known fields) {
	seen := map[string]bool{}
	for key, value := range f.pairs(n, what) {
		name := key.Value
		read, ok := known[name]
		switch {
		case !ok:
			names := make([]string, 0, len(known))
			for k := range known {
				names = append(names, k)
			}
			slices.Sort(names)
			f.at(key, "%s: unknown key %q: known are %s", what, name, strings.Join(names, ", "))
		case seen[name]:
			f.at(key, "%s: key %q is there twice", what, name)
		default:
			seen[name] = true
			read(value)
		}
	}
}

// pairs yields each key's token and value of the mapping n.
func (f *file) pairs(n ast.Node, what string) func(yield func(*token.Token, ast.Node) bool) {
	return func(yield func(*token.Token, ast.Node) bool) {
		var values []*ast.MappingValueNode
		switch m := unwrap(n).(type) {
		case *ast.MappingNode:
			values = m.Values
		case *ast.MappingValueNode:
			values = []*ast.MappingValueNode{m}
		default:
			f.at(n.GetToken(), "%s: is no mapping (key: value)", what)
			return
		}
		for _, v := range values {
			if !yield(v.Key.GetToken(), v.Value) {
				return
			}
		}
	}
}

// list yields the elements of the sequence n.
func (f *file) list(n ast.Node, what string) []ast.Node {
	s, ok := unwrap(n).(*ast.SequenceNode)
	if !ok {
		f.at(n.GetToken(), "%s: is no list", what)
		return nil
	}
	return s.Values
}

// text is a scalar and where it stands, so that positions inside of it can be turned into positions of the file.
type text struct {
	value string
	line  int
	// column is that of the first character; in a block every line starts there.
	column int
	// flow is set when the text's own lines don't follow the file's: folded, or quoted over several lines.
	flow bool
	tok  *token.Token
}

// place turns a position within t (both from 1) into a position of the file.
func (t text) place(line, column int) (int, int) {
	switch {
	case t.flow || line < 1:
		return t.line, t.column
	case column < 1:
		column = 1
	}
	return t.line + line - 1, t.column + column - 1
}

func (f *file) in(t text, line, column int, format string, args ...any) {
	l, c := t.place(line, column)
	f.problems = append(f.problems, Problem{File: f.name, Line: l, Column: c, Message: fmt.Sprintf(format, args...)})
}

// scalar reads a text. Numbers and booleans count as the text that was written.
func (f *file) scalar(n ast.Node, what string) (text, bool) {
	tok := n.GetToken()
	switch v := unwrap(n).(type) {
	case *ast.StringNode:
		t := text{value: v.Value, line: tok.Position.Line, column: tok.Position.Column, tok: tok}
		if tok.Type == token.SingleQuoteType || tok.Type == token.DoubleQuoteType {
			t.column++
		}
		t.flow = strings.Contains(strings.TrimSpace(tok.Origin)+v.Value, "\n")
		return t, true
	case *ast.LiteralNode:
		t := text{value: v.Value.Value, line: v.Start.Position.Line + 1, tok: tok}
		t.column = 1 + indentOf(v.Value.GetToken().Origin) - indentOf(v.Value.Value)
		t.flow = strings.HasPrefix(v.Start.Value, ">")
		return t, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return text{value: tok.Value, line: tok.Position.Line, column: tok.Position.Column, tok: tok}, true
	case *ast.NullNode:
		f.at(tok, "%s: is empty", what)
	default:
		f.at(tok, "%s: is no text", what)
	}
	return text{}, false
}

// indentOf is the indentation of the first line with text.
func indentOf(block string) int {
	for line := range strings.SplitSeq(block, "\n") {
		if t := strings.TrimLeft(line, " "); t != "" {
			return len(line) - len(t)
		}
	}
	return 0
}

func (f *file) scalars(n ast.Node, what string) []text {
	var all []text
	for _, e := range f.list(n, what) {
		if t, ok := f.scalar(e, what); ok {
			all = append(all, t)
		}
	}
	return all
}

func (f *file) number(n ast.Node, what string, lowest, highest int64) int64 {
	t, ok := f.scalar(n, what)
	if !ok {
		return lowest
	}
	v, err := strconv.ParseInt(t.value, 10, 64)
	if err != nil || v < lowest || v > highest {
		f.at(t.tok, "%s: %q is no whole number from %d to %d", what, t.value, lowest, highest)
		return lowest
	}
	return v
}

func (f *file) duration(n ast.Node, what string, longest time.Duration) time.Duration {
	t, ok := f.scalar(n, what)
	if !ok {
		return 0
	}
	d, err := parseDuration(t.value)
	switch {
	case err != nil:
		f.at(t.tok, "%s: %q is no duration: write it like 30s, 5m, 1h30m or 1d", what, t.value)
		return 0
	case d <= 0 || d > longest:
		f.at(t.tok, "%s: %s is out of range: more than 0 and at most %s are allowed", what, t.value, longest)
		return 0
	}
	return d
}

// parseDuration reads Go's durations, and whole days and weeks as in Prometheus' rule files.
func parseDuration(s string) (time.Duration, error) {
	day := 24 * time.Hour
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if num, ok := strings.CutSuffix(s, suffix); ok {
			v, err := strconv.ParseUint(num, 10, 16)
			if err != nil {
				return 0, fmt.Errorf("parsing duration %q: %w", s, err)
			}
			return time.Duration(v) * unit, nil
		}
	}
	return time.ParseDuration(s)
}

// unwrap removes an anchor's or a tag's wrapping.
func unwrap(n ast.Node) ast.Node {
	for {
		switch w := n.(type) {
		case *ast.AnchorNode:
			n = w.Value
		case *ast.TagNode:
			n = w.Value
		default:
			return n
		}
	}
}
