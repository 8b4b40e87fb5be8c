package rule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a rule file. Line and Column count from 1, columns in characters; both are 0 when the problem
// is about the file or the folder as a whole.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// String is file:line:column: message, as compilers write it.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Report is what reading a folder of rules found.
type Report struct {
	Files    int       `json:"files"`
	Rules    int       `json:"rules"`
	Problems []Problem `json:"problems"`
}

// Err is nil when there is no problem, else an error with one line for each.
func (r Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return &LoadError{Report: r}
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// LoadError says that a set of rules can't be used, and why.
type LoadError struct{ Report Report }

// Error has one line for each problem.
func (e *LoadError) Error() string {
	lines := make([]string, len(e.Report.Problems))
	for i, p := range e.Report.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// First is the first problem and the number of the others, for a line in a log or a health page.
func (e *LoadError) First() string {
	p := e.Report.Problems
	if len(p) == 1 {
		return p[0].String()
	}
	return fmt.Sprintf("%s (and %d more)", p[0], len(p)-1)
}
