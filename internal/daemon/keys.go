package daemon

import (
	"encoding"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Key is one setting of a configuration.
type Key struct {
	// Path is the key as the file nests it, joined by dots: "kafka.tls.ca_file". Keys of a list's elements have "[]" in
	// it, those of a free map "*".
	Path string
	Type reflect.Type
	// Env is the variable that sets it, or "" if none can: elements of lists and maps have none.
	Env string
	// Secret values are never shown.
	Secret bool
	// Owner and Field are the struct and its field, for the generated reference.
	Owner reflect.Type
	Field string
	// Default is the value in the struct that Keys was given, as YAML on one line; "" for elements of lists and maps.
	Default string
}

// node is one place in the tree of known keys. A section has children; a list or map of sections has an element; a leaf
// has neither.
type node struct {
	key      Key
	children map[string]*node
	order    []string
	elem     *node
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// tree is the tree of the keys that the fields tagged koanf of t name. A field without the tag, or tagged "-", is no key.
func tree(t reflect.Type) *node { return build(t, Key{}, true) }

func build(t reflect.Type, k Key, env bool) *node {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	k.Type = t
	n := &node{key: k}
	switch {
	case t.Kind() == reflect.Struct && !t.Implements(textMarshaler):
		n.children = map[string]*node{}
		for f := range fields(t) {
			child := Key{Path: join(k.Path, f.name), Owner: t, Field: f.Name, Secret: f.Tag.Get("secret") == "true"}
			n.children[f.name] = build(f.Type, child, env)
			n.order = append(n.order, f.name)
		}
		return n
	case t.Kind() == reflect.Map:
		n.elem = build(t.Elem(), Key{Path: join(k.Path, "*")}, false)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		n.elem = build(t.Elem(), Key{Path: k.Path + "[]"}, false)
	default:
		n.key.Secret = n.key.Secret || hidesItself(t)
	}
	if n.elem != nil && n.elem.children == nil && n.elem.elem == nil && t.Kind() == reflect.Slice {
		n.elem = nil // a list of plain values is a leaf
	}
	if env && n.elem == nil && k.Path != "" {
		n.key.Env = envName(k.Path)
	}
	return n
}

// hidesItself says whether t is a string that shows itself as something else.
func hidesItself(t reflect.Type) bool {
	if t.Kind() != reflect.String || !t.Implements(textMarshaler) {
		return false
	}
	v := reflect.New(t).Elem()
	v.SetString("probe")
	text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	return err == nil && string(text) != "probe"
}

type field struct {
	reflect.StructField
	name string
}

// fields yields the fields of t that are keys.
func fields(t reflect.Type) func(func(field) bool) {
	return func(yield func(field) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("koanf"), ",")
			if !f.IsExported() || name == "" || name == "-" {
				continue
			}
			if !yield(field{f, name}) {
				return
			}
		}
	}
}

// Keys lists the settings of the configuration that target points to, in the order of its fields, those of list elements
// and map values included.
func Keys(target any) []Key {
	var out []Key
	var walk func(n *node, v reflect.Value)
	walk = func(n *node, v reflect.Value) {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if n.children == nil && n.key.Path != "" {
			k := n.key
			k.Default = oneLine(v, k.Secret)
			out = append(out, k)
		}
		for _, name := range n.order {
			c := n.children[name]
			field := reflect.Value{}
			if v.IsValid() {
				field = v.FieldByName(c.key.Field)
			}
			walk(c, field)
		}
		if n.elem != nil && n.elem.children != nil {
			walk(n.elem, reflect.Value{})
		}
	}
	walk(tree(reflect.TypeOf(target)), reflect.ValueOf(target))
	return out
}

func oneLine(v reflect.Value, secret bool) string {
	if !v.IsValid() {
		return ""
	}
	y, err := encode(v, secret)
	if err != nil {
		return ""
	}
	y.Style |= yaml.FlowStyle
	b, err := yaml.Marshal(y)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// EnvPrefix begins the name of every variable that sets a key.
const EnvPrefix = "KUBESCRIBE_"

func envName(path string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}
