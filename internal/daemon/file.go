package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readFile reads a YAML file against the tree of known keys. It returns what the file sets, nested, without keys that have
// no value (they keep their defaults), and every problem with its line.
func readFile(path string, root *node) (map[string]any, []error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, []error{fmt.Errorf("opening the configuration: %w", err)}
	}
	defer f.Close()
	var doc yaml.Node
	dec := yaml.NewDecoder(f)
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil // an empty file sets nothing
	case err != nil:
		return nil, []error{fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, []error{fmt.Errorf("%s: has more than one document: keep one", path)}
	}
	r := fileReader{file: path}
	out := r.section(doc.Content[0], root)
	return out, r.problems
}

type fileReader struct {
	file     string
	problems []error
}

func (r *fileReader) bad(n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s:%d: %w", r.file, n.Line, fmt.Errorf(format, args...)))
}

func (r *fileReader) section(y *yaml.Node, n *node) map[string]any {
	y = resolve(y)
	if empty(y) {
		return nil
	}
	if y.Kind != yaml.MappingNode {
		r.bad(y, "%s: want a section (keys with values)", at(n.key.Path))
		return nil
	}
	out, lines := map[string]any{}, map[string]int{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		name, value := y.Content[i], resolve(y.Content[i+1])
		child := n.children[name.Value]
		if child == nil {
			r.bad(name, "unknown key %s%s", join(n.key.Path, name.Value), suggestPath(n, name.Value))
			continue
		}
		if first, twice := lines[name.Value]; twice {
			r.bad(name, "%s: is set in line %d already", child.key.Path, first)
			continue
		}
		lines[name.Value] = name.Line
		if v, ok := r.value(value, child); ok {
			out[name.Value] = v
		}
	}
	return out
}

// value is what y sets n to; false if it sets nothing.
func (r *fileReader) value(y *yaml.Node, n *node) (any, bool) {
	switch {
	case empty(y):
		return nil, false
	case n.children != nil:
		section := r.section(y, n)
		return section, section != nil
	case n.elem != nil:
		if !r.elements(y, n) {
			return nil, false
		}
	}
	var v any
	if err := y.Decode(&v); err != nil {
		r.bad(y, "%s: %s", n.key.Path, strings.TrimPrefix(err.Error(), "yaml: "))
		return nil, false
	}
	into := reflect.New(n.key.Type)
	if err := decode(v, into.Interface(), false); err != nil {
		r.bad(y, "%s: %w", n.key.Path, err)
		return nil, false
	}
	if n.elem != nil && n.key.Type.Kind() == reflect.Map {
		return withoutNil(v), true // by key, so that the keys that it leaves out keep their defaults
	}
	return into.Elem().Interface(), true
}

func withoutNil(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for k, e := range m {
		if e == nil {
			delete(m, k)
		} else {
			m[k] = withoutNil(e)
		}
	}
	return m
}

// elements checks the keys inside a list or map of sections.
func (r *fileReader) elements(y *yaml.Node, n *node) bool {
	before := len(r.problems)
	switch {
	case n.elem.children == nil:
	case n.key.Type.Kind() == reflect.Map && y.Kind == yaml.MappingNode:
		for i := 1; i < len(y.Content); i += 2 {
			r.section(y.Content[i], n.elem)
		}
	case n.key.Type.Kind() == reflect.Slice && y.Kind == yaml.SequenceNode:
		for _, e := range y.Content {
			r.section(e, n.elem)
		}
	default:
		r.bad(y, "%s: want %s of sections", n.key.Path, map[bool]string{true: "a list", false: "a map"}[n.key.Type.Kind() == reflect.Slice])
	}
	return len(r.problems) == before
}

func resolve(y *yaml.Node) *yaml.Node {
	for y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	return y
}

func empty(y *yaml.Node) bool { return y.Kind == yaml.ScalarNode && y.Tag == "!!null" }

func at(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// suggestPath suggests a sibling, or the same name in another section.
func suggestPath(n *node, name string) string {
	if s := suggest(name, n.order); s != "" {
		return strings.Replace(s, "mean ", "mean "+join(n.key.Path, ""), 1)
	}
	for _, section := range n.order {
		if c := n.children[section]; c.children[name] != nil {
			return ": did you mean " + join(c.key.Path, name) + "?"
		}
	}
	return ""
}
