package rule

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

//go:generate go test . -run ^TestReference$ -update

var update = flag.Bool("update", false, "write generated files")

// docs/reference/rules.md says what the source says.
func TestReference(t *testing.T) {
	template, err := os.ReadFile("testdata/reference.md")
	require.NoError(t, err)
	storm := schemas.DefaultStorm()
	page := "<!-- Generated from alerter/rule by `make generate`. -->\n" + strings.NewReplacer(
		"{{fields}}", fieldTable(t), "{{group_by}}", codes(slices.Sorted(maps.Keys(groupFields))), "{{evidence}}", codes(schemas.EvidenceFields()),
		"{{max_at_least}}", fmt.Sprint(MaxAtLeast), "{{max_within}}", short(MaxWithin.String()), "{{max_quiet}}", short(MaxQuiet.String()),
		"{{dedup}}", short(DefaultDedup.String()), "{{storm_by}}", codes(storm.By), "{{storm_more_than}}", fmt.Sprint(storm.MoreThan),
		"{{storm_within}}", short(storm.Within.String()),
	).Replace(string(template))
	const file = "../../docs/reference/rules.md"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(page), 0o644))
		return
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, page, string(got), "run make generate")
}

// The page's example is a good rule file, and names every key.
func TestReferenceExample(t *testing.T) {
	template, err := os.ReadFile("testdata/reference.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(template), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	example += "  - {alert: ProbeFailed, expr: 'true'}\n  - {alert: PodFailed, expr: 'true'}\n"
	f := &file{name: "example"}
	l := &loader{names: map[string]*Rule{}}
	for _, root := range f.parse([]byte(example)) {
		l.document(f, root)
	}
	l.inhibited()
	require.Empty(t, f.problems)
	require.Empty(t, l.report.Problems)
	bad := &file{name: "bad"}
	for _, root := range bad.parse([]byte("none: 1")) {
		bad.draft(root)
	}
	_, keys, _ := strings.Cut(bad.problems[0].Message, "known are ")
	for key := range strings.SplitSeq(keys, ", ") {
		assert.Contains(t, example, key+":", "the example does not show the key")
	}
}

func codes(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "`" + n + "`"
	}
	return strings.Join(quoted, ", ")
}

var zeros = regexp.MustCompile(`(h|m)0m0s$|(h|m)0s$`)

func short(d string) string { return zeros.ReplaceAllString(d, "$1$2") }

// fieldTable lists the fields of Env with their types and what the source says of them.
func fieldTable(t *testing.T) string {
	t.Helper()
	comments := envComments(t)
	var b strings.Builder
	b.WriteString("| field | type | | in templates |\n|---|---|---|---|\n")
	var row func(typ reflect.Type, prefix, inTemplates string)
	row = func(typ reflect.Type, prefix, inTemplates string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			require.NotEmpty(t, comments[typ.Name()+"."+f.Name], "%s.%s has no comment", typ.Name(), f.Name)
			name, of := prefix+f.Tag.Get("expr"), f.Type
			fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |\n", name, kindOf(of), comments[typ.Name()+"."+f.Name], inTemplates+f.Name)
			if of.Kind() == reflect.Struct && of.PkgPath() == typ.PkgPath() {
				row(of, name+".", inTemplates+f.Name+".")
			}
		}
	}
	row(reflect.TypeFor[Env](), "", ".")
	return strings.TrimSpace(b.String())
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Map:
		return "map of texts"
	case reflect.Slice:
		return "list of " + kindOf(t.Elem()) + "s"
	case reflect.String:
		return "text"
	case reflect.Int64:
		if t == reflect.TypeFor[time.Duration]() {
			return "duration"
		}
		return "number"
	case reflect.Int:
		return "number"
	case reflect.Struct:
		return strings.ToLower(t.Name())
	}
	return t.Kind().String()
}

// envComments are the comments of the fields of the structs in env.go. A field without one has that of the field before it.
func envComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "env.go", nil, parser.ParseComments)
	require.NoError(t, err)
	comments := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		s, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		last := ""
		for _, f := range s.Fields.List {
			if text := f.Doc.Text(); text != "" {
				last = strings.Join(strings.Fields(text), " ")
			}
			for _, name := range f.Names {
				if strings.Contains(last, name.Name) {
					comments[spec.Name.Name+"."+name.Name] = strings.ReplaceAll(last, "|", "\\|")
				}
			}
		}
		return true
	})
	return comments
}
