package receiver

import (
	"net/url"
	"strings"
	"time"

	"kubescribe/schemas"
)

// around is how much time before and after an alert its links show.
const around = 15 * time.Minute

// of are the links to what is stored around an alert.
func (l Links) of(a *schemas.Alert) []link {
	e := newest(a.Evidence)
	from, to := a.StartsAt.Add(-around).UTC(), a.StartsAt.Add(around).UTC()
	for _, t := range []time.Time{e.Time, a.EndsAt} {
		if t.Add(around).After(to) {
			to = t.Add(around).UTC()
		}
	}
	var all []link
	if l.Explorer != "" {
		all = append(all, link{"explorer", l.explorer(a, e, from, to)})
	}
	if l.Kibana != "" {
		all = append(all, link{"kibana", l.kibana(a, from, to)})
	}
	return all
}

func (l Links) explorer(a *schemas.Alert, e schemas.Evidence, from, to time.Time) string {
	q := url.Values{"from": {from.Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)}}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	if a.Cluster != schemas.Fleet {
		set("cluster", a.Cluster)
	}
	set("namespace", e.Namespace)
	if kind, name, ok := strings.Cut(e.Object, "/"); ok {
		set("kind", kind)
		set("name", name)
	}
	return strings.TrimRight(l.Explorer, "/") + "/?" + q.Encode()
}

// kibana is Discover on the very documents that made the alert.
func (l Links) kibana(a *schemas.Alert, from, to time.Time) string {
	var ids []string
	for _, e := range a.Evidence {
		ids = append(ids, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(e.ID)+`"`)
	}
	query := "event.id : (" + strings.Join(ids, " or ") + ")"
	if len(ids) == 0 {
		query = ""
	}
	global := "(time:(from:" + rison(from.Format(time.RFC3339)) + ",to:" + rison(to.Format(time.RFC3339)) + "))"
	app := "(query:(language:kuery,query:" + rison(query) + "))"
	return strings.TrimRight(l.Kibana, "/") + "/app/discover#/?_g=" + fragment(global) + "&_a=" + fragment(app)
}

// rison quotes a text in Kibana's notation of its state in URLs.
func rison(s string) string {
	return "'" + strings.NewReplacer("!", "!!", "'", "!'").Replace(s) + "'"
}

// fragment escapes a value in the part of a URL behind its '#', where a '+' is no space.
func fragment(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
