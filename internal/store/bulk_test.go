package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseBulkTakesNothingLessThanAStatusForEach(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       int
		err        string
	}{
		{"one created", `{"items":[{"create":{"status":201}}]}`, 1, ""},
		{"a conflict", `{"errors":true,"items":[{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}}]}`, 1, ""},
		{"an error that is a text", `{"items":[{"create":{"status":500,"error":"boom"}}]}`, 1, ""},
		{"too few", `{"items":[{"create":{"status":201}}]}`, 2, "1 items for 2"},
		{"too many", `{"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, 1, "2 items for 1"},
		{"none", `{}`, 1, "0 items for 1"},
		{"no status", `{"items":[{"create":{}}]}`, 1, "no status"},
		{"another action", `{"items":[{"index":{"status":201}}]}`, 1, "no status"},
		{"null", `{"items":[null]}`, 1, "no status"},
		{"cut off", `{"items":[{"create":{"status":20`, 1, "not Elasticsearch's"},
		{"a log-in page", `<html>`, 1, "not Elasticsearch's"},
		{"nothing", ``, 1, "not Elasticsearch's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			items, err := parseBulk([]byte(c.body), c.want)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Len(t, items, c.want)
		})
	}
}

func FuzzParseBulk(f *testing.F) {
	f.Add([]byte(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"t","reason":"r","caused_by":{"type":"c","reason":"d"}}}}]}`), 1)
	f.Add([]byte(`{"items":[{"create":{"status":201}},{"create":{"status":"x"}}]}`), 2)
	f.Add([]byte(`{"items":[{"create":{"status":500,"error":"text"}}]}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, want int) {
		items, err := parseBulk(body, want)
		if err != nil {
			return
		}
		if len(items) != want {
			t.Fatalf("%d items for %d", len(items), want)
		}
		for _, it := range items {
			failure := it.failure()
			verdict := classifyItem(it.Status, failure.Type, failure.Reason)
			if verdict == Done && it.Status/100 != 2 && it.Status != 409 {
				t.Fatalf("status %d is taken for done", it.Status)
			}
			if text := failure.text(); len(text) > 1100 || strings.ContainsAny(text, "\r\n") {
				t.Fatalf("the reason is not one short line: %q", text)
			}
		}
	})
}

// Whatever an id and a body hold, the request has two lines for each document, and the engine reads the same id.
func FuzzAppendCreate(f *testing.F) {
	f.Add("a/1/b/2", []byte(`{"a":1}`))
	f.Add("quote\" and \\ and \n", []byte("{\n\"a\": 1\n}"))
	f.Add("\u2028", []byte("{}\n{\"delete\":{}}"))
	f.Fuzz(func(t *testing.T, id string, body []byte) {
		it := Item{ID: id, Class: "normal", Time: time.Unix(1, 0), Body: body}
		if check(it) != "" {
			return
		}
		line, err := oneLine(body)
		if err != nil {
			return
		}
		var buf bytes.Buffer
		require.NoError(t, appendCreate(&buf, "kubescribe-normal-2026.06.01", id, line))
		lines := strings.Split(strings.TrimSuffix(buf.String(), "\n"), "\n")
		require.Len(t, lines, 2)
		var action struct {
			Create struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		require.NoError(t, json.Unmarshal([]byte(lines[0]), &action))
		assert.Equal(t, id, action.Create.ID)
		if json.Valid(body) {
			assert.JSONEq(t, string(body), lines[1])
		}
	})
}

func BenchmarkBulkBody(b *testing.B) {
	body := []byte(fmt.Sprintf(`{"@timestamp":"2026-06-01T00:00:00Z","message":%q}`, strings.Repeat("x", 1400)))
	e := &Elasticsearch{cfg: DefaultElasticsearch()}
	it := Item{ID: "0b5f1a3e-0000-4000-8000-000000000000/1/7c0a8f2e-0000-4000-8000-000000000000/123456", Class: "warning", Time: time.Unix(1780000000, 0), Body: body}
	var buf bytes.Buffer
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if buf.Len() > 4<<20 {
			buf.Reset()
		}
		line, err := oneLine(it.Body)
		if check(it) != "" || err != nil || appendCreate(&buf, e.index(it), it.ID, line) != nil {
			b.Fatal("refused")
		}
	}
}

// The short way through the usual answer accepts nothing that the decoder wouldn't, and gives the same.
func TestTheUsualAnswerIsReadAlike(t *testing.T) {
	const one = `{"create":{"status":201}}`
	usual := `{"errors":false,"items":[` + one + `,` + one + `,` + one + `]}`
	items := parseAllGood([]byte(usual), 3)
	require.NotNil(t, items)
	assert.Equal(t, []bulkItem{{Status: 201}, {Status: 201}, {Status: 201}}, items)
	for i := range usual {
		assert.Nil(t, parseAllGood([]byte(usual[:i]), 3), "cut off at %d", i)
	}
	for _, other := range []string{
		strings.Replace(usual, "false", "true", 1), strings.Replace(usual, "201", "409", 1), strings.Replace(usual, "},{", "}{", 1), usual + "x", " " + usual,
	} {
		assert.Nil(t, parseAllGood([]byte(other), 3), other)
	}
	assert.Nil(t, parseAllGood([]byte(usual), 2), "more than was asked")
	assert.Nil(t, parseAllGood([]byte(usual), 4), "less than was asked")
	spaced, err := parseBulk([]byte(strings.ReplaceAll(usual, ":", " : ")), 3)
	require.NoError(t, err)
	assert.Equal(t, items, spaced)
}
