package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// setupAdvice ends every refusal of Setup.
const setupAdvice = "run `kubescribe indexer setup` once as a user who may (cluster privileges manage_ilm and manage_index_templates, " +
	"index privileges create_index, manage and view_index_metadata)"

// Action is what a setup does about one thing.
type Action string

// The actions. What nobody has changed since kubescribe wrote it may be updated; what somebody has changed is kept, unless forced.
const (
	ActionNone      Action = "unchanged"
	ActionCreate    Action = "create"
	ActionUpdate    Action = "update"
	ActionKeep      Action = "keep"
	ActionOverwrite Action = "overwrite"
)

// Change is what a setup does, or would do, about one policy, template or layout.
type Change struct {
	Kind        string       `json:"kind"`
	Name        string       `json:"name"`
	Action      Action       `json:"action"`
	Differences []Difference `json:"differences,omitempty"`
}

// SetupOptions say how far a setup goes.
type SetupOptions struct {
	// DryRun changes nothing.
	DryRun bool
	// Force writes also over what somebody has changed.
	Force bool
}

// Setup creates the lifecycle policies, templates and layout that are missing. What exists is left as it is; a warning says so when it
// isn't what this version and configuration would write. A user who may not look at templates is let through when the layout shows
// that somebody has set up. Nothing is created where elasticsearch.manage is false.
func (e *Elasticsearch) Setup(ctx context.Context) error {
	l, err := e.readLayout(ctx)
	if err != nil {
		return fmt.Errorf("setting up Elasticsearch: %w", err)
	}
	if !e.cfg.Manage {
		return nil
	}
	templates, err := templates(e.cfg, l.schedule.longest())
	if err != nil {
		return err
	}
	var missing []Template
	for _, t := range slices.Backward(templates) {
		c, err := e.inspect(ctx, t, SetupOptions{})
		switch {
		case forbidden(err) && l.recorded:
			return nil
		case forbidden(err):
			return refusef("setting up Elasticsearch: %w; nothing shows that the templates are there: %s", err, setupAdvice)
		case err != nil:
			return fmt.Errorf("setting up Elasticsearch: %w", err)
		case c.Action == ActionCreate:
			missing = append(missing, t)
		case c.Action != ActionNone:
			e.log.WarnContext(ctx, "leaving a template as it is: it was changed, or written by another version or configuration; see `kubescribe indexer setup --diff`",
				"kind", t.Kind, "name", t.Name)
		}
	}
	for _, t := range slices.Backward(missing) { // in the order in which they depend on each other
		if err := e.put(ctx, t, true); err != nil {
			return fmt.Errorf("setting up Elasticsearch: %w", err)
		}
	}
	if !l.recorded {
		if err := e.createLayout(ctx); err != nil {
			return fmt.Errorf("setting up Elasticsearch: %w", err)
		}
	}
	if s := e.known().schedule; s.last() != e.cfg.Period {
		e.log.WarnContext(ctx, "elasticsearch.period is not what is recorded, which holds; `kubescribe indexer setup` records a change", "period", s.String())
	}
	return nil
}

// SetUp brings the engine to what this version and configuration want, and says what it did about each thing, or would do. It is for a
// person: what nobody has changed is updated, and a change of the period is recorded.
func (e *Elasticsearch) SetUp(ctx context.Context, o SetupOptions) ([]Change, error) {
	if !e.cfg.Manage {
		return nil, refusef("setting up Elasticsearch: elasticsearch.manage is false, so its policies and templates are yours")
	}
	l, err := e.readLayout(ctx)
	if err != nil {
		return nil, fmt.Errorf("setting up Elasticsearch: %w", err)
	}
	next := l.schedule
	if next.last() != e.cfg.Period {
		next = next.change(e.cfg.Period, e.now())
	}
	templates, err := templates(e.cfg, next.longest())
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, t := range templates {
		c, err := e.inspect(ctx, t, o)
		if err == nil && !o.DryRun && c.Action != ActionNone && c.Action != ActionKeep {
			err = e.put(ctx, t, c.Action == ActionCreate)
		}
		if forbidden(err) {
			err = refusef("%w: %s", err, setupAdvice)
		}
		if err != nil {
			return changes, fmt.Errorf("setting up Elasticsearch: %w", err)
		}
		changes = append(changes, c)
	}
	c := Change{Kind: "layout", Name: e.layoutName(), Action: ActionNone}
	switch {
	case !l.recorded:
		c.Action = ActionCreate
		if !o.DryRun {
			err = e.createLayout(ctx)
		}
	case len(next) != len(l.schedule):
		c.Action, c.Differences = ActionUpdate, []Difference{{"periods", l.schedule.String(), next.String()}}
		if !o.DryRun {
			err = e.recordLayout(ctx, next)
		}
	}
	if err != nil {
		return changes, fmt.Errorf("setting up Elasticsearch: %w", err)
	}
	return append(changes, c), nil
}

// forbiddenError is a refusal of privileges (403), not of credentials.
type forbiddenError struct{ error }

func forbidden(err error) bool {
	var f forbiddenError
	return errors.As(err, &f)
}

// inspect compares what the engine has in t's place with t.
func (e *Elasticsearch) inspect(ctx context.Context, t Template, o SetupOptions) (Change, error) {
	c, doing := Change{Kind: t.Kind, Name: t.Name, Action: ActionCreate}, "reading the "+t.Kind+" "+t.Name
	a, err := e.do(ctx, t.get())
	switch {
	case err != nil:
		return c, fmt.Errorf("%s: %w", doing, err)
	case a.status == http.StatusNotFound:
		return c, nil
	case a.status == http.StatusForbidden:
		return c, forbiddenError{a.check(doing)}
	}
	if err := a.check(doing); err != nil {
		return c, err
	}
	have, meta, err := t.found(a.body)
	if err != nil {
		return c, fmt.Errorf("%s: %w", doing, err)
	}
	want, err := canonical(t.Body)
	if err != nil {
		return c, fmt.Errorf("%s: %w", doing, err)
	}
	hash, err := contentHash(have)
	if err != nil {
		return c, fmt.Errorf("%s: %w", doing, err)
	}
	c.Differences = differences(have, want)
	switch {
	case len(c.Differences) == 0:
		c.Action = ActionNone
	case hash == meta:
		c.Action = ActionUpdate
	case o.Force:
		c.Action = ActionOverwrite
	default:
		c.Action = ActionKeep
	}
	return c, nil
}

// put puts t in its place. With create it never writes over what another process has put there since inspect.
func (e *Elasticsearch) put(ctx context.Context, t Template, create bool) error {
	body, err := json.Marshal(t.Body)
	if err != nil {
		return fmt.Errorf("encoding the %s: %w", t.Kind, err)
	}
	doing := "writing the " + t.Kind + " " + t.Name
	a, err := e.do(ctx, t.put(body, create))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch a.status {
	case http.StatusForbidden:
		return refusef("%s: not allowed: %s", doing, setupAdvice)
	case http.StatusBadRequest:
		if c, err := e.inspect(ctx, t, SetupOptions{}); create && err == nil && c.Action != ActionCreate {
			return nil
		}
		return refusef("%w", a.check(doing))
	}
	return a.check(doing)
}
