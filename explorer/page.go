package explorer

import (
	"bytes"
	"html/template"

	"kubescribe/internal/store"
)

// The page has no script and loads nothing.
const pagePolicy = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kubescribe</title>
<h1>kubescribe</h1>
<p>The flight recorder of Kubernetes clusters. This is its API; answers are JSON.</p>
<form action="/api/v1/search">
<p><label>Words in the message <input name="q"></label> <label>since <input name="from" value="24h" size="6"></label> <button>Search</button></p>
</form>
<ul>
<li><a href="/api/v1/search?limit=20">the newest 20 documents</a></li>
<li><a href="/api/v1/search?type=Warning&amp;from=24h">warnings of the last day</a></li>
<li><a href="/api/v1/count">how many documents there are</a></li>
<li><a href="/healthz">health</a></li>
</ul>
<h2>Parameters</h2>
<p>where (an expression of the query language, as <code>kubescribe query --help</code> has it, such as <code>type:Warning and not reason:BackOff</code>), q, from, to (RFC 3339, or how long ago: 90m, 7d), limit (at most {{.Limit}}), after (the next of a page), and the fields to filter on; a field that is given twice matches either value:</p>
<dl>
{{range .Fields}}<dt><code>{{.Name}}</code></dt><dd>{{.Help}}: <code>{{.Path}}</code></dd>
{{end}}</dl>
`))

func renderPage() ([]byte, error) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, map[string]any{"Fields": store.Fields(), "Limit": store.MaxLimit})
	return b.Bytes(), err
}
