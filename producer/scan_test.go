package producer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// scanned are the entries as LINE:JSON, or LINE!reason.
func scanned(t testing.TB, r io.Reader) []string {
	var all []string
	err := scan(r, func(e entry) bool {
		if e.err != nil {
			all = append(all, fmt.Sprintf("%d!%v", e.line, e.err))
			return true
		}
		all = append(all, fmt.Sprintf("%d:%s", e.line, e.raw))
		return true
	})
	require.NoError(t, err)
	return all
}

func TestScan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"empty":             {"", nil},
		"only blanks":       {"\n  \n", nil},
		"lines":             {"{\"a\":1}\n{\"a\":2}\n", []string{`1:{"a":1}`, `2:{"a":2}`}},
		"no last line end":  {"{\"a\":1}\n{\"a\":2}", []string{`1:{"a":1}`, `2:{"a":2}`}},
		"Windows, blank":    {"\xef\xbb\xbf{\"a\":1}\r\n\r\n{\"a\":2}\r\n", []string{`1:{"a":1}`, `3:{"a":2}`}},
		"a broken line":     {"{\"a\":1}\n{\"a\":\n{\"a\":3}\n", []string{`1:{"a":1}`, `2!decoding JSON: unexpected end of JSON input`, `3:{"a":3}`}},
		"not JSON":          {"hello\n", []string{`1!decoding JSON: invalid character 'h' looking for beginning of value`}},
		"pretty":            {"{\n  \"a\": {\n  }\n}\n{\n  \"a\": 2\n}\n{\"a\":3}\n", []string{"1:{\n  \"a\": {\n  }\n}", "5:{\n  \"a\": 2\n}", `8:{"a":3}`}},
		"pretty, cut off":   {"{\n  \"a\": 1,\n{\n  \"a\": 2\n}\n", []string{`1!decoding JSON: unexpected end of JSON input`, "3:{\n  \"a\": 2\n}"}},
		"pretty, cut short": {"{\n  \"a\": 1,\n", []string{`1!decoding JSON: unexpected end of JSON input`}},
		"a list":            {`{"kind":"EventList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[{"a":1},{"a":2}]}` + "\n", []string{`1:{"a":1}`, `1:{"a":2}`}},
		"a pretty list": {
			"{\n \"apiVersion\": \"v1\",\n \"items\": [\n  {\n   \"a\": 1\n  },\n  {\"a\": 2}\n ],\n \"kind\": \"List\"\n}\n",
			[]string{"4:{\n   \"a\": 1\n  }", `7:{"a": 2}`},
		},
		"items null":            {`{"apiVersion":"v1","items":null,"kind":"List"}`, nil},
		"no items":              {`{"apiVersion":"v1","items":[],"kind":"List"}`, nil},
		"items of another sort": {`{"kind":"List","items":{"a":1}}`, []string{`1!decoding a list: items is neither an array nor null`}},
		"a list that is cut":    {"{\"kind\":\"List\",\n\"items\":[{\"a\":1},\n{\"a\":", []string{`1:` /* below */}},
		"lists and lines":       {"{\"kind\":\"List\",\"items\":[{\"a\":1}]}\n\n{\"kind\":\"List\",\"items\":[{\"a\":2}]}\n{\"a\":3}\n", []string{`1:{"a":1}`, `3:{"a":2}`, `4:{"a":3}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "a list that is cut" {
				got := scanned(t, strings.NewReader(c.in))
				require.Len(t, got, 2)
				require.Equal(t, `2:{"a":1}`, got[0])
				require.Contains(t, got[1], "decoding a list: unexpected EOF")
				return
			}
			require.Equal(t, c.want, scanned(t, strings.NewReader(c.in)))
			if !strings.Contains(c.in, "kind") { // a list that comes in pieces may be seen as one value
				require.Equal(t, c.want, scanned(t, iotest.OneByteReader(strings.NewReader(c.in))), "byte by byte")
			}
		})
	}
}

func TestScanReadsGzipByContentAndNamesDamage(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range 2000 {
		_, err := fmt.Fprintf(z, "{\"a\":%d,\"b\":%q}\n", i, strings.Repeat(fmt.Sprint(i*7919), 9))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	plain, err := uncompressed(bytes.NewReader(b.Bytes()))
	require.NoError(t, err)
	require.Len(t, scanned(t, plain), 2000)

	plain, err = uncompressed(bytes.NewReader(b.Bytes()[:b.Len()/2]))
	require.NoError(t, err)
	got := scanned(t, plain)
	require.Contains(t, got[len(got)-1], "the compressed file is damaged")
	require.Greater(t, len(got), 100)
}

func TestScanPassesOnErrorsOfReading(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk")
	n := 0
	err := scan(io.MultiReader(strings.NewReader("{\"a\":1}\n"), iotest.ErrReader(broken)), func(entry) bool { n++; return true })
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, n)
}

func TestScanDropsALineThatIsTooLong(t *testing.T) {
	t.Parallel()
	long := io.MultiReader(strings.NewReader(`{"a":"`), io.LimitReader(zeros{}, maxLineBytes), strings.NewReader("\"}\n{\"a\":2}\n"))
	got := scanned(t, long)
	require.Equal(t, []string{"1!the line has more than 67108864 bytes", `2:{"a":2}`}, got)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"{\"a\":1}\n{\n\"a\":1\n}\n", `{"kind":"List","items":[{"a":1},{}]}` + "\n{}", `{"items":null}{"items":[1]}`, "{\n{\n}\n", "\xef\xbb\xbf[]",
		"{\"kind\":\"List\",\n\"items\":[{\"a\":1},\n{\"a\":",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var last int64
		lines := int64(bytes.Count(in, []byte("\n")) + 1)
		if err := scan(bytes.NewReader(in), func(e entry) bool {
			if e.line < max(1, last) || e.line > lines+1 {
				t.Fatalf("line %d after %d of %d", e.line, last, lines)
			}
			last = e.line
			if e.err == nil {
				_, _, _ = revisions(e.raw)
			}
			return true
		}); err != nil {
			t.Fatalf("reading memory fails: %v", err)
		}
	})
}
