// Package compat finds the changes between two versions of a JSON Schema that break somebody.
//
// Two sides can break. A reader that was written against the released schema meets records of the new writer; and records
// of the old writer, which stay on the topics for weeks and in the indices for months, meet readers of the new schema. So
// within one version of the contracts just this is allowed: to add a property that need not be there, to add a
// definition, and to change what only people read. Everything else is a break, the addition of an enum's value included: a set
// that will grow has examples, not an enum.
//
// It is pure, and knows the keywords that the generator writes; a keyword that it does not know is compared as it is.
package compat

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Breaks lists every change from released to current that breaks a reader or makes an old record invalid, each with the
// path of what changed. An error means that one of the two is no JSON Schema of the generator's.
func Breaks(released, current []byte) ([]string, error) {
	c := comparison{seen: map[[2]string]bool{}}
	if err := json.Unmarshal(released, &c.oldRoot); err != nil {
		return nil, fmt.Errorf("decoding the released schema: %w", err)
	}
	if err := json.Unmarshal(current, &c.newRoot); err != nil {
		return nil, fmt.Errorf("decoding the current schema: %w", err)
	}
	c.schema("", c.oldRoot, c.newRoot)
	return c.breaks, c.err
}

// annotations are the keywords that change nothing for a machine, and those that only hold what others refer to.
var annotations = []string{"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "deprecated"}

type comparison struct {
	oldRoot, newRoot map[string]any
	seen             map[[2]string]bool // pairs of references, so that a recursive type ends
	breaks           []string
	err              error
}

func (c *comparison) addf(path, format string, args ...any) {
	if path == "" {
		path = "(the value)"
	}
	c.breaks = append(c.breaks, path+": "+fmt.Sprintf(format, args...))
}

func (c *comparison) schema(path string, released, current any) {
	before, known := c.resolve(c.oldRoot, released)
	after, ok := c.resolve(c.newRoot, current)
	if !known || !ok {
		if !reflect.DeepEqual(released, current) { // true or false in place of a schema
			c.addf(path, "was %v and is %v", released, current)
		}
		return
	}
	if pair := [2]string{ref(released), ref(current)}; pair != [2]string{} {
		if c.seen[pair] {
			return
		}
		c.seen[pair] = true
	}
	for _, keyword := range union(before, after) {
		was, is := before[keyword], after[keyword]
		switch {
		case keyword == "$ref" || slices.Contains(annotations, keyword):
		case keyword == "properties":
			c.properties(path, object(was), object(is))
		case keyword == "required":
			c.required(path, list(was), list(is))
		case keyword == "enum":
			c.enum(path, list(was), list(is))
		case (keyword == "items" || keyword == "additionalProperties") && was != nil && is != nil:
			c.schema(path+element(keyword), was, is)
		case !reflect.DeepEqual(was, is):
			c.addf(path, "%s was %s and is %s", keyword, text(was), text(is))
		}
	}
}

func (c *comparison) properties(path string, was, is map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(was)) {
		at := strings.TrimPrefix(path+"."+name, ".")
		if is[name] == nil {
			c.addf(at, "is removed: a reader may use it")
			continue
		}
		c.schema(at, was[name], is[name])
	}
}

func (c *comparison) required(path string, was, is []string) {
	for _, name := range is {
		if !slices.Contains(was, name) {
			c.addf(strings.TrimPrefix(path+"."+name, "."), "is newly required: records that are written already lack it")
		}
	}
	for _, name := range was {
		if !slices.Contains(is, name) {
			c.addf(strings.TrimPrefix(path+"."+name, "."), "is no longer required: a reader may rely on it")
		}
	}
}

func (c *comparison) enum(path string, was, is []string) {
	switch {
	case was == nil:
		c.addf(path, "is newly limited to %q", is)
		return
	case is == nil:
		c.addf(path, "is no longer limited to %q", was)
		return
	}
	for _, v := range was {
		if !slices.Contains(is, v) {
			c.addf(path, "value %q is removed: records that are written already have it", v)
		}
	}
	for _, v := range is {
		if !slices.Contains(was, v) {
			c.addf(path, "value %q is added: a reader may know the released values only", v)
		}
	}
}

// resolve follows a reference into the root's definitions, and says whether the result is a schema that is an object.
func (c *comparison) resolve(root map[string]any, s any) (map[string]any, bool) {
	m, ok := s.(map[string]any)
	if !ok {
		return nil, false
	}
	name := ref(m)
	if name == "" {
		return m, true
	}
	def, ok := object(root["$defs"])[strings.TrimPrefix(name, "#/$defs/")].(map[string]any)
	if !ok && c.err == nil {
		c.err = fmt.Errorf("reference %q leads nowhere", name)
	}
	return def, ok
}

func ref(s any) string {
	name, _ := object(s)["$ref"].(string)
	return name
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func list(v any) []string {
	l, ok := v.([]any)
	if !ok {
		return nil
	}
	out := make([]string, len(l))
	for i, e := range l {
		out[i] = fmt.Sprint(e)
	}
	return out
}

func union(a, b map[string]any) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

func element(keyword string) string {
	if keyword == "items" {
		return "[]"
	}
	return ".*"
}

func text(v any) string {
	if v == nil {
		return "not there"
	}
	b, _ := json.Marshal(v)
	return string(b)
}
