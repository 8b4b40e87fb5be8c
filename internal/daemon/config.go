package daemon

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Sources are where Load reads from, in the order in which the later wins. The defaults are what target holds.
type Sources struct {
	// File is the path of a YAML file; "" for none.
	File string
	// Environ is as os.Environ gives it.
	Environ []string
	// Flags are the values of the flags that were set, by key path.
	Flags map[string]string
}

// Load fills target, a pointer to a struct with koanf tags that holds the defaults, from the sources. It reports every
// problem at once, each with the file and line, the variable or the flag that it is in, as one UsageError; target then
// holds what could be read, so that the caller can report what is wrong with that in the same breath. It does not validate
// values: the sections' own Validate does.
func Load(target any, s Sources) error {
	root := tree(reflect.TypeOf(target))
	k := koanf.New(".")
	var problems []error
	load := func(p koanf.Provider) {
		if err := k.Load(p, nil); err != nil {
			problems = append(problems, fmt.Errorf("merging the configuration: %w", err))
		}
	}
	load(confmap.Provider(nested(reflect.ValueOf(target)).(map[string]any), ""))
	if s.File != "" {
		values, bad := readFile(s.File, root)
		problems = append(problems, bad...)
		load(confmap.Provider(values, ""))
	}
	values, bad := readEnv(s.Environ, root)
	problems = append(problems, bad...)
	load(confmap.Provider(values, "."))
	values, bad = readFlags(s.Flags, root)
	problems = append(problems, bad...)
	load(confmap.Provider(values, "."))

	if err := k.UnmarshalWithConf("", target, koanf.UnmarshalConf{DecoderConfig: decoderConfig(target, false)}); err != nil {
		problems = append(problems, fmt.Errorf("reading the configuration: %w", err))
	}
	if len(problems) > 0 {
		return &UsageError{Err: errors.Join(problems...)}
	}
	return nil
}

func readFlags(flags map[string]string, root *node) (map[string]any, []error) {
	byPath := map[string]*node{}
	var index func(n *node)
	index = func(n *node) {
		if n.children == nil {
			byPath[n.key.Path] = n
		}
		for _, c := range n.children {
			index(c)
		}
	}
	index(root)
	out := map[string]any{}
	var problems []error
	for _, path := range slices.Sorted(keysOf(flags)) {
		value := flags[path]
		n := byPath[path]
		if n == nil {
			problems = append(problems, fmt.Errorf("a flag sets %s, which is no key", path))
			continue
		}
		v, err := fromText(value, n)
		if err != nil {
			problems = append(problems, fmt.Errorf("flag for %s: %w", path, err))
			continue
		}
		out[path] = v
	}
	return out, problems
}

// nested is v as koanf merges it: sections and free maps by key, everything else whole.
func nested(v reflect.Value) any {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Struct && !v.Type().Implements(textMarshaler):
		out := map[string]any{}
		for f := range fields(v.Type()) {
			out[f.name] = nested(v.FieldByIndex(f.Index))
		}
		return out
	case v.Kind() == reflect.Map:
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			out[k.String()] = nested(v.MapIndex(k))
		}
		return out
	}
	return v.Interface()
}
