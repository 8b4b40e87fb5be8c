// Package selection decides by expr rules which facts a producer leaves out before they reach Kafka. It is pure: it counts and logs
// nothing, and what it drops, the producer counts by the rule's name.
//
// It is the coarse door, for what nobody will ever want to read. A fact that was dropped is gone; the alerter's rules and the
// retention classes are the places for everything finer.
package selection

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr"
	exprfile "github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Rule drops the facts for which Expr is true.
type Rule struct {
	// Name is the metric's label.
	Name string `koanf:"name"`
	// Expr is an expression over Fact in the language of the alert rules.
	Expr string `koanf:"expr"`
}

// Fact is what an expression can see. The names are those of the alert rules, as far as they are known before enrichment. What a
// fact does not have is the empty value, never an error.
type Fact struct {
	// EventType is "event" or "container".
	EventType string `expr:"event_type"`
	// Namespace, Kind and Name are those of the involved object; Object is "Kind/name".
	Namespace string `expr:"namespace"`
	Kind      string `expr:"kind"`
	Name      string `expr:"name"`
	Object    string `expr:"object"`
	// Reason is the Event's reason, or a container's, like "OOMKilled".
	Reason string `expr:"reason"`
	// Type is "Normal" or "Warning"; a container's transition is a "Warning".
	Type    string `expr:"type"`
	Message string `expr:"message"`
	// Component is what reported it, like "kubelet".
	Component string `expr:"component"`
	// Count is how often it happened since the Event began.
	Count int `expr:"count"`
	// Node, Container and what follows are known of containers' transitions; of Events, Node is the reporting host.
	Node      string            `expr:"node"`
	Container string            `expr:"container"`
	Image     string            `expr:"image"`
	Restarts  int               `expr:"restarts"`
	ErrorCode string            `expr:"error_code"`
	Labels    map[string]string `expr:"labels"`
}

// Rules are compiled rules, in their order. They may be used by several goroutines.
type Rules struct {
	names    []string
	programs []*vm.Program
}

var ruleName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Compile reports every problem at once, each with the rule and the place in its expression.
func Compile(rules []Rule) (*Rules, error) {
	var errs []error
	bad := func(i int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("drop[%d]."+format, append([]any{i}, args...)...))
	}
	all := &Rules{}
	seen := map[string]bool{}
	for i, r := range rules {
		switch {
		case !ruleName.MatchString(r.Name):
			bad(i, "name: %q is no name; use lower-case letters, digits, - and _, for example leader-election", r.Name)
		case seen[r.Name]:
			bad(i, "name: %q is there twice", r.Name)
		}
		seen[r.Name] = true
		if strings.TrimSpace(r.Expr) == "" {
			bad(i, `expr: is missing; use for example reason == "LeaderElection"`)
			continue
		}
		program, err := expr.Compile(r.Expr, expr.Env(&Fact{}), expr.AsBool(), expr.DisableBuiltin("now"))
		var at *exprfile.Error
		switch {
		case errors.As(err, &at):
			bad(i, "expr: %q, line %d, column %d: %s", r.Expr, at.Line, at.Column+1, plain(at.Message))
		case err != nil:
			bad(i, "expr: %q: %s", r.Expr, plain(err.Error()))
		default:
			all.names, all.programs = append(all.names, r.Name), append(all.programs, program)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return all, nil
}

// plain turns the compiler's words about Go types into the rule writer's.
func plain(message string) string {
	return strings.NewReplacer("type *selection.Fact has no", "there is no", "type selection.Fact has no", "there is no").Replace(message)
}

// Names are those of the rules, in order.
func (r *Rules) Names() []string { return r.names }

// Empty rules drop nothing, so that nobody needs to describe a fact to them.
func (r *Rules) Empty() bool { return r == nil || len(r.programs) == 0 }

// Dropped is the name of the first rule that drops f; "" when none does. A rule that fails drops nothing: its name and error are
// returned, after the others had their say.
func (r *Rules) Dropped(f *Fact) (rule string, failed string, err error) {
	for i, p := range r.programs {
		out, e := vm.Run(p, f)
		if e != nil {
			failed, err = r.names[i], fmt.Errorf("evaluating drop rule %s: %w", r.names[i], e)
			continue
		}
		if out == true {
			return r.names[i], failed, err
		}
	}
	return "", failed, err
}
