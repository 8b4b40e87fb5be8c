package receiver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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

const (
	defaultTimeout = 10 * time.Second
	// longestPause bounds a Retry-After: a receiver that wants more is asked again all the same.
	longestPause = 10 * time.Minute
	// answerBytes is how much of a refusal's text is kept.
	answerBytes = 300
)

// webhook posts the Alert as JSON.
type webhook struct {
	c       Config
	timeout time.Duration
	client  *http.Client
}

func newWebhook(c Config) *webhook {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 8
	return &webhook{c: c, timeout: timeout, client: &http.Client{
		Transport: transport,
		// A redirect would be followed as a GET, without the alert.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (w *webhook) Name() string { return w.c.Name }

func (w *webhook) Wants(status schemas.AlertStatus) bool {
	return status != schemas.AlertResolved || w.c.SendResolved == nil || *w.c.SendResolved
}

func (w *webhook) Send(ctx context.Context, a *schemas.Alert, now time.Time) error {
	body, err := json.Marshal(a)
	if err != nil {
		return &RefusedError{fmt.Errorf("encoding alert: %w", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	req, err := w.request(ctx, a, body)
	if err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("posting to receiver %s: %w", w.c.Name, withoutURL(err))
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	return w.verdict(resp, text, now)
}

func (w *webhook) request(ctx context.Context, a *schemas.Alert, body []byte) (*http.Request, error) {
	to, err := w.c.address()
	if err != nil {
		return nil, fmt.Errorf("receiver %s: %w", w.c.Name, err)
	}
	key, err := w.c.key()
	if err != nil {
		return nil, fmt.Errorf("receiver %s: %w", w.c.Name, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("receiver %s: making a request: %w", w.c.Name, withoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "kubescribe")
	req.Header.Set(HeaderIdempotencyKey, a.ID)
	for name, value := range w.c.Headers {
		req.Header.Set(name, string(value))
	}
	if key != nil {
		req.Header.Set(HeaderSignature, Sign(key, body))
	}
	return req, nil
}

// Sign is the value of HeaderSignature for body.
func Sign(key, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// verdict is the one place that judges an answer.
func (w *webhook) verdict(resp *http.Response, text []byte, now time.Time) error {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	err := fmt.Errorf("receiver %s answered %d", w.c.Name, code)
	if said := strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " "); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	transient := code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500
	if !transient {
		return &RefusedError{err}
	}
	if after := retryAfter(resp.Header.Get("Retry-After"), now); after > 0 {
		return &BusyError{err, min(after, longestPause)}
	}
	return err
}

// retryAfter reads both forms of the header; 0 is none.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}

// withoutURL drops the address from an error of the client: it may hold a token.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
