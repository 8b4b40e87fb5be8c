package store

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"Back-off restarting":          "back|off|restarting",
		"nginx.conf 10.0.0.1:443 v1.2": "nginx.conf|10.0.0.1|443|v1.2",
		"registry.io/a_b:v1.2":         "registry.io|a_b:v1.2",
		"don't 'quoted' x'":            "don't|quoted|x",
		"1,000.5; 3;4 a;b a,b":         "1,000.5|3;4|a|b|a|b",
		"a:b 1:2 a.1 1.a":              "a:b|1|2|a|1|1|a",
		"snake_case _x_ __ _":          "snake_case|_x_",
		"Größe ÄÖÜ":                    "größe|äöü",
		"メモリ不足 かな":                     "メモリ|不|足|か|な",
		"e\u0301a":                     "e\u0301a",
		"…—!?":                         "",
	} {
		assert.Equal(t, want, strings.Join(words(text), "|"), "%q", text)
	}
	long := words(strings.Repeat("x", 2*maxWord+1))
	require.Len(t, long, 3)
	assert.Len(t, long[2], 1)
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"Back-off 1.2 a_b", "\xff\xfe", "メモリ不足", "a.\u0301b", "a.b:c'd", "\u200d_"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, w := range words(text) {
			if w == "" || strings.ContainsFunc(w, unicode.IsSpace) {
				t.Fatalf("%q is no word", w)
			}
		}
		match(text)
	})
}
