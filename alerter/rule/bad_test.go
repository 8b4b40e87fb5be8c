package rule_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/rule"
)

var (
	caret = regexp.MustCompile(`^(# *)\^ (.*)$`)
	want  = regexp.MustCompile(`^# want (.*)$`)
)

// expected reads what a bad file says of itself: "#  ^ message" under a line points at a column of it, "# want line:column: message"
// (for text in which there is no comment) counts lines without these comments. Both are taken out of what is loaded.
func expected(t *testing.T, name string, data []byte) (wants []string, text []byte) {
	t.Helper()
	var lines [][]byte
	s := bufio.NewScanner(bytes.NewReader(data))
	for s.Scan() {
		if m := caret.FindSubmatch(s.Bytes()); m != nil {
			wants = append(wants, fmt.Sprintf("%s:%d:%d: %s", name, len(lines), len(m[1])+1, m[2]))
		} else if m := want.FindSubmatch(s.Bytes()); m != nil {
			wants = append(wants, name+":"+string(m[1]))
		} else {
			lines = append(lines, slices.Clone(s.Bytes()))
		}
	}
	require.NoError(t, s.Err())
	return wants, append(bytes.Join(lines, []byte("\n")), '\n')
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			wants, text := expected(t, name, data)
			set, report := rule.Load(fstest.MapFS{name: {Data: text}}, rule.Options{Receivers: []string{"team"}})
			assert.Nil(t, set, "a set with problems is no set")
			var got []string
			for _, p := range report.Problems {
				got = append(got, p.String())
			}
			slices.Sort(wants)
			slices.Sort(got)
			assert.Equal(t, strings.Join(wants, "\n"), strings.Join(got, "\n"))
		})
	}
}
