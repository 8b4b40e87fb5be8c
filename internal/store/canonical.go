package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Difference is one place at which what Elasticsearch has is not what kubescribe would write. Nil means that there is nothing.
type Difference struct {
	Path string `json:"path"`
	Have any    `json:"have"`
	Want any    `json:"want"`
}

// canonical gives a policy or template the one form that it has on both ways, to the engine and back: without _meta, settings flat
// and in strings, no empty lists.
func canonical(body any) (map[string]any, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	if p, ok := m["policy"].(map[string]any); ok {
		m = p
	}
	delete(m, "_meta")
	maps.DeleteFunc(m, func(_ string, v any) bool { list, ok := v.([]any); return ok && len(list) == 0 })
	if t, ok := m["template"].(map[string]any); ok {
		if s, ok := t["settings"].(map[string]any); ok {
			flat := map[string]any{}
			flatten(flat, "", s)
			t["settings"] = flat
		}
		if s, ok := t["mappings"].(map[string]any); ok {
			delete(s, "_meta")
		}
	}
	return m, nil
}

// flatten writes the settings below path as the engine names them.
func flatten(into map[string]any, path string, settings map[string]any) {
	for k, v := range settings {
		k = strings.TrimPrefix(path+"."+k, ".")
		switch v := v.(type) {
		case map[string]any:
			flatten(into, k, v)
		case []any:
			list := make([]any, len(v))
			for i := range v {
				list[i] = fmt.Sprint(v[i])
			}
			into[k] = list
		default:
			into[k] = fmt.Sprint(v)
		}
	}
}

// contentHash identifies the content of a policy or template in its canonical form.
func contentHash(content map[string]any) (string, error) {
	b, err := json.Marshal(content) // the keys are sorted
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), nil
}

// differences lists where two canonical contents differ, in the order of their paths.
func differences(have, want map[string]any) []Difference {
	var all []Difference
	compareAt("", have, want, &all)
	return all
}

func compareAt(path string, have, want map[string]any, all *[]Difference) {
	keys := map[string]bool{}
	for k := range have {
		keys[k] = true
	}
	for k := range want {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		h, w := have[k], want[k]
		at := strings.TrimPrefix(path+"."+k, ".")
		hm, hIs := h.(map[string]any)
		wm, wIs := w.(map[string]any)
		switch {
		case hIs && wIs:
			compareAt(at, hm, wm, all)
		case !reflect.DeepEqual(h, w):
			*all = append(*all, Difference{at, h, w})
		}
	}
}
