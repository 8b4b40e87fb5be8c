package listing

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"

	"kubescribe/internal/store"
	"kubescribe/schemas"
)

// row is what a table shows of a document.
type row struct {
	hit store.Hit
	doc schemas.Document
}

// rowOf reads a hit. Of a document that somebody else has written it shows what can be read.
func rowOf(h store.Hit) row {
	r := row{hit: h}
	if err := json.Unmarshal(h.Body, &r.doc); err != nil {
		r.doc = schemas.Document{Message: "(the document can't be read: " + err.Error() + ")"}
	}
	return r
}

// column is one of a table.
type column struct {
	title string
	value func(r row) string
}

var (
	timeColumn      = column{"TIME", func(r row) string { return r.hit.Time.UTC().Format(time.RFC3339) }}
	clusterColumn   = column{"CLUSTER", func(r row) string { return r.doc.Orchestrator.Cluster.Name }}
	namespaceColumn = column{"NAMESPACE", func(r row) string { return r.doc.Kubernetes.Namespace }}
	typeColumn      = column{"TYPE", row.kind}
	reasonColumn    = column{"REASON", func(r row) string { return r.doc.Event.Action }}
	objectColumn    = column{"OBJECT", row.object}
	messageColumn   = column{"MESSAGE", func(r row) string { return r.doc.Message }}
	countColumn     = column{"COUNT", row.count}
	workloadColumn  = column{"WORKLOAD", row.workload}
	nodeColumn      = column{"NODE", row.node}
	classColumn     = column{"CLASS", func(r row) string { return r.hit.Class }}
	idColumn        = column{"ID", func(r row) string { return r.hit.ID }}
	exactTimeColumn = column{"TIME", func(r row) string { return r.hit.Time.UTC().Format(time.RFC3339Nano) }}

	tableColumns = []column{timeColumn, namespaceColumn, typeColumn, reasonColumn, objectColumn, messageColumn}
	wideColumns  = []column{
		timeColumn, clusterColumn, namespaceColumn, typeColumn, reasonColumn, objectColumn, countColumn, workloadColumn, nodeColumn, classColumn, messageColumn,
	}
	csvColumns = []column{
		exactTimeColumn, clusterColumn, namespaceColumn, typeColumn, reasonColumn, objectColumn, countColumn, workloadColumn, nodeColumn, classColumn, messageColumn, idColumn,
	}
)

// kind is Normal or Warning for an Event, else what sort of fact it is.
func (r row) kind() string {
	if e := r.doc.Kubernetes.Event; e != nil && e.Type != "" {
		return e.Type
	}
	return string(r.doc.Kubescribe.Type)
}

func (r row) object() string {
	resource := r.doc.Orchestrator.Resource
	if resource.Type == "" {
		return ""
	}
	return resource.Type + "/" + resource.Name
}

func (r row) count() string {
	if e := r.doc.Kubernetes.Event; e != nil && e.Count > 0 {
		return strconv.FormatInt(e.Count, 10)
	}
	return ""
}

func (r row) workload() string {
	w := r.doc.Kubescribe.Workload
	if w == nil {
		return ""
	}
	return w.Kind + "/" + w.Name
}

func (r row) node() string {
	if r.doc.Kubernetes.Node == nil {
		return ""
	}
	return r.doc.Kubernetes.Node.Name
}

// plain is s in one line that a terminal can show: what would move its cursor or change its colours is a blank.
func plain(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
	}), " ")
}
