package rule_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/rule"
)

func TestLoadReadsFolders(t *testing.T) {
	file := func(name string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("groups: [{name: g, rules: [{alert: " + name + ", expr: 'true'}]}]")}
	}
	set, report := rule.Load(fstest.MapFS{
		"b.yaml": file("B"), "a/x.yml": file("A"), "a/deep/y.yaml": file("Deep"),
		".git/z.yaml": file("Hidden"), "..data/b.yaml": file("Data"), ".hidden.yaml": file("Dot"),
		"b_test.yaml": file("Test"), "README.md": file("Text"), "empty.yaml": {}, "comment.yaml": {Data: []byte("# nothing yet\n")},
	}, rule.Options{})
	require.NoError(t, report.Err())
	var names []string
	for _, r := range set.Rules {
		names = append(names, r.Name)
	}
	assert.Equal(t, []string{"Deep", "A", "B"}, names)
	assert.Equal(t, 5, report.Files)
	assert.Equal(t, 3, report.Rules)
}

func TestLoadWithoutRuleFiles(t *testing.T) {
	set, report := rule.Load(fstest.MapFS{"README.md": {}}, rule.Options{})
	assert.Nil(t, set)
	assert.EqualError(t, report.Err(), ".: there is no rule file (*.yaml, *.yml) in this folder")
	_, report = rule.Load(os.DirFS(filepath.Join(t.TempDir(), "none")), rule.Options{})
	assert.EqualError(t, report.Err(), ".: reading the rules' folder: no such file or directory")
}

func TestLoadFindsNamesUsedTwiceAcrossFiles(t *testing.T) {
	text := []byte("groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'true'}\n")
	set, report := rule.Load(fstest.MapFS{"a.yaml": {Data: text}, "b.yaml": {Data: text}}, rule.Options{})
	assert.Nil(t, set)
	assert.EqualError(t, report.Err(), `b.yaml:4:13: alert "A" is there twice: the other is at a.yaml:4`)
}

func TestLoadReadsSeveralDocuments(t *testing.T) {
	text := "groups: [{name: g, rules: [{alert: A, expr: 'true'}]}]\n---\ngroups: [{name: g, rules: [{alert: B, expr: &x 'true'}]}]\n"
	assert.Len(t, load(t, text).Rules, 2)
}

// FuzzLoad looks for input that panics, or that is accepted with rules that then fail to match at all.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(f, err)
	more, err := filepath.Glob("../../rules/*.yaml")
	require.NoError(f, err)
	require.NotEmpty(f, more)
	for _, path := range append(files, more...) {
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		hang := time.AfterFunc(10*time.Second, func() { panic(fmt.Sprintf("hangs on %q", data)) })
		defer hang.Stop()
		set, report := rule.Load(fstest.MapFS{"f.yaml": {Data: data}}, rule.Options{Receivers: []string{"team"}})
		if (set == nil) != (len(report.Problems) > 0) {
			t.Fatalf("set %v with problems %v", set, report.Problems)
		}
		for _, p := range report.Problems {
			if p.Message == "" || p.File == "" || p.Line < 0 || p.Column < 0 {
				t.Fatalf("no place or no words: %+v", p)
			}
		}
		if set != nil {
			rule.NewMatcher(set).Match(pod("BackOff"))
		}
	})
}
