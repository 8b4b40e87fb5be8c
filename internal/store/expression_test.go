package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
)

func TestExpressionsAreReadAsPeopleMeanThem(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		``:                                "",
		"  \t ":                           "",
		`a b`:                             `(a and b)`,
		`a and b or c and not d`:          `((a and b) or (c and not d))`,
		`a or b and c`:                    `(a or (b and c))`,
		`NOT a Or B`:                      `(not a or B)`,
		`not not a`:                       `not not a`,
		`(a or b) c`:                      `((a or b) and c)`,
		`((a))`:                           `a`,
		`reason:BackOff`:                  `reason:(BackOff)`,
		`reason : BackOff`:                `reason:(BackOff)`,
		`reason:(a or b or c)`:            `reason:(a or b or c)`,
		`reason:(a)`:                      `reason:(a)`,
		`kind:Pod`:                        `kind:(pod)`,
		`name:*`:                          `name:*`,
		`name:**`:                         `name:*`,
		`name:"*"`:                        `name:(\*)`,
		`name:a**b*`:                      `name:(a*b*)`,
		`name:a\*b`:                       `name:(a\*b)`,
		`name:(x or *)`:                   `(name:(x) or name:*)`,
		`name:"and"`:                      `name:(\and)`,
		`message:10.0.0.1\:443`:           `10.0.0.1\:443`,
		`id:uid/0/x:7`:                    `id:(uid/0/x\:7)`,
		`count>=5`:                        `count >= 5`,
		`count:-1`:                        `count:(-1)`,
		`time > now-15m`:                  `time > "2026-11-20T11:45:00Z"`,
		`time <= now-7d`:                  `time <= "2026-11-13T12:00:00Z"`,
		`time < 2026-11-20T10:00:00.5Z`:   `time < "2026-11-20T10:00:00.5Z"`,
		`time >= 2026-11-20`:              `time >= "2026-11-20T00:00:00Z"`,
		`"failed to pull"`:                `"failed to pull"`,
		`message:"say \"hi\""`:            `"say \"hi\""`,
		`pull*`:                           `pull*`,
		`label.app:web`:                   `label.app:(web)`,
		`android orange nothing`:          `(android and orange and nothing)`,
		`kubescribe.time_adjusted:false`:  `kubescribe.time_adjusted:(false)`,
		`kubernetes.event.count < 3 or a`: `(kubernetes.event.count < 3 or a)`,
	} {
		got, err := store.ParseExpression(text, now)
		require.NoError(t, err, text)
		assert.Equal(t, want, got.String(), text)
		assert.Equal(t, want == "", got.IsZero(), text)
	}
}

func TestWhatIsWrongIsNamedWithItsPlace(t *testing.T) {
	for _, c := range []struct {
		text   string
		column int
		says   string
	}{
		{`reason:BackOff and`, 19, "a word is missing before the end"},
		{`and a`, 1, `a condition is missing before "and"`},
		{`a or or b`, 6, `a condition is missing before "or"`},
		{`reason:`, 8, "a word is missing before the end"},
		{`reason: and x`, 9, `the value of reason is missing; quote "and" if it is meant`},
		{`reason:""`, 8, "the value of reason is empty"},
		{`namspace:shop`, 1, "there is no field namspace: use one of annotation, class, cluster"},
		{`größe and nope:1`, 11, "there is no field nope"},
		{`a (b or c`, 3, "this ( is not closed"},
		{`a b)`, 4, "there is no ( for this )"},
		{`reason:(a or b`, 8, "this ( is not closed"},
		{`reason:(a and b)`, 11, "values in brackets are joined by or"},
		{`reason:(a b)`, 11, "values in brackets are joined by or"},
		{`()`, 2, `a word is missing before ")"`},
		{`"abc`, 1, "this quote is not closed"},
		{`name:"abc`, 6, "this quote is not closed"},
		{`a\`, 2, `there is nothing after \`},
		{`count:many`, 7, `"many" is no whole number, as count has`},
		{`reason > a`, 1, "reason has no order"},
		{`time > yesterday`, 8, `"yesterday" is no time: write 2026-06-01T12:00:00Z`},
		{`kubescribe.time_adjusted:yes`, 26, "neither true nor false"},
		{`label:x`, 1, "label has keys: write label.<key>"},
		{`label.app:*web`, 11, "* can stand at the end only"},
		{`error.message:x`, 1, "error.message can't be compared: it is a text"},
		{`kubescribe.owners.name:x`, 1, "there is no field"},
		{`event.original:x`, 1, "there is no field"},
		{`*`, 1, "* can stand at the end of one word only"},
		{`pul*ed`, 1, "* can stand at the end of one word only"},
		{`back-off*`, 1, "* can stand at the end of one word only"},
		{`message:*`, 9, "* can stand at the end of one word only"},
		{`…`, 1, "has no word to look for"},
		{`"reason":x`, 1, "a field's name has no quotes and no *"},
		{`rea*:x`, 1, "a field's name has no quotes and no *"},
		{`: x`, 1, `a word is missing before ":"`},
		{"a \xff", 1, "not UTF-8"},
		{strings.Repeat("a ", 2049), 1, "the expression has 4098 bytes"},
		{strings.Repeat("a ", 201), 401, "it has more than 200 conditions"},
		{strings.Repeat("(", 60) + "a" + strings.Repeat(")", 60), 52, "nested too deeply"},
		{strings.Repeat("not ", 60) + "a", 204, "nested too deeply"},
		{`name:` + strings.Repeat("x", 600), 6, "the value has 600 bytes"},
	} {
		_, err := store.ParseExpression(c.text, time.Now())
		var bad *store.ExpressionError
		if assert.ErrorAs(t, err, &bad, c.text) {
			assert.Contains(t, bad.Reason, c.says, c.text)
			assert.Equal(t, c.column, bad.Column, "%s: %s", c.text, bad.Reason)
		}
	}
}

func TestEveryFieldOfTheMappingIsKnown(t *testing.T) {
	for _, f := range store.ExpressionFields() {
		if f.Name == "label" || f.Name == "annotation" {
			continue
		}
		for _, name := range []string{f.Name, f.Path} {
			_, err := store.ParseExpression(name+`:"2026-11-20"`, time.Now())
			if err != nil {
				assert.ErrorContains(t, err, "is no whole number", name)
			}
		}
	}
}

func FuzzParseExpression(f *testing.F) {
	for _, text := range conditions {
		f.Add(text)
	}
	f.Add(`a and not (b or "c d") or time > now-1h`)
	f.Fuzz(func(t *testing.T, text string) {
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		e, err := store.ParseExpression(text, now)
		if err != nil {
			return
		}
		again, err := store.ParseExpression(e.String(), now)
		if len(e.String()) > 4096 {
			return
		}
		require.NoError(t, err, "%q was written as %q", text, e)
		require.Equal(t, e.String(), again.String(), text)
	})
}
