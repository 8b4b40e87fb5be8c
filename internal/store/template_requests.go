package store

import (
	"bytes"
	"encoding/json"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// The kinds of a Template.
const (
	kindPolicy    = "ILM policy"
	kindComponent = "component template"
	kindIndex     = "index template"
)

// path is where t lives, for people.
func (t Template) path() string {
	return map[string]string{kindPolicy: "/_ilm/policy/", kindComponent: "/_component_template/", kindIndex: "/_index_template/"}[t.Kind] + t.Name
}

// get asks for what the engine has in t's place.
func (t Template) get() esapi.Request {
	switch t.Kind {
	case kindPolicy:
		return esapi.ILMGetLifecycleRequest{Policy: t.Name}
	case kindComponent:
		return esapi.ClusterGetComponentTemplateRequest{Name: []string{t.Name}}
	}
	return esapi.IndicesGetIndexTemplateRequest{Name: t.Name}
}

// put puts body in t's place. With create it never writes over what is there; a policy knows no such thing.
func (t Template) put(body []byte, create bool) esapi.Request {
	switch t.Kind {
	case kindPolicy:
		return esapi.ILMPutLifecycleRequest{Policy: t.Name, Body: bytes.NewReader(body)}
	case kindComponent:
		return esapi.ClusterPutComponentTemplateRequest{Name: t.Name, Body: bytes.NewReader(body), Create: &create}
	}
	return esapi.IndicesPutIndexTemplateRequest{Name: t.Name, Body: bytes.NewReader(body), Create: &create}
}

// found reads the answer to get: the canonical content, and the hash that kubescribe has left beside it, "" when there is none.
func (t Template) found(answer []byte) (content map[string]any, hash string, err error) {
	type body map[string]any
	var templates struct {
		Components []struct {
			T body `json:"component_template"`
		} `json:"component_templates"`
		Indices []struct {
			T body `json:"index_template"`
		} `json:"index_templates"`
	}
	var policies map[string]struct {
		Policy body `json:"policy"`
	}
	var b body
	if t.Kind == kindPolicy {
		err = json.Unmarshal(answer, &policies)
		b = policies[t.Name].Policy
	} else if err = json.Unmarshal(answer, &templates); err == nil {
		for _, c := range templates.Components {
			b = c.T
		}
		for _, i := range templates.Indices {
			b = i.T
		}
	}
	if err != nil {
		return nil, "", err
	}
	if b == nil {
		return nil, "", errNotElasticsearch
	}
	if meta, ok := b["_meta"].(map[string]any); ok {
		hash, _ = meta["hash"].(string)
	}
	content, err = canonical(b)
	return content, hash, err
}
