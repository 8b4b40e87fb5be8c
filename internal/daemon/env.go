package daemon

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// serviceLink matches the variables that Kubernetes puts into every pod of a namespace for each Service: one named
// "kubescribe" or "kubescribe-…" must not stop our own pods.
var serviceLink = regexp.MustCompile(`^KUBESCRIBE_(.+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// tooling matches the variables of our own test harness, which the processes that it starts inherit.
var tooling = regexp.MustCompile(`^KUBESCRIBE_(CACHE|(TEST|E2E|STACK|BENCH)(_.*)?)$`)

// readEnv finds the keys that the environment sets, by path. environ is as os.Environ gives it.
func readEnv(environ []string, root *node) (map[string]any, []error) {
	known := map[string]*node{}
	var index func(n *node)
	index = func(n *node) {
		if n.key.Env != "" && n.children == nil {
			known[n.key.Env] = n
		}
		for _, c := range n.children {
			index(c)
		}
	}
	index(root)

	out := map[string]any{}
	var problems []error
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		n := known[name]
		if n == nil {
			if !ignored(name, value) {
				problems = append(problems, fmt.Errorf("environment: unknown variable %s%s", name, suggest(name, slices.Sorted(keysOf(known)))))
			}
			continue
		}
		v, err := fromText(value, n)
		if err != nil {
			problems = append(problems, fmt.Errorf("environment: %s: %w", name, err))
			continue
		}
		out[n.key.Path] = v
	}
	return out, problems
}

func ignored(name, value string) bool {
	if tooling.MatchString(name) {
		return true
	}
	// KUBESCRIBE_X_PORT could be a setting that somebody mistyped; Kubernetes' own has an address or a port for a value.
	return serviceLink.MatchString(name) && (strings.Contains(name, "_SERVICE_") || strings.Contains(name, "_PORT_") || strings.Contains(value, "://"))
}

// fromText is the value of n that a variable or a flag gives as text.
func fromText(value string, n *node) (any, error) {
	into := reflect.New(n.key.Type)
	if value == "" && n.key.Type.Kind() != reflect.String && n.key.Type.Kind() != reflect.Slice {
		return nil, fmt.Errorf("is empty: want %s", typeName(n.key.Type))
	}
	if err := decode(value, into.Interface(), true); err != nil {
		if n.key.Secret {
			return nil, fmt.Errorf("want %s", typeName(n.key.Type))
		}
		return nil, err
	}
	return into.Elem().Interface(), nil
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
