package ruletest

import (
	"cmp"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"kubescribe/alerter/decision"
	"kubescribe/alerter/rule"
	"kubescribe/schemas"
)

// Report is what came of the tests of a folder.
type Report struct {
	Rules int `json:"rules"`
	// Tested are the rules with a case in which they fire and one in which they are silent, both passed.
	Tested   int            `json:"tested"`
	Cases    []Result       `json:"cases"`
	Problems []rule.Problem `json:"problems"`
}

// Result is one case.
type Result struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	// Alerts are what came, one line each.
	Alerts []string `json:"alerts"`
	Pages  int      `json:"pages"`
}

// Run runs the cases of every test file below fsys whose name matches only (nil: all) on set, which was loaded from fsys. Rules
// without a firing or a silent case are problems unless only is given.
func Run(fsys fs.FS, set *rule.Set, only *regexp.Regexp) Report {
	r := Report{Rules: len(set.Rules), Cases: []Result{}}
	fired, silent := map[string]bool{}, map[string]bool{}
	names, err := testFiles(fsys)
	if err != nil {
		r.Problems = append(r.Problems, rule.Problem{File: ".", Message: err.Error()})
	}
	for _, name := range names {
		f := readFile(fsys, name)
		for i := range f.data.Tests {
			c := &f.data.Tests[i]
			if only != nil && !only.MatchString(c.Name) {
				continue
			}
			res := f.run(c, fmt.Sprintf("tests[%d]", i), set)
			r.Cases = append(r.Cases, res)
			if !res.Passed {
				continue
			}
			for _, a := range c.Alerts {
				if a.Status == string(schemas.AlertFiring) {
					fired[a.Rule] = true
				}
			}
			for _, s := range c.Silent {
				silent[s] = true
			}
		}
		r.Problems = append(r.Problems, f.problems...)
	}
	for _, ru := range set.Rules {
		if fired[ru.Name] && silent[ru.Name] {
			r.Tested++
			continue
		}
		if only == nil {
			r.Problems = append(r.Problems, untested(ru, fired[ru.Name], silent[ru.Name]))
		}
	}
	slices.SortStableFunc(r.Problems, func(a, b rule.Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r
}

func untested(r *rule.Rule, fired, silent bool) rule.Problem {
	var lacks []string
	if !fired {
		lacks = append(lacks, "no passing case in which it fires")
	}
	if !silent {
		lacks = append(lacks, fmt.Sprintf("no passing case with silent: [%s]", r.Name))
	}
	return rule.Problem{File: r.File, Line: r.Line, Column: 1, Message: fmt.Sprintf("rule %s has %s", r.Name, strings.Join(lacks, ", and "))}
}

// run runs one case.
func (f *file) run(c *testCase, where string, set *rule.Set) Result {
	before := len(f.problems)
	if c.Name == "" {
		f.at(where, "the case has no name")
	}
	if len(c.Events) == 0 {
		f.at(where, "%s: there are no events", c.Name)
	}
	f.names(c, where, set)
	moments := f.timeline(c, where)
	var last time.Duration
	if len(moments) > 0 {
		last = moments[len(moments)-1].at
	}
	if c.Until != "" {
		until := f.span(where+".until", c.Until)
		if until < last {
			f.at(where+".until", "until: %s is before the last event or state", c.Until)
		}
		last = until
	}
	res := Result{File: f.name, Name: c.Name, Alerts: []string{}}
	res.Line, _ = f.place(where)
	if len(f.problems) == before {
		got := f.play(c, where, set, moments, last)
		f.compare(c, where, got)
		res.Pages = pages(got)
		for _, a := range got {
			res.Alerts = append(res.Alerts, describe(a))
		}
	}
	res.Passed = len(f.problems) == before
	return res
}

// names notes the rules that there are not, and those that are expected both to fire and to be silent.
func (f *file) names(c *testCase, where string, set *rule.Set) {
	known := map[string]bool{decision.StormRule: true} // which no file defines
	for _, r := range set.Rules {
		known[r.Name] = true
	}
	check := func(where, name string) {
		if !known[name] {
			f.at(where, "%s: there is no rule %q", c.Name, name)
		}
	}
	for i, name := range c.Silent {
		at := fmt.Sprintf("%s.silent[%d]", where, i)
		check(at, name)
		if slices.ContainsFunc(c.Alerts, func(a expectedAlert) bool { return a.Rule == name }) {
			f.at(at, "%s: %s is expected both to be silent and to alert", c.Name, name)
		}
	}
	for i, a := range c.Alerts {
		check(fmt.Sprintf("%s.alerts[%d].rule", where, i), a.Rule)
	}
	for i, s := range c.States {
		check(fmt.Sprintf("%s.states[%d].rule", where, i), s.Rule)
		if !slices.Contains([]string{"", "none", "pending", "firing", "resolved"}, s.Status) {
			f.at(fmt.Sprintf("%s.states[%d].status", where, i), "status: %q is none of none, pending, firing, resolved", s.Status)
		}
	}
}
