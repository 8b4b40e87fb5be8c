package explorer

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
)

var now = time.Date(2026, 6, 18, 12, 0, 0, 0, time.UTC)

func TestParseQuery(t *testing.T) {
	for raw, want := range map[string]store.Query{
		"":                              {},
		"q=&limit=&from":                {},
		"q=back off&limit=7&after=MSBh": {Text: "back off", Limit: 7, After: "MSBh"},
		"from=2026-06-01T00:00:00.000000001Z&to=2026-06-02T02:00:00%2B02:00": {
			From: time.Date(2026, 6, 1, 0, 0, 0, 1, time.UTC), To: time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC),
		},
		"from=90m&to=1h30s": {From: now.Add(-90 * time.Minute), To: now.Add(-time.Hour - 30*time.Second)},
		"from=7d":           {From: now.AddDate(0, 0, -7)},
		"reason=BackOff&namespace=a&namespace=b&namespace=": {Filters: []store.Filter{
			{Field: "namespace", Values: []string{"a", "b"}}, {Field: "reason", Values: []string{"BackOff"}},
		}},
	} {
		params, err := url.ParseQuery(raw)
		require.NoError(t, err)
		got, err := parseQuery(params, now)
		require.NoError(t, err, raw)
		assert.True(t, want.From.Equal(got.From) && want.To.Equal(got.To), raw)
		want.From, want.To, got.From, got.To = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		assert.Equal(t, want, got, raw)
	}
}

func TestParseQueryReadsAnExpression(t *testing.T) {
	q, err := parseQuery(url.Values{"where": {"type:Warning and time > now-1h"}, "q": {"x"}}, now)
	require.NoError(t, err)
	assert.Equal(t, `(type:(Warning) and time > "2026-06-18T11:00:00Z")`, q.Where.String())
	_, err = parseQuery(url.Values{"where": {"nope:1"}}, now)
	fields, ok := problems(err)
	require.True(t, ok)
	assert.Contains(t, fields["where"], "column 1: there is no field nope")
}

func TestParseQueryNamesEveryProblem(t *testing.T) {
	for raw, want := range map[string][]string{
		"limit=0":                           {"limit"},
		"limit=x":                           {"limit"},
		"limit=1001":                        {"limit"},
		"limit=1&limit=2":                   {"limit"},
		"where=a and&limit=0":               {"limit", "where"},
		"where=a&where=b":                   {"where"},
		"from=yesterday&to=-1h&q=%2C":       {"from", "to", "q"},
		"from=1h&to=2h":                     {"from"},
		"from=9999999999999999d":            {"from"},
		"nmespace=a&after=x&q=a&q=b&name=a": {"nmespace", "after", "q"},
	} {
		params, err := url.ParseQuery(raw)
		require.NoError(t, err)
		_, err = parseQuery(params, now)
		fields, ok := problems(err)
		require.True(t, ok, raw)
		var names []string
		for name, reason := range fields {
			names = append(names, name)
			assert.NotEmpty(t, reason)
		}
		assert.ElementsMatch(t, want, names, raw)
	}
	_, ok := problems(errors.New("the store is down"))
	assert.False(t, ok)
}

func FuzzParseQuery(f *testing.F) {
	f.Add("q=a&from=24h&to=2026-06-01T00:00:00Z&limit=5&after=MSBh&name=x&name=y")
	f.Add("from=7d&%00=%ff")
	f.Fuzz(func(t *testing.T, raw string) {
		params, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := parseQuery(params, now)
		if err == nil {
			require.NoError(t, q.Validate())
			return
		}
		fields, ok := problems(err)
		if !ok || len(fields) == 0 {
			t.Fatalf("%v names no parameter", err)
		}
	})
}
