package receiver

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"text/template"
	"time"

	"kubescribe/schemas"
)

// The headers of a webhook's request, besides those that are configured.
const (
	// HeaderIdempotencyKey holds the alert's id. A repeat after a crash has the same, so that the far side can drop it.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderSignature holds "sha256=" and the HMAC-SHA256 of the body, when a key is configured.
	HeaderSignature = "X-Kubescribe-Signature"
)

// webhook posts the alert as it is, or what a template makes of it.
type webhook struct {
	c    Config
	body *template.Template // nil for the alert as it is
}

func newWebhook(c Config) webhook {
	w := webhook{c: c}
	if c.Body != "" {
		w.body = template.Must(parseBody(c.Body)) // Validate has parsed it before
	}
	return w
}

func parseBody(text string) (*template.Template, error) {
	return template.New("body").Option("missingkey=zero").Funcs(template.FuncMap{"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	}}).Parse(text)
}

// templateData is what a body's template sees.
type templateData struct {
	Alert *schemas.Alert
	Page  page
}

// checkBody tries a template on an alert with everything and on one with nothing.
func checkBody(text string) error {
	if text == "" {
		return nil
	}
	t, err := parseBody(text)
	if err != nil {
		return err
	}
	full := &schemas.Alert{ID: "id", Rule: "rule", Cluster: "c", Status: schemas.AlertFiring, StartsAt: time.Unix(0, 0), Evidence: []schemas.Evidence{{ID: "e"}}}
	for _, a := range []*schemas.Alert{full, {}} {
		if err := t.Execute(&bytes.Buffer{}, templateData{a, newPage(a, Links{})}); err != nil {
			return err
		}
	}
	return nil
}

func (w webhook) message(a *schemas.Alert, p page, _ string, _ time.Time) (message, error) {
	body, err := w.render(a, p)
	if err != nil {
		return message{}, &RefusedError{err}
	}
	key, err := w.c.key()
	if err != nil {
		return message{}, err
	}
	m := message{body: body, header: http.Header{}}
	if key != nil {
		m.header.Set(HeaderSignature, Sign(key, body))
	}
	return m, nil
}

func (w webhook) render(a *schemas.Alert, p page) ([]byte, error) {
	if w.body == nil {
		body, err := json.Marshal(a)
		if err != nil {
			return nil, fmt.Errorf("encoding alert: %w", err)
		}
		return body, nil
	}
	var out bytes.Buffer
	if err := w.body.Execute(&out, templateData{a, p}); err != nil {
		return nil, fmt.Errorf("rendering the body: %w", err)
	}
	return out.Bytes(), nil
}

func (webhook) judge([]byte) error { return nil }

// Sign is the value of HeaderSignature for body.
func Sign(key, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
