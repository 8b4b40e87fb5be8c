package store

import (
	"bytes"

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
