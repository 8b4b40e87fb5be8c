package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// bulkFilter takes out of the answer what nobody reads: a good document's part is its status.
var bulkFilter = []string{
	"errors", "status", "error.type", "error.reason", "error.caused_by",
	"items.*.status", "items.*.error.type", "items.*.error.reason", "items.*.error.caused_by",
}

// Index sends the items as one _bulk request of creates (more when the engine finds it too large) and waits for the answer.
func (e *Elasticsearch) Index(ctx context.Context, items []Item) ([]Outcome, error) {
	out := make([]Outcome, len(items))
	b := bulk{items: items, out: out, bodies: make([][]byte, len(items))}
	var fit []int
	for i, it := range items {
		reason := check(it)
		if reason == "" {
			line, err := oneLine(it.Body)
			if err == nil {
				b.bodies[i] = line
				fit = append(fit, i)
				continue
			}
			reason = err.Error()
		}
		out[i] = Outcome{Verdict: Poison, Reason: reason}
	}
	if len(fit) == 0 {
		return out, nil
	}
	if err := e.follow(ctx); err != nil {
		return nil, err
	}
	if err := e.store(ctx, &b, fit); err != nil {
		return nil, fmt.Errorf("bulk request: %w", err)
	}
	// One document that the engine can't take as part of any request is poison. When it takes none of them, the fault is not
	// the documents'.
	if len(b.rejected) == len(fit) && len(fit) > 1 {
		return nil, refusef("bulk request: Elasticsearch rejects every document: %s", out[fit[0]].Reason)
	}
	return out, nil
}

// bulk is one call of Index on its way.
type bulk struct {
	items    []Item
	bodies   [][]byte
	out      []Outcome
	rejected []int // items that were rejected as a request of their own
}

// store stores the items at the given positions and fills in their outcomes, in halves where the engine wants it.
func (e *Elasticsearch) store(ctx context.Context, b *bulk, at []int) error {
	a, err := e.post(ctx, b, at)
	if err != nil {
		return err
	}
	if a.status/100 == 2 {
		return b.settle(at, a)
	}
	f := a.failure()
	switch classifyRequest(a.status, f.Type) {
	case requestSplit, requestRejected:
		if len(at) > 1 {
			if err := e.store(ctx, b, at[:len(at)/2]); err != nil {
				return err
			}
			return e.store(ctx, b, at[len(at)/2:])
		}
		reason := f.text()
		if a.status == http.StatusRequestEntityTooLarge {
			reason = fmt.Sprintf("the document alone is too large a request (%d bytes): %s", len(b.bodies[at[0]]), reason)
		}
		b.out[at[0]] = Outcome{Verdict: Poison, Reason: strings.TrimSuffix(reason, ": ")}
		b.rejected = append(b.rejected, at[0])
		return nil
	case requestTransient:
		return fmt.Errorf("Elasticsearch answered %d %s", a.status, f.text())
	}
	return refusef("Elasticsearch answered %d %s", a.status, f.text())
}

func (e *Elasticsearch) post(ctx context.Context, b *bulk, at []int) (answer, error) {
	buf := e.bulks.Get().(*requestBuffer)
	size := 0
	for _, i := range at {
		size += len(b.bodies[i]) + len(b.items[i].ID) + len(e.cfg.IndexPrefix) + actionBytes
	}
	buf.plain.Reset()
	buf.plain.Grow(size)
	var name indexName
	for _, i := range at {
		if err := appendCreate(&buf.plain, name.of(e, b.items[i]), b.items[i].ID, b.bodies[i]); err != nil {
			return answer{}, err
		}
	}
	r := esapi.BulkRequest{Body: bytes.NewReader(buf.plain.Bytes()), FilterPath: bulkFilter, Header: http.Header{"Content-Type": {"application/x-ndjson"}}}
	if e.compress {
		body, err := buf.gzip()
		if err != nil {
			return answer{}, err
		}
		r.Body = bytes.NewReader(body)
		r.Header.Set("Content-Encoding", "gzip")
	}
	a, err := e.do(ctx, r)
	// Only an engine that took all of it says yes. After any other end the transport may still be reading the buffer, and
	// to use it again would send another document under this one's id.
	if err == nil && a.status/100 == 2 {
		e.bulks.Put(buf)
	}
	return a, err
}

// requestBuffer is the memory of one bulk request, used again by later ones.
type requestBuffer struct {
	plain, zipped bytes.Buffer
	zip           *gzip.Writer
}

// gzip is the plain request compressed, at the level that costs least: most of the gain is there already.
func (b *requestBuffer) gzip() ([]byte, error) {
	b.zipped.Reset()
	if b.zip == nil {
		var err error
		if b.zip, err = gzip.NewWriterLevel(&b.zipped, gzip.BestSpeed); err != nil {
			return nil, err
		}
	} else {
		b.zip.Reset(&b.zipped)
	}
	if _, err := b.zip.Write(b.plain.Bytes()); err != nil {
		return nil, fmt.Errorf("compressing the request: %w", err)
	}
	if err := b.zip.Close(); err != nil {
		return nil, fmt.Errorf("compressing the request: %w", err)
	}
	return b.zipped.Bytes(), nil
}

// indexName remembers the name of the last item's index: neighbours mostly share it.
type indexName struct {
	class string
	day   int64
	name  string
}

func (n *indexName) of(e *Elasticsearch, it Item) string {
	// Every period begins at a midnight UTC.
	if day := it.Time.Unix() / 86_400; n.name == "" || day != n.day || it.Class != n.class {
		*n = indexName{it.Class, day, e.index(it)}
	}
	return n.name
}

// actionBytes is about what an action adds to a document beside its id and the prefix of its index.
const actionBytes = 80

// appendCreate writes one action and its document.
func appendCreate(buf *bytes.Buffer, index, id string, body []byte) error {
	buf.WriteString(`{"create":{"_index":"`)
	buf.WriteString(index) // made of a validated prefix, a validated class and a date: nothing to escape
	buf.WriteString(`","_id":`)
	if plain(id) {
		buf.WriteByte('"')
		buf.WriteString(id)
		buf.WriteByte('"')
	} else {
		quoted, err := json.Marshal(id)
		if err != nil {
			return fmt.Errorf("encoding the id: %w", err)
		}
		buf.Write(quoted)
	}
	buf.WriteString("}}\n")
	buf.Write(body)
	buf.WriteByte('\n')
	return nil
}

// plain says whether s needs no escape in JSON.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// settle fills in the outcomes of the items at the given positions from the answer.
func (b *bulk) settle(at []int, a answer) error {
	items, err := parseBulk(a.body, len(at))
	if err != nil {
		return err
	}
	for n, it := range items {
		o := Outcome{Verdict: Done, Existed: it.Status == http.StatusConflict}
		if it.Error != nil || it.Status/100 != 2 {
			failure := it.failure()
			if o.Verdict = classifyItem(it.Status, failure.Type, failure.Reason); o.Verdict != Done {
				o = Outcome{Verdict: o.Verdict, Reason: strings.TrimSpace(fmt.Sprintf("%d %s", it.Status, failure.text()))}
			}
		}
		b.out[at[n]] = o
	}
	return nil
}

// bulkItem is the part of a bulk answer that is about one document.
type bulkItem struct {
	Status int          `json:"status"`
	Error  *engineError `json:"error"`
}

func (i bulkItem) failure() engineError {
	if i.Error == nil {
		return engineError{}
	}
	return *i.Error
}

// parseBulk reads the answer to a bulk request of want creates. It accepts nothing less than a status for each.
func parseBulk(body []byte, want int) ([]bulkItem, error) {
	if items := parseAllGood(body, want); items != nil {
		return items, nil
	}
	var parsed struct {
		Items []struct {
			Create *bulkItem `json:"create"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		return nil, fmt.Errorf("reading the bulk answer: %w", errors.Join(errNotElasticsearch, err))
	}
	if len(parsed.Items) != want {
		return nil, fmt.Errorf("reading the bulk answer: it has %d items for %d documents", len(parsed.Items), want)
	}
	items := make([]bulkItem, want)
	for i, it := range parsed.Items {
		if it.Create == nil || it.Create.Status < 100 {
			return nil, fmt.Errorf("reading the bulk answer: item %d has no status", i)
		}
		items[i] = *it.Create
	}
	return items, nil
}

// parseAllGood reads the usual answer, every document created, as this filter makes the engine write it; nil for any other. It is
// several times as fast as the JSON decoder.
func parseAllGood(body []byte, want int) []bulkItem {
	good := []byte(`{"create":{"status":201}}`)
	rest, ok := bytes.CutPrefix(body, []byte(`{"errors":false,"items":[`))
	if !ok || want < 1 || len(rest)/len(good) < want {
		return nil
	}
	items := make([]bulkItem, want)
	for i := range items {
		if i > 0 {
			if rest, ok = bytes.CutPrefix(rest, []byte(`,`)); !ok {
				return nil
			}
		}
		if rest, ok = bytes.CutPrefix(rest, good); !ok {
			return nil
		}
		items[i].Status = http.StatusCreated
	}
	if string(rest) != "]}" {
		return nil
	}
	return items
}
