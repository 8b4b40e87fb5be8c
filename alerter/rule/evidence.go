package rule

import (
	"strings"
	"unicode/utf8"

	"kubescribe/schemas"
)

// Limits of what a match carries of a document, in bytes.
const (
	maxMessage    = 1 << 10
	maxLog        = 2 << 10
	maxGroupValue = 512
)

// evidence is the short view of d that a page shows.
func (r *Rule) evidence(d *schemas.Document, e *Env) schemas.Evidence {
	v := schemas.Evidence{
		ID: d.Event.ID, Time: e.Time, Reason: cut(e.Reason, maxGroupValue), Message: cut(e.Message, maxMessage), Namespace: e.Namespace, Object: e.Object,
		Workload: e.Workload.String(), Service: e.Service, Node: e.Node, Container: e.Container, Image: cut(e.Image, maxGroupValue), Log: tail(e.Log, maxLog),
	}
	if d.Error != nil {
		v.ExitCode = cut(d.Error.Code, maxGroupValue)
	}
	if ro := d.Kubescribe.Rollout; ro != nil {
		v.Revision, v.RolledOutAt = ro.Revision, ro.ChangedAt
	}
	if r.Scope.Fleet {
		v.Cluster = e.Cluster
	}
	return v
}

// cut is the beginning of s, at most limit bytes and whole characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// tail is the end of s, at most limit bytes, from the start of a line where there is one.
func tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	from := len(s) - limit
	for from < len(s) && !utf8.RuneStart(s[from]) {
		from++
	}
	s = s[from:]
	if i := strings.IndexByte(s, '\n'); i >= 0 && i < len(s)-1 {
		return s[i+1:]
	}
	return s
}
