package contract

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const architecture = "../../ARCHITECTURE.md"

var goldenBlock = regexp.MustCompile("(?s)<!-- golden: ([a-z-]+) -->\n(\n?```\n.*?```\n)?")

// TestArchitectureShowsTheGoldenBytes: the page that follows one event shows every golden record, and nothing else.
func TestArchitectureShowsTheGoldenBytes(t *testing.T) {
	page, err := os.ReadFile(architecture)
	require.NoError(t, err)
	shown := map[string]bool{}
	want := goldenBlock.ReplaceAllStringFunc(string(page), func(block string) string {
		name := goldenBlock.FindStringSubmatch(block)[1]
		b, err := os.ReadFile(filepath.Join("../../schemas/testdata/golden", name+".txt"))
		require.NoError(t, err)
		shown[name+".txt"] = true
		return "<!-- golden: " + name + " -->\n```\n" + string(b) + "```\n"
	})
	if *update {
		require.NoError(t, os.WriteFile(architecture, []byte(want), 0o644))
		page = []byte(want)
	}
	require.Equal(t, want, string(page), "ARCHITECTURE.md is stale: run go test ./test/contract -update")
	files, err := os.ReadDir("../../schemas/testdata/golden")
	require.NoError(t, err)
	for _, f := range files {
		require.True(t, shown[f.Name()], "ARCHITECTURE.md does not show %s", f.Name())
	}
}

// TestArchitectureNamesTestsThatExist: a guarantee whose test was renamed or removed is a sentence.
func TestArchitectureNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile(architecture)
	require.NoError(t, err)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(named), 30)
	exists := tests(t)
	for _, m := range named {
		require.True(t, exists[m[1]], "ARCHITECTURE.md names %s, and there is no such test", m[1])
	}
}

// TestLinksLeadSomewhere covers every Markdown page of the repository.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	checked := 0
	walk(t, ".md", func(path string, text []byte) {
		for _, m := range link.FindAllSubmatch(text, -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(path), string(m[1])))
			require.NoError(t, err, "%s links to %s", path, m[1])
			checked++
		}
	})
	require.Greater(t, checked, 20)
}

func tests(t *testing.T) map[string]bool {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	found := map[string]bool{}
	walk(t, "_test.go", func(_ string, text []byte) {
		for _, m := range function.FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
	})
	return found
}

// walk reads the files of the repository whose names end in suffix.
func walk(t *testing.T, suffix string, visit func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(d.Name(), suffix) {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		visit(path, b)
		return nil
	})
	require.NoError(t, err)
}
