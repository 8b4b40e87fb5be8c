package rule

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/expr-lang/expr"
	exprfile "github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// expression compiles t, which is the value of the key what, and notes its mistake at its place.
func (f *file) expression(t text, what string) *vm.Program {
	constants := &durations{}
	program, err := expr.Compile(t.value, append(language(), expr.Patch(constants))...)
	var e *exprfile.Error
	switch {
	case err == nil && constants.err == nil:
		return program
	case errors.As(err, &e):
		f.in(t, e.Line, e.Column+1, "%s: %s", what, plain(e.Message))
	case err != nil:
		f.in(t, 1, 1, "%s: %s", what, plain(err.Error()))
	default:
		line, column := lineColumn(t.value, constants.at)
		f.in(t, line, column, "%s: %s", what, constants.err)
	}
	return nil
}

var typeName = regexp.MustCompile(`type \*?rule\.(\w+) has no field (\w+)`)

// plain turns the compiler's words about Go types into the rule writer's.
func plain(message string) string {
	return typeName.ReplaceAllStringFunc(message, func(s string) string {
		m := typeName.FindStringSubmatch(s)
		return fmt.Sprintf("%s has no field %s", strings.ToLower(m[1]), m[2])
	})
}

// maxAnnotation bounds a rendered annotation in bytes; what is longer is cut.
const maxAnnotation = 4 << 10

var errFull = errors.New("annotation is full")

// limited takes maxAnnotation bytes and then stops the template.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxAnnotation - l.Len(); len(p) > room {
		l.Buffer.Write(p[:room])
		return room, errFull
	}
	return l.Buffer.Write(p)
}

// render returns the text for e. A failing template gives its error as the text too: a page with a broken
// annotation is better than no page.
func (a annotation) render(e *Env) (string, error) {
	var out limited
	if err := execute(a.text, e, &out); err != nil {
		return fmt.Sprintf("<%s>", err), err
	}
	return strings.ToValidUTF8(out.String(), ""), nil
}

// execute runs t until it ends or out is full.
func execute(t *template.Template, e *Env, out *limited) error {
	if err := t.Execute(out, e); err != nil && !errors.Is(err, errFull) {
		return err
	}
	return nil
}

// samples are what templates are tried on at load: every field set, and none.
var samples = []*Env{
	{
		Cluster: "c", EventType: "event", Class: "warning", Namespace: "n", Kind: "Pod", Name: "p", Object: "Pod/p", Reason: "r", Type: "Warning",
		Message: "m", MessageHash: "h", Component: "kubelet", Count: 1, Occurrences: 1, Time: time.Unix(0, 0).UTC(),
		Workload: Object{"Deployment", "d"}, Owners: []Object{{"ReplicaSet", "s"}, {"Deployment", "d"}}, Service: "s", Node: "n",
		Container: "c", Image: "i", Labels: map[string]string{"app": "a"}, Annotations: map[string]string{"a": "b"}, NamespaceLabels: map[string]string{"team": "t"}, Enrichment: "complete",
		Gap: Gap{Certainty: "certain", Cause: "expired", Source: "events"}, ErrorCode: "1", Log: "l",
		Rollout: Rollout{Known: true, Revision: 2, Age: time.Minute, Images: []string{"i"}, PreviousImages: []string{"j"}}, Restarts: 1,
	},
	{},
}

var templatePlace = regexp.MustCompile(`^template: [^:]*:(\d+)(?::(\d+))?: (?:executing "[^"]*" at <.*?>: )?`)

// template compiles the annotation p and tries it.
func (f *file) template(p pair) (annotation, bool) {
	what := "annotations." + p.key
	t, err := template.New("annotation").Option("missingkey=zero").Parse(p.value.value)
	for _, s := range samples {
		if err == nil {
			err = execute(t, s, &limited{})
		}
	}
	if err == nil {
		return annotation{p.key, t}, true
	}
	line, column, message := 1, 1, err.Error()
	if m := templatePlace.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		if m[2] != "" {
			column, _ = strconv.Atoi(m[2])
			column++
		}
		message = message[len(m[0]):]
	}
	f.in(p.value, line, column, "%s: %s", what, templateWords(message))
	return annotation{}, false
}

var unknownField = regexp.MustCompile(`can't evaluate field (\w+) in type \*?rule\.(\w+)`)

func templateWords(message string) string {
	return unknownField.ReplaceAllStringFunc(message, func(s string) string {
		m := unknownField.FindStringSubmatch(s)
		if m[2] == "Env" {
			return "unknown field " + m[1]
		}
		return fmt.Sprintf("%s has no field %s", strings.ToLower(m[2]), m[1])
	})
}
