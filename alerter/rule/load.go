package rule

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Options are what a set must fit to.
type Options struct {
	// Receivers are the configured receivers' names. A rule that names another is a problem; nil allows every name.
	Receivers []string
	// Strict also finds what runs but can't be meant: a condition that no document meets, no dedup, a group for each pod.
	Strict bool
}

// Load reads every rule file below fsys. The Set is nil if the report has a problem: a set of rules is whole or not there.
//
// Rule files end in .yaml or .yml. Files and folders whose names begin with a dot are passed over (Git, and the folders
// behind a ConfigMap's links), and so are *_test.yaml and *_test.yml, which hold the rules' tests.
func Load(fsys fs.FS, o Options) (*Set, Report) {
	l := &loader{options: o, names: map[string]*Rule{}}
	files, err := Files(fsys)
	switch {
	case err != nil:
		l.report.Problems = append(l.report.Problems, Problem{File: ".", Message: err.Error()})
	case len(files) == 0:
		l.report.Problems = append(l.report.Problems, Problem{File: ".", Message: "there is no rule file (*.yaml, *.yml) in this folder"})
	}
	for _, name := range files {
		l.file(fsys, name)
	}
	l.inhibited()
	l.report.Rules = len(l.rules)
	l.report.sort()
	if len(l.report.Problems) > 0 {
		return nil, l.report
	}
	return newSet(l.rules), l.report
}

// Files lists the rule files below fsys in the order in which they are read.
func Files(fsys fs.FS) ([]string, error) {
	var files []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(base, "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir() && isRuleFile(base):
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the rules' folder: %w", pathCause(err))
	}
	return files, nil
}

func isRuleFile(base string) bool {
	ext := path.Ext(base)
	return (ext == ".yaml" || ext == ".yml") && !strings.HasSuffix(strings.TrimSuffix(base, ext), "_test")
}

// pathCause drops the "open .:" that os.DirFS adds.
func pathCause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// loader gathers the rules of all files.
type loader struct {
	options Options
	report  Report
	rules   []*Rule
	names   map[string]*Rule
	targets []target
}

func (l *loader) file(fsys fs.FS, name string) {
	f := &file{name: name}
	l.report.Files++
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		f.at(nil, "reading the file: %s", pathCause(err))
	}
	for _, root := range f.parse(data) {
		l.document(f, root)
	}
	l.report.Problems = append(l.report.Problems, f.problems...)
}

// add compiles d. before is the number of the file's problems before d was read.
func (l *loader) add(f *file, d draft, group string, before int) {
	r := &Rule{Name: d.alert.value, Group: group, File: f.name, Expr: strings.TrimSpace(d.expr.value), Labels: d.labels, Receivers: values(d.notify), Policy: d.policy(), Scope: d.scope, ResolveWhen: strings.TrimSpace(d.when.value)}
	if d.alert.tok != nil {
		r.Line = d.alert.line
		if other, ok := l.names[r.Name]; ok {
			f.at(d.alert.tok, "alert %q is there twice: the other is at %s:%d", r.Name, other.File, other.Line)
		}
		l.names[r.Name] = r
	}
	if r.Expr != "" {
		if r.program = f.expression(d.expr, "expr"); r.program != nil {
			r.required = requirements(d.expr.value)
		}
	}
	if r.ResolveWhen != "" {
		r.resolve = f.expression(d.when, "when")
	}
	l.groupBy(f, d, r)
	texts := map[string]string{}
	for _, p := range d.annotations {
		texts[p.key] = p.value.value
		if a, ok := f.template(p); ok {
			r.annotations = append(r.annotations, a)
		}
	}
	l.receivers(f, d)
	for _, i := range d.inhibit {
		for _, t := range i.alerts {
			l.targets = append(l.targets, target{f.name, t})
		}
	}
	if l.options.Strict {
		f.strict(d, r)
	}
	hash, err := canonical{r.Name, r.Expr, r.Labels, texts, values(d.groupBy), r.Policy, r.Receivers, r.Scope, r.ResolveWhen}.hash()
	if err != nil {
		f.at(d.alert.tok, "%s", err)
	}
	r.Hash = hash
	if len(f.problems) == before {
		l.rules = append(l.rules, r)
	}
}

func (l *loader) groupBy(f *file, d draft, r *Rule) {
	for i, t := range d.groupBy {
		value, err := groupField(t.value, d.scope.Fleet)
		_, label := d.labels[t.value]
		switch {
		case err != nil:
			f.at(t.tok, "%s", err)
		case slices.Contains(values(d.groupBy[:i]), t.value):
			f.at(t.tok, "group_by: %q is there twice", t.value)
		case label:
			f.at(t.tok, "group_by: %q is a label of the rule too: rename that label", t.value)
		default:
			r.groupBy = append(r.groupBy, groupLabel{t.value, value})
		}
	}
}

// target is a name or pattern of alerts that are inhibited, and where it stands.
type target struct {
	file string
	text
}

// inhibited notes the names that no rule has. It comes last, because rules may name those of later files.
func (l *loader) inhibited() {
	for _, t := range l.targets {
		known := false
		for name := range l.names {
			known = known || anyOf([]string{t.value}, name)
		}
		if !known {
			at := file{name: t.file}
			at.at(t.tok, "alerts: there is no alert %q", t.value)
			l.report.Problems = append(l.report.Problems, at.problems...)
		}
	}
}

func (l *loader) receivers(f *file, d draft) {
	if l.options.Receivers == nil {
		return
	}
	for _, t := range d.notify {
		if !slices.Contains(l.options.Receivers, t.value) {
			f.at(t.tok, "notify: receiver %q is not configured: known are %s", t.value, nameList(l.options.Receivers))
		}
	}
}

func nameList(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	sorted := slices.Sorted(slices.Values(names))
	return strings.Join(sorted, ", ")
}

// start is the first token of n: of a mapping, its first key's.
func start(n ast.Node) *token.Token {
	switch m := unwrap(n).(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return m.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return m.Key.GetToken()
	}
	return n.GetToken()
}
