package ruletest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"kubescribe/alerter/rule"
)

// file is one test file.
type file struct {
	name string
	tree *ast.File
	data struct {
		// Shared is a place for anchors; nothing reads it.
		Shared any        `yaml:"shared"`
		Tests  []testCase `yaml:"tests"`
	}
	problems []rule.Problem
}

// testCase is one case. Times are durations since the start of its timeline.
type testCase struct {
	Name    string          `yaml:"name"`
	Cluster string          `yaml:"cluster"`
	Silent  []string        `yaml:"silent"`
	Events  []event         `yaml:"events"`
	Until   string          `yaml:"until"`
	Alerts  []expectedAlert `yaml:"alerts"`
	States  []expectedState `yaml:"states"`
	Pages   *int            `yaml:"pages"`
}

// expectedAlert is a record on the topic alerts. What it leaves out may be anything.
type expectedAlert struct {
	At          string            `yaml:"at"`
	Rule        string            `yaml:"rule"`
	Status      string            `yaml:"status"`
	Starts      string            `yaml:"starts"`
	Ends        string            `yaml:"ends"`
	Count       *int64            `yaml:"count"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
	Receivers   []string          `yaml:"receivers"`
	// Muted says that another alert keeps it quiet: nobody is told.
	Muted *bool `yaml:"muted"`
}

// expectedState is what is known of the groups of a rule at a time, once what happens at that time has happened.
type expectedState struct {
	At     string            `yaml:"at"`
	Rule   string            `yaml:"rule"`
	Status string            `yaml:"status"`
	Labels map[string]string `yaml:"labels"`
	Groups *int              `yaml:"groups"`
}

// testFiles lists the test files below fsys.
func testFiles(fsys fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		base := path.Base(name)
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(base, ".") && d.IsDir():
			return fs.SkipDir
		case !d.IsDir() && !strings.HasPrefix(base, ".") && (strings.HasSuffix(base, "_test.yaml") || strings.HasSuffix(base, "_test.yml")):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tests' folder: %w", err)
	}
	return names, nil
}

// readFile decodes a test file. What is wrong with it is in its problems.
func readFile(fsys fs.FS, name string) *file {
	f := &file{name: name}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		f.problems = append(f.problems, rule.Problem{File: name, Message: err.Error()})
		return f
	}
	if f.tree, err = parser.ParseBytes(data, 0); err == nil {
		err = yaml.NewDecoder(bytes.NewReader(data), yaml.DisallowUnknownField(), yaml.AllowDuplicateMapKey()).Decode(&f.data)
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		f.syntax(err)
	case len(f.data.Tests) == 0:
		f.problems = append(f.problems, rule.Problem{File: name, Message: "there is no case below tests:"})
	}
	return f
}

func (f *file) syntax(err error) {
	p := rule.Problem{File: f.name, Message: err.Error()}
	var e yaml.Error
	if errors.As(err, &e) {
		p.Message = e.GetMessage()
		if tok := e.GetToken(); tok != nil && tok.Position != nil {
			p.Line, p.Column = tok.Position.Line, tok.Position.Column
		}
	}
	f.problems = append(f.problems, p)
}

// at notes a problem at a path like tests[0].events[2].at.
func (f *file) at(where string, format string, args ...any) {
	p := rule.Problem{File: f.name, Message: fmt.Sprintf(format, args...)}
	p.Line, p.Column = f.place(where)
	f.problems = append(f.problems, p)
}

// place is where a path begins; of a path that is not there, where the nearest one above it does.
func (f *file) place(where string) (line, column int) {
	for where != "" {
		found, err := yaml.PathString("$." + where)
		if err == nil {
			if n, err := found.FilterFile(f.tree); err == nil && n != nil {
				tok := n.GetToken()
				if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
					tok = m.Values[0].Key.GetToken()
				}
				if m, ok := n.(*ast.MappingValueNode); ok {
					tok = m.Key.GetToken()
				}
				return tok.Position.Line, tok.Position.Column
			}
		}
		where = where[:max(strings.LastIndexAny(where, ".["), 0)]
	}
	return 1, 1
}
