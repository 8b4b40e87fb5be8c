package store

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Holds evaluates e on a document in plain Go, as a reference for both stores.
func (e Expression) Holds(body []byte) bool {
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		panic(err)
	}
	return e.root == nil || e.root.holds(doc)
}

func (c *condition) holds(doc map[string]any) bool {
	message, _ := doc["message"].(string)
	have := words(message)
	switch c.op {
	case opAnd:
		return !slices.ContainsFunc(c.parts, func(p *condition) bool { return !p.holds(doc) })
	case opOr:
		return slices.ContainsFunc(c.parts, func(p *condition) bool { return p.holds(doc) })
	case opNot:
		return !c.parts[0].holds(doc)
	case opWords:
		return !slices.ContainsFunc(words(c.values[0].pieces[0]), func(w string) bool { return !slices.Contains(have, w) })
	case opPhrase:
		want := words(c.values[0].pieces[0])
		for i := range have {
			if i+len(want) <= len(have) && slices.Equal(have[i:i+len(want)], want) {
				return true
			}
		}
		return false
	case opPrefix:
		return slices.ContainsFunc(have, func(w string) bool { return strings.HasPrefix(w, words(c.values[0].pieces[0])[0]) })
	}
	found := c.target.of(doc)
	if c.op == opExists {
		return len(found) > 0
	}
	return slices.ContainsFunc(found, func(v any) bool {
		return slices.ContainsFunc(c.values, func(want value) bool { return c.compare(v, want) })
	})
}

// of are the target's values in doc.
func (t target) of(doc map[string]any) []any {
	var at any = doc
	for _, name := range t.path {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		if at, ok = m[name]; !ok {
			return nil
		}
	}
	if list, ok := at.([]any); ok {
		return list
	}
	return []any{at}
}

func (c *condition) compare(have any, want value) bool {
	order := 0
	switch c.target.kind {
	case kindNumber:
		order = int(have.(float64)) - int(want.number)
	case kindTime:
		t, err := time.Parse(time.RFC3339Nano, have.(string))
		if err != nil {
			panic(err)
		}
		order = t.Compare(want.time)
	case kindTruth:
		return have == want.truth
	default:
		quoted := make([]string, len(want.pieces))
		for i, p := range want.pieces {
			quoted[i] = regexp.QuoteMeta(p)
		}
		return regexp.MustCompile("^(?s:" + strings.Join(quoted, ".*") + ")$").MatchString(have.(string))
	}
	switch c.op {
	case opLess:
		return order < 0
	case opAtMost:
		return order <= 0
	case opMore:
		return order > 0
	case opAtLeast:
		return order >= 0
	}
	return order == 0
}

// RandomExpression makes one out of the conditions given.
func RandomExpression(r *rand.Rand, conditions []string, depth int) string {
	if depth == 0 || r.IntN(3) == 0 {
		return conditions[r.IntN(len(conditions))]
	}
	sub := func() string { return RandomExpression(r, conditions, depth-1) }
	switch r.IntN(5) {
	case 0:
		return "not " + "(" + sub() + ")"
	case 1:
		return fmt.Sprintf("(%s) or not (%s)", sub(), sub())
	case 2:
		return fmt.Sprintf("(%s or %s)", sub(), sub())
	case 3:
		return fmt.Sprintf("(%s) %s", sub(), sub())
	}
	return fmt.Sprintf("%s AND (%s)", sub(), sub())
}
