package store

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCursorRoundTrip(t *testing.T) {
	for _, want := range []cursor{{1, "a/1/b/2"}, {0, " with blanks "}, {maxTime.UnixNano() - 1, "日本"}} {
		got, err := parseCursor(want.String())
		require.NoError(t, err)
		assert.Equal(t, want, *got)
	}
	for _, s := range []string{"x", "====", "MTIz", "IA", "MSA", "LTEgYQ", strings.Repeat("QUFB", 1000)} {
		_, err := parseCursor(s)
		assert.Error(t, err, s)
	}
}

func TestValidateNamesEveryProblem(t *testing.T) {
	now := time.Now()
	err := Query{
		From: now, To: now.Add(-1), Text: strings.Repeat("x", maxText+1), Limit: MaxLimit + 1, After: "?",
		Filters: []Filter{{Field: "nope", Values: []string{"x"}}, {Field: "name", Values: []string{""}}},
	}.Validate()
	found := map[string]bool{}
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var q *QueryError
		require.True(t, errors.As(e, &q))
		found[q.Field] = true
	}
	assert.Equal(t, map[string]bool{"from": true, "q": true, "limit": true, "after": true, "nope": true, "name": true}, found)
}

// A query that is valid becomes SQL whose placeholders fit its arguments, and Elasticsearch's JSON.
func FuzzQuery(f *testing.F) {
	f.Add(int64(0), int64(math.MaxInt64), "image pull", "namespace", "default", "", 10)
	f.Add(int64(-5), int64(5), "NOT \"a", "kind", "Pod", cursor{5, "x"}.String(), 1000)
	f.Fuzz(func(t *testing.T, from, to int64, text, field, value, after string, limit int) {
		q := Query{From: time.Unix(from/1e9, from%1e9), To: time.Unix(to/1e9, to%1e9), Text: text, After: after, Limit: limit, Filters: []Filter{{field, []string{value, value}}}}
		if q.Validate() != nil {
			return
		}
		where, args := q.where()
		if n := strings.Count(strings.Join(where, " "), "?"); n != len(args) {
			t.Fatalf("%d placeholders for %d arguments", n, len(args))
		}
		if strings.ContainsAny(strings.Join(where, " "), "\"';\\") {
			t.Fatalf("text of the user in SQL: %q", where)
		}
		if _, err := json.Marshal(q.elastic()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFieldsAreInTheMappingAsKeywords(t *testing.T) {
	types := mappedTypes(t)
	for _, f := range Fields() {
		assert.Equal(t, "keyword", types[f.Path], f.Path)
		assert.NotEmpty(t, f.Help)
	}
}
