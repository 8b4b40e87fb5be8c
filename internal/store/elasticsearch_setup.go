package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// setupAdvice ends every refusal of Setup.
const setupAdvice = "run `kubescribe indexer setup` once as a user who may (cluster privileges manage_ilm and manage_index_templates)"

// Setup creates the lifecycle policies and templates that are missing. What exists is left as it is; a warning says so
// when it isn't what this version would write. A user who may not look at templates is let through when an index shows
// that they are there.
func (e *Elasticsearch) Setup(ctx context.Context) error {
	templates, err := Templates(e.cfg)
	if err != nil {
		return err
	}
	for _, t := range templates {
		hash, there, err := e.look(ctx, t)
		if forbidden(err) {
			return e.trustIndices(ctx, err)
		}
		if err == nil && !there {
			hash, err = e.create(ctx, t)
		}
		if err != nil {
			return fmt.Errorf("setting up Elasticsearch: %w", err)
		}
		if hash != t.hash {
			e.log.WarnContext(ctx, "leaving a template as it is: it was changed, or written by another version or configuration",
				"kind", t.Kind, "name", t.Name, "hash", hash, "want", t.hash)
		}
	}
	return nil
}

// forbiddenError is a refusal of privileges (403), not of credentials.
type forbiddenError struct{ error }

func forbidden(err error) bool {
	var f forbiddenError
	return errors.As(err, &f)
}

// look gives the hash in the _meta of what the engine has in t's place.
func (e *Elasticsearch) look(ctx context.Context, t Template) (hash string, there bool, err error) {
	a, err := e.do(ctx, t.get())
	if err != nil {
		return "", false, err
	}
	switch a.status {
	case http.StatusNotFound:
		return "", false, nil
	case http.StatusForbidden:
		return "", false, forbiddenError{a.check("reading the " + t.Kind + " " + t.Name)}
	}
	if err := a.check("reading the " + t.Kind + " " + t.Name); err != nil {
		return "", false, err
	}
	hash, err = metaHash(a.body)
	if err != nil {
		return "", false, fmt.Errorf("reading the %s %s: %w", t.Kind, t.Name, err)
	}
	return hash, true, nil
}

// create puts t in its place. It never writes over what another process has put there since look.
func (e *Elasticsearch) create(ctx context.Context, t Template) (hash string, err error) {
	body, err := json.Marshal(t.Body)
	if err != nil {
		return "", fmt.Errorf("encoding the %s: %w", t.Kind, err)
	}
	doing := "creating the " + t.Kind + " " + t.Name
	a, err := e.do(ctx, t.put(body, true))
	if err != nil {
		return "", err
	}
	switch a.status {
	case http.StatusForbidden:
		return "", refusef("%s: not allowed: %s", doing, setupAdvice)
	case http.StatusBadRequest:
		if hash, there, err := e.look(ctx, t); err == nil && there {
			return hash, nil
		}
		return "", refusef("%w", a.check(doing))
	}
	return t.hash, a.check(doing)
}

// metaHash finds the hash that kubescribe has left in an answer about one policy or template; "" when there is none.
func metaHash(body []byte) (string, error) {
	type meta struct {
		Hash string `json:"hash"`
	}
	var templates struct {
		Components []struct {
			T struct {
				Meta meta `json:"_meta"`
			} `json:"component_template"`
		} `json:"component_templates"`
		Indices []struct {
			T struct {
				Meta meta `json:"_meta"`
			} `json:"index_template"`
		} `json:"index_templates"`
	}
	if err := json.Unmarshal(body, &templates); err != nil {
		return "", err
	}
	for _, c := range templates.Components {
		return c.T.Meta.Hash, nil
	}
	for _, i := range templates.Indices {
		return i.T.Meta.Hash, nil
	}
	var policies map[string]struct {
		Policy struct {
			Meta meta `json:"_meta"`
		} `json:"policy"`
	}
	if err := json.Unmarshal(body, &policies); err != nil {
		return "", err
	}
	for _, p := range policies {
		return p.Policy.Meta.Hash, nil
	}
	return "", nil
}

// trustIndices is for a user who may only create documents and view index metadata: an index whose mapping is ours proves
// that somebody has run the setup.
func (e *Elasticsearch) trustIndices(ctx context.Context, cause error) error {
	yes := true
	a, err := e.do(ctx, esapi.IndicesGetMappingRequest{
		Index: []string{e.pattern()}, FilterPath: []string{"*.mappings._meta"}, ExpandWildcards: openIndices, IgnoreUnavailable: &yes, AllowNoIndices: &yes,
	})
	if err != nil {
		return err
	}
	var indices map[string]struct {
		Mappings struct {
			Meta struct {
				ManagedBy string `json:"managed_by"`
			} `json:"_meta"`
		} `json:"mappings"`
	}
	if a.status == http.StatusOK && json.Unmarshal(a.body, &indices) == nil {
		for _, i := range indices {
			if i.Mappings.Meta.ManagedBy == managedBy {
				return nil
			}
		}
	}
	return refusef("setting up Elasticsearch: %w; no index shows that the templates are there: %s", cause, setupAdvice)
}
