package enricher

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"kubescribe/schemas"
)

// labelTeam is the key of labels.team.
const labelTeam = "team"

// maxSet is how many fields users may set.
const maxSet = 32

// Fields is the part of the configuration that shapes documents. It is immutable and safe for concurrent use.
type Fields struct {
	// ServiceLabels are the labels that may name the service, TeamLabels the team, NodePoolLabels a node's pool.
	ServiceLabels, TeamLabels, NodePoolLabels []string
	// KeepOriginal copies the payload to event.original.
	KeepOriginal bool

	set     []rule // name and value
	classes []rule // class and condition
}

// rule is one compiled expression.
type rule struct {
	name    string
	program *vm.Program
}

// ClassRule gives documents a retention class.
type ClassRule struct {
	Class string `koanf:"class"`
	// When is an expression that is true for the documents of the class.
	When string `koanf:"when"`
}

// fields compiles the configuration's expressions and reports every problem.
func (c Config) fields() (Fields, error) {
	f := Fields{ServiceLabels: c.ServiceLabels, TeamLabels: c.TeamLabels, NodePoolLabels: c.NodePoolLabels, KeepOriginal: c.KeepOriginal}
	var errs []error
	if len(c.Set) > maxSet {
		errs = append(errs, fmt.Errorf("enricher.set: has %d fields, at most %d are allowed", len(c.Set), maxSet))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		key := "enricher.set." + name
		if name == "" || strings.ContainsAny(name, ". ") || len(name) > 64 {
			errs = append(errs, fmt.Errorf("%s: is no name of a field: use at most 64 characters without dots and spaces", key))
		}
		p, err := expr.Compile(c.Set[name], expr.Env(Env{}), expr.AsKind(stringKind), expr.DisableBuiltin("now"))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: is no expression of a text: %w", key, err))
		}
		f.set = append(f.set, rule{name, p})
	}
	for i, r := range c.Classes {
		key := fmt.Sprintf("enricher.classes[%d]", i)
		if err := schemas.ValidateClass(r.Class); err != nil {
			errs = append(errs, fmt.Errorf("%s.class: %w", key, err))
		}
		p, err := expr.Compile(r.When, expr.Env(Env{}), expr.AsBool(), expr.DisableBuiltin("now"))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.when: is no condition: %w", key, err))
		}
		f.classes = append(f.classes, rule{r.Class, p})
	}
	return f, errors.Join(errs...)
}

// addUserFields sets labels.* and the retention class as configured. The first condition that holds decides the class;
// an expression that fails on a document sets nothing, and the document says so.
func addUserFields(d *schemas.Document, c *cutter, f Fields) {
	if len(f.set)+len(f.classes) == 0 {
		return
	}
	env := newEnv(d)
	failed := func(what string) {
		if d.Kubescribe.Enrichment == nil {
			d.Kubescribe.Enrichment = &schemas.Enrichment{Status: schemas.EnrichmentComplete}
		}
		e := *d.Kubescribe.Enrichment // its Missing is shared with the object's other documents
		e.Missing = append(slices.Clip(e.Missing), missing(what, reasonFailed))
		if e.Status == schemas.EnrichmentComplete {
			e.Status = schemas.EnrichmentPartial
		}
		d.Kubescribe.Enrichment = &e
	}
	for _, r := range f.set {
		v, err := expr.Run(r.program, env)
		switch text, _ := v.(string); {
		case err != nil:
			failed("set." + r.name)
		case text != "":
			if d.Labels == nil {
				d.Labels = map[string]string{}
			}
			d.Labels[r.name] = c.name("labels", text)
		}
	}
	for _, r := range f.classes {
		v, err := expr.Run(r.program, env)
		if err != nil {
			failed("class")
			continue
		}
		if v == true {
			d.Kubescribe.Class = r.name
			return
		}
	}
}
