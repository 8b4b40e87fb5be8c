package storetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Double answers like Elasticsearch to what Setup, Index and an unfiltered Count ask. It is safe for concurrent use.
type Double struct {
	// URL is the address, without a slash at its end.
	URL string

	server *httptest.Server
	mu     sync.Mutex
	docs   map[string]map[string]json.RawMessage // by index, by id
	conf   map[string]json.RawMessage            // by path
	faults []Fault
	judge  func(index, id string, body []byte) *Refusal
	refuse Fault // answers every bulk request
	forbid bool
	bulks  int
}

// Fault answers one bulk request in place of the double. It returns false to let the double answer after all.
type Fault func(w http.ResponseWriter, r *http.Request, body []byte) bool

// Refusal is the answer for one document.
type Refusal struct {
	Status int
	Type   string
	Reason string
}

// NewDouble starts a double on a free loopback port. The caller closes it.
func NewDouble() *Double {
	d := &Double{docs: map[string]map[string]json.RawMessage{}, conf: map[string]json.RawMessage{}}
	d.server = httptest.NewServer(http.HandlerFunc(d.serve))
	d.URL = d.server.URL
	return d
}

// Close stops the server.
func (d *Double) Close() {
	d.server.CloseClientConnections()
	d.server.Close()
}

// Inject lets each fault answer one of the next bulk requests, in order.
func (d *Double) Inject(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, faults...)
}

// Judge lets f refuse single documents from now on; nil from f lets the document in, and a nil f all.
func (d *Double) Judge(f func(index, id string, body []byte) *Refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.judge = f
}

// RefuseBulk answers every bulk request with an error from now on, or no longer.
func (d *Double) RefuseBulk(on bool, status int, kind, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = nil
	if on {
		d.refuse = Answer(status, kind, reason)
	}
}

// Forbid makes the double refuse to show or change policies and templates, from now on or no longer.
func (d *Double) Forbid(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forbid = on
}

// Configure puts a policy or a template in its place, as somebody else might.
func (d *Double) Configure(path, body string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conf[path] = json.RawMessage(body)
}

// Configuration gives the policies and templates by path.
func (d *Double) Configuration() map[string]json.RawMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.conf)
}

// Documents gives the bodies by index and id. A document that lies in two indices is there twice.
func (d *Double) Documents() map[string]map[string]json.RawMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]map[string]json.RawMessage{}
	for index, docs := range d.docs {
		all[index] = map[string]json.RawMessage{}
		for id, b := range docs {
			all[index][id] = b
		}
	}
	return all
}

// Count is the number of documents in all indices.
func (d *Double) Count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count()
}

func (d *Double) count() int {
	n := 0
	for _, docs := range d.docs {
		n += len(docs)
	}
	return n
}

// Bulks is the number of bulk requests that came in, those with a fault included.
func (d *Double) Bulks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bulks
}

// Answer is a fault that answers the whole request with an error of Elasticsearch's shape.
func Answer(status int, kind, reason string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		fail(w, status, kind, reason)
		return true
	}
}

// TooLarge is a fault that answers 413 to a request of more than limit bytes, without a body, as proxies do.
func TooLarge(limit int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, body []byte) bool {
		if len(body) <= limit {
			return false
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return true
	}
}

// Cut is a fault that takes the documents, sends the first half of the answer, and resets the connection.
func (d *Double) Cut(w http.ResponseWriter, _ *http.Request, body []byte) bool {
	d.mu.Lock()
	answer := d.create(body)
	d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	w.Write(answer[:len(answer)/2]) //nolint:errcheck // the connection is about to be cut
	w.(http.Flusher).Flush()
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
	return true
}

func (d *Double) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	switch {
	case r.URL.Path == "/_bulk":
		d.bulk(w, r, body)
	case strings.HasSuffix(r.URL.Path, "/_count"):
		d.mu.Lock()
		defer d.mu.Unlock()
		fmt.Fprintf(w, `{"count":%d,"_shards":{"failed":0}}`, d.count())
	case strings.HasPrefix(r.URL.Path, "/_ilm/"), strings.HasPrefix(r.URL.Path, "/_component_template/"),
		strings.HasPrefix(r.URL.Path, "/_index_template/"):
		d.configuration(w, r, body)
	case strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/_mapping"), "-layout"):
		d.layout(w, r, body)
	default:
		fail(w, http.StatusBadRequest, "illegal_argument_exception", "the double does not know "+r.URL.Path)
	}
}

func (d *Double) bulk(w http.ResponseWriter, r *http.Request, body []byte) {
	d.mu.Lock()
	d.bulks++
	fault := d.refuse
	if fault == nil && len(d.faults) > 0 {
		fault, d.faults = d.faults[0], d.faults[1:]
	}
	d.mu.Unlock()
	if fault != nil && fault(w, r, body) {
		return
	}
	d.mu.Lock()
	answer := d.create(body)
	d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer) //nolint:errcheck // the client will see that it is cut
}

// create stores what it may of a bulk body and gives the answer.
func (d *Double) create(body []byte) []byte {
	var items []map[string]any
	lines := bufio.NewReader(bytes.NewReader(body))
	for {
		action, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var head struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			} `json:"create"`
		}
		doc, _ := lines.ReadBytes('\n')
		if err := json.Unmarshal(action, &head); err != nil {
			items = append(items, item(&Refusal{http.StatusBadRequest, "illegal_argument_exception", "Malformed action/metadata line"}))
			continue
		}
		items = append(items, d.one(head.Create.Index, head.Create.ID, bytes.TrimSuffix(doc, []byte("\n"))))
	}
	answer, err := json.Marshal(map[string]any{"took": 1, "items": items})
	if err != nil {
		panic(err)
	}
	return answer
}

func (d *Double) one(index, id string, doc []byte) map[string]any {
	var typed struct {
		Timestamp time.Time `json:"@timestamp"`
		Message   string    `json:"message"`
	}
	if json.Unmarshal(doc, &typed) != nil || !utf8.Valid(doc) {
		return item(&Refusal{http.StatusBadRequest, "document_parsing_exception", "[1:1] failed to parse"})
	}
	if d.judge != nil {
		if r := d.judge(index, id, doc); r != nil {
			return item(r)
		}
	}
	if _, there := d.docs[index][id]; there {
		return item(&Refusal{http.StatusConflict, "version_conflict_engine_exception", "document already exists"})
	}
	if d.docs[index] == nil {
		d.docs[index] = map[string]json.RawMessage{}
	}
	d.docs[index][id] = doc
	return map[string]any{"create": map[string]any{"status": http.StatusCreated}}
}

func item(r *Refusal) map[string]any {
	return map[string]any{"create": map[string]any{"status": r.Status, "error": map[string]any{"type": r.Type, "reason": r.Reason}}}
}

func fail(w http.ResponseWriter, status int, kind, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"status": status, "error": map[string]any{"type": kind, "reason": reason}}) //nolint:errcheck // the client will see that it is cut
}

// layout keeps the index that records the periods: a user who may not touch templates may still look at it.
func (d *Double) layout(w http.ResponseWriter, r *http.Request, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := strings.TrimSuffix(r.URL.Path, "/_mapping")
	have, there := d.conf[path]
	switch {
	case r.Method == http.MethodGet && there:
		fmt.Fprintf(w, `{%q:{"mappings":%s}}`, path[1:], have)
	case r.Method == http.MethodGet:
		fail(w, http.StatusNotFound, "index_not_found_exception", "no such index ["+path[1:]+"]")
	case d.forbid:
		fail(w, http.StatusForbidden, "security_exception", "action is unauthorized for user [x]")
	case path != r.URL.Path: // a mapping that is put
		d.conf[path] = body
		fmt.Fprint(w, `{"acknowledged":true}`)
	case there:
		fail(w, http.StatusBadRequest, "resource_already_exists_exception", "index ["+path[1:]+"] already exists")
	default:
		var create struct {
			Mappings json.RawMessage `json:"mappings"`
		}
		json.Unmarshal(body, &create) //nolint:errcheck // an empty mapping shows in the test
		d.conf[path] = create.Mappings
		fmt.Fprint(w, `{"acknowledged":true}`)
	}
}

// configuration keeps policies and templates, and gives them back in the shapes in which Elasticsearch does.
func (d *Double) configuration(w http.ResponseWriter, r *http.Request, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.forbid {
		fail(w, http.StatusForbidden, "security_exception", "action is unauthorized for user [x]")
		return
	}
	have, there := d.conf[r.URL.Path]
	if r.Method == http.MethodPut {
		if there && r.URL.Query().Get("create") == "true" {
			fail(w, http.StatusBadRequest, "illegal_argument_exception", "already exists")
			return
		}
		d.conf[r.URL.Path] = body
		fmt.Fprint(w, `{"acknowledged":true}`)
		return
	}
	if !there {
		fail(w, http.StatusNotFound, "resource_not_found_exception", r.URL.Path)
		return
	}
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch {
	case strings.HasPrefix(r.URL.Path, "/_ilm/"):
		var put struct {
			Policy json.RawMessage `json:"policy"`
		}
		json.Unmarshal(have, &put) //nolint:errcheck // an empty policy shows in the test
		fmt.Fprintf(w, `{%q:{"version":1,"policy":%s}}`, name, put.Policy)
	case strings.HasPrefix(r.URL.Path, "/_component_template/"):
		fmt.Fprintf(w, `{"component_templates":[{"name":%q,"component_template":%s}]}`, name, have)
	default:
		fmt.Fprintf(w, `{"index_templates":[{"name":%q,"index_template":%s}]}`, name, have)
	}
}
