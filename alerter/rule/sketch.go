package rule

import (
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// sketched are the names of the fields that a sketch has, besides the language's own functions.
var sketched = map[string]bool{
	"cluster": true, "event_type": true, "class": true, "namespace": true, "kind": true, "name": true, "object": true, "reason": true,
	"type": true, "message": true, "count": true, "occurrences": true, "duration": true, "normalise": true,
}

// sketch fills in e the fields that most rules decide by, from the JSON of a document and without decoding it: a tenth of the
// cost. What it fills in is what NewEnv would, the rest of e is left alone. false means that only decoding can tell.
func sketch(value []byte, e *Env) bool {
	*e = Env{Occurrences: 1, Type: "Normal"}
	d := drawing{scanner: &scanner{b: value}, Env: e}
	if !d.enter() {
		return false
	}
	d.document()
	if d.bad {
		return false
	}
	if d.next(); d.i < len(value) {
		return false
	}
	if d.hasLog && d.level != "info" {
		e.Type = "Warning"
	}
	if d.eventType != "" {
		e.Type = d.eventType
	}
	if d.reason != "" {
		e.Reason = d.reason
	}
	if e.Namespace == "" {
		e.Namespace = d.orchestratorNamespace
	}
	if e.Kind == "" && d.hasPod {
		e.Kind, e.Name = "Pod", d.pod
	}
	if e.Kind != "" || e.Name != "" {
		e.Object = e.Kind + "/" + e.Name
	}
	return true
}

// drawing is a sketch that is not finished.
type drawing struct {
	*scanner
	*Env
	reason, eventType, level, orchestratorNamespace, pod string
	hasLog, hasPod                                       bool
}

func (d *drawing) document() {
	for key := d.key(true); key != nil; key = d.key(false) {
		switch string(key) {
		case "message":
			d.Message = d.text()
		case "event":
			d.fields("action", &d.Reason)
		case "log":
			d.hasLog = d.fields("level", &d.level)
		case "orchestrator":
			d.orchestrator()
		case "kubernetes":
			d.kubernetes()
		case "kubescribe":
			d.kubescribe()
		default:
			d.skip()
		}
	}
}

// fields reads one text of an object, and says whether there is an object.
func (d *drawing) fields(name string, into *string) bool {
	if !d.enter() {
		return false
	}
	for key := d.key(true); key != nil; key = d.key(false) {
		if string(key) == name {
			*into = d.text()
		} else {
			d.skip()
		}
	}
	return true
}

func (d *drawing) orchestrator() {
	if !d.enter() {
		return
	}
	for key := d.key(true); key != nil; key = d.key(false) {
		switch string(key) {
		case "cluster":
			d.fields("name", &d.Cluster)
		case "namespace":
			d.orchestratorNamespace = d.text()
		default:
			d.skip()
		}
	}
}

func (d *drawing) kubernetes() {
	if !d.enter() {
		return
	}
	for key := d.key(true); key != nil; key = d.key(false) {
		switch string(key) {
		case "namespace":
			d.Namespace = d.text()
		case "event":
			d.event()
		case "pod":
			d.hasPod = d.fields("name", &d.pod)
		default:
			d.skip()
		}
	}
}

func (d *drawing) event() {
	if !d.enter() {
		return
	}
	for key := d.key(true); key != nil; key = d.key(false) {
		switch string(key) {
		case "type":
			d.eventType = d.text()
		case "reason":
			d.reason = d.text()
		case "count":
			d.Count, _ = d.integer()
		case "involved_object":
			d.involved()
		default:
			d.skip()
		}
	}
}

func (d *drawing) involved() {
	if !d.enter() {
		return
	}
	for key := d.key(true); key != nil; key = d.key(false) {
		switch string(key) {
		case "kind":
			d.Kind = d.text()
		case "name":
			d.Name = d.text()
		default:
			d.skip()
		}
	}
}

func (d *drawing) kubescribe() {
	if !d.enter() {
		return
	}
	for key := d.key(true); key != nil; key = d.key(false) {
		switch string(key) {
		case "type":
			d.EventType = d.text()
		case "class":
			d.Class = d.text()
		case "occurrences":
			if n, there := d.integer(); there {
				d.Occurrences = n
			}
		default:
			d.skip()
		}
	}
}

// necessary is a part of an expression that a sketch is enough for, and without which the whole can't be true: those of the terms
// joined by and that use no other field. It is empty if there is none.
func necessary(text string) string {
	tree, err := parser.Parse(text)
	if err != nil {
		return "" // the text has compiled, so this is a difference within the library
	}
	var parts []string
	for _, term := range terms(tree.Node) {
		if sketchable(term) {
			parts = append(parts, "("+term.String()+")")
		}
	}
	return strings.Join(parts, " and ")
}

func terms(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "and" || b.Operator == "&&") {
		return append(terms(b.Left), terms(b.Right)...)
	}
	return []ast.Node{n}
}

func sketchable(n ast.Node) bool {
	used := names{}
	ast.Walk(&n, used)
	for name := range used {
		if !sketched[name] {
			return false
		}
	}
	return true
}

// names gathers the names in an expression.
type names map[string]bool

// Visit is ast.Visitor's.
func (n names) Visit(node *ast.Node) {
	if id, ok := (*node).(*ast.IdentifierNode); ok {
		n[id.Value] = true
	}
}
