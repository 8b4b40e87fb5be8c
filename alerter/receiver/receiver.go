package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// Receiver takes alerts.
type Receiver interface {
	// Name is the name by which rules call it.
	Name() string
	// Wants says whether alerts of this status are sent to it at all.
	Wants(status schemas.AlertStatus) bool
	// Send tries once. It blocks until there is a verdict, at most for its timeout. now is the wall clock, which a
	// Retry-After that names a date is measured against.
	Send(ctx context.Context, a *schemas.Alert, now time.Time) error
}

// RefusedError says that this receiver will never take this alert.
type RefusedError struct{ Err error }

// Error is the cause's.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// BusyError says that the receiver asked to be left alone for a while.
type BusyError struct {
	Err error
	// After is how long.
	After time.Duration
}

// Error is the cause's.
func (e *BusyError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *BusyError) Unwrap() error { return e.Err }

// Config is one receiver of the configuration.
type Config struct {
	// Name is how rules call it in notify.
	Name string `koanf:"name"`
	// Type is webhook.
	Type string `koanf:"type"`
	// URL is where alerts are posted. It is treated as a secret, because many hold a token.
	URL stream.Secret `koanf:"url"`
	// URLFile holds the URL instead; it is read at each sending, so that a rotated one needs no restart.
	URLFile string `koanf:"url_file"`
	// HMACSecretFile holds the key that signs each body: header X-Kubescribe-Signature, "sha256=" and the hexadecimal
	// HMAC-SHA256. It is read at each sending.
	HMACSecretFile string `koanf:"hmac_secret_file"`
	// Headers are added to each request.
	Headers map[string]stream.Secret `koanf:"headers"`
	// Timeout bounds one try. Default 10s.
	Timeout time.Duration `koanf:"timeout"`
	// SendResolved says whether the end of an alert is sent too. Default true.
	SendResolved *bool `koanf:"send_resolved"`
}

// types are the kinds of receivers there are.
var types = []string{"webhook"}

// Validate reports every problem at once. at is where c stands in the configuration.
func (c Config) Validate(at string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(at+"."+format, args...)) }
	if c.Name == "" {
		bad("name is empty: rules call a receiver by its name")
	}
	if !slices.Contains(types, c.Type) {
		bad("type: %q is unknown: use %s", c.Type, strings.Join(types, " or "))
	}
	switch {
	case c.URL == "" && c.URLFile == "":
		bad("url and url_file are empty: set one of them")
	case c.URL != "" && c.URLFile != "":
		bad("url and url_file are both set: keep one")
	}
	if _, err := c.address(); err != nil && (c.URL == "") != (c.URLFile == "") {
		bad("%w", err)
	}
	if _, err := c.key(); err != nil {
		bad("%w", err)
	}
	if c.Timeout < 0 {
		bad("timeout: %s is negative", c.Timeout)
	}
	for name := range c.Headers {
		if name == "" || strings.ContainsAny(name, " :\r\n") {
			bad("headers: %q is no header's name", name)
		}
	}
	return errors.Join(errs...)
}

// address is the URL to post to. Errors don't show it.
func (c Config) address() (*url.URL, error) {
	raw, what := string(c.URL), "url"
	if c.URLFile != "" {
		b, err := os.ReadFile(c.URLFile)
		if err != nil {
			return nil, fmt.Errorf("url_file: %w", err)
		}
		raw, what = strings.TrimSpace(string(b)), "url_file"
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s: is no http:// or https:// address", what)
	}
	return u, nil
}

// key is the key of the signature, nil for none.
func (c Config) key() ([]byte, error) {
	if c.HMACSecretFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(c.HMACSecretFile)
	if err != nil {
		return nil, fmt.Errorf("hmac_secret_file: %w", err)
	}
	key := strings.TrimRight(string(b), "\r\n")
	if key == "" {
		return nil, fmt.Errorf("hmac_secret_file: %s is empty", c.HMACSecretFile)
	}
	return []byte(key), nil
}

// New builds the receiver that c, which must be valid, describes.
func New(c Config) Receiver { return newWebhook(c) }
