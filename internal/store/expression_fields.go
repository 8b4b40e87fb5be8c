package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
)

type kind uint8

const (
	kindText   kind = iota // one of some values, in its case
	kindLabel              // a text below a flattened field
	kindWords              // the message
	kindNumber             //
	kindTime               //
	kindTruth              //
)

// target is what a condition is about.
type target struct {
	name   string   // as it was written
	path   []string // in the document
	kind   kind
	column string // of SQLite, "" for none
	lower  bool
}

func (t target) dotted() string { return strings.Join(t.path, ".") }

// The short names beside those of Fields, for what the language can compare and a Filter can't.
var shortNames = []Field{
	{Name: "time", Path: "@timestamp", Help: "when it happened: RFC 3339, or now-1h"},
	{Name: "message", Path: "message", Help: "the message's words"},
	{Name: "count", Path: "kubernetes.event.count", Help: "how often the event had happened"},
	{Name: "level", Path: "log.level", Help: "info, warning or error"},
	{Name: "container", Path: "container.name", Help: "the container"},
	{Name: "image", Path: "container.image.name", Help: "the container's image"},
	{Name: "exit_code", Path: "process.exit_code", Help: "the exit code of a container that ended"},
	{Name: "provider", Path: "event.provider", Help: "the component that reported it"},
	{Name: "zone", Path: "cloud.availability_zone", Help: "the node's zone"},
	{Name: "label", Path: "kubernetes.labels", Help: "label.<key>: a label of the involved object"},
	{Name: "annotation", Path: "kubernetes.annotations", Help: "annotation.<key>: an annotation of the involved object"},
}

// ExpressionFields lists the short names of the query language. The caller owns the slice.
func ExpressionFields() []Field { return append(Fields(), shortNames...) }

// mapped is the type of every field of the mapping that both stores can compare.
var mapped = sync.OnceValue(func() map[string]string {
	var root struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(mappingJSON, &root); err != nil {
		panic(fmt.Sprintf("decoding mapping.json: %v", err)) // it is embedded
	}
	types := map[string]string{}
	collect(types, "", root.Properties)
	return types
})

func collect(types map[string]string, prefix string, properties map[string]json.RawMessage) {
	for name, raw := range properties {
		var field struct {
			Type       string                     `json:"type"`
			Index      *bool                      `json:"index"`
			Properties map[string]json.RawMessage `json:"properties"`
		}
		if err := json.Unmarshal(raw, &field); err != nil {
			panic(fmt.Sprintf("decoding mapping.json: %v", err))
		}
		switch {
		case name == "owners": // a list of objects
		case field.Properties != nil:
			collect(types, prefix+name+".", field.Properties)
		case field.Index == nil || *field.Index:
			types[prefix+name] = field.Type
		}
	}
}

// targetOf finds a field by its short name or its name in the document.
func targetOf(name string) (target, error) {
	for _, f := range fields {
		if name == f.Name || name == f.Path {
			return target{name: name, path: strings.Split(f.Path, "."), column: f.Name, lower: f.Lower}, nil
		}
	}
	path := name
	for _, f := range shortNames {
		keys := mapped()[f.Path] == "flattened" // label.app is kubernetes.labels.app
		if rest, ok := strings.CutPrefix(name, f.Name); ok && (rest == "" || keys && rest[0] == '.') {
			path = f.Path + rest
			break
		}
	}
	t := target{name: name, path: strings.Split(path, ".")}
	switch kind := mapped()[path]; {
	case path == "@timestamp":
		t.kind, t.column = kindTime, "time"
	case path == "message":
		t.kind = kindWords
	case kind == "keyword":
	case kind == "long":
		t.kind = kindNumber
	case kind == "boolean":
		t.kind = kindTruth
	case kind == "flattened":
		return target{}, fmt.Errorf("%s has keys: write %s.<key>", name, name)
	case kind != "":
		return target{}, fmt.Errorf("%s can't be compared: it is a %s", name, kind)
	default:
		return labelOf(t, path)
	}
	return t, nil
}

// labelOf finds a key below a flattened field.
func labelOf(t target, path string) (target, error) {
	for field, kind := range mapped() {
		if key, ok := strings.CutPrefix(path, field+"."); ok && kind == "flattened" && key != "" {
			if strings.ContainsAny(key, `"\`) || strings.ContainsFunc(key, unicode.IsControl) {
				return target{}, fmt.Errorf("%q is no key of a label", key)
			}
			t.kind, t.path = kindLabel, append(strings.Split(field, "."), key)
			return t, nil
		}
	}
	return target{}, fmt.Errorf("there is no field %s: use one of %s, or a name of the document's mapping", t.name, expressionNames())
}

func expressionNames() string {
	var names []string
	for _, f := range ExpressionFields() {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
