package receiver

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	netmail "net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"kubescribe/internal/stream"
)

// Config is one receiver of the configuration.
type Config struct {
	// Name is how rules call it in notify.
	Name string `koanf:"name"`
	// Type is webhook, alertmanager, slack, msteams, pagerduty, wecom, dingtalk, feishu (Lark too) or email.
	Type string `koanf:"type"`
	// URL is where alerts are posted: of alertmanager its base, of the others the address that the far side gave. It is treated as
	// a secret, because most hold a token. pagerduty has a default. Not for email.
	URL stream.Secret `koanf:"url"`
	// URLFile holds the URL instead; it is read at each sending, so that a rotated one needs no restart.
	URLFile string `koanf:"url_file"`
	// Secret is the routing key of pagerduty, the signing secret of dingtalk and feishu, or the password of email.
	Secret stream.Secret `koanf:"secret"`
	// SecretFile holds the Secret instead; it is read at each sending.
	SecretFile string `koanf:"secret_file"`
	// Body is a template of a webhook's body; by default that is the alert as it is on the topic. It sees .Alert and .Page, and
	// has the function json.
	Body string `koanf:"body"`
	// HMACSecretFile holds the key that signs each body of a webhook: header X-Kubescribe-Signature, "sha256=" and the hexadecimal
	// HMAC-SHA256. It is read at each sending.
	HMACSecretFile string `koanf:"hmac_secret_file"`
	// Headers are added to each request.
	Headers map[string]stream.Secret `koanf:"headers"`
	// Email says how mail is sent.
	Email EmailConfig `koanf:"email"`
	// Timeout bounds one try. Default 10s.
	Timeout time.Duration `koanf:"timeout"`
	// SendResolved says whether the end of an alert is sent too. Default true.
	SendResolved *bool `koanf:"send_resolved"`
	// PerMinute is how many alerts are sent in a minute at most; what is more waits. 0 is the far side's documented limit, where it
	// has one.
	PerMinute int `koanf:"per_minute"`
	// RepostInterval is how often alertmanager is told again of what fires. It forgets an alert after five times that. Default 1m.
	RepostInterval time.Duration `koanf:"repost_interval"`
}

// EmailConfig is how mail is sent.
type EmailConfig struct {
	// Host is the mail server, host:port.
	Host string `koanf:"host"`
	// TLS is starttls, tls (from the first byte) or none. Default starttls.
	TLS string `koanf:"tls"`
	// Username signs in together with secret; empty sends without signing in.
	Username string `koanf:"username"`
	// From is the sender's address.
	From string `koanf:"from"`
	// To are the addresses that get each mail.
	To []string `koanf:"to"`
}

// Links are what a page's links begin with.
type Links struct {
	// Explorer is the address of the explorer, as people reach it; empty leaves its link out.
	Explorer string `koanf:"explorer"`
	// Kibana is the address of Kibana, with the space if there is one; empty leaves its link out.
	Kibana string `koanf:"kibana"`
}

// Validate reports every problem at once. at is where l stands in the configuration.
func (l Links) Validate(at string) error {
	var errs []error
	for name, value := range map[string]string{"explorer": l.Explorer, "kibana": l.Kibana} {
		if _, err := parseURL(value); value != "" && err != nil {
			errs = append(errs, fmt.Errorf("%s.%s: %q %w", at, name, value, err))
		}
	}
	return errors.Join(errs...)
}

// Validate reports every problem at once. at is where c stands in the configuration.
func (c Config) Validate(at string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(at+"."+format, args...)) }
	if c.Name == "" {
		bad("name is empty: rules call a receiver by its name")
	}
	k, known := kinds[c.Type]
	if !known {
		bad("type: %q is unknown: use %s", c.Type, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	if k.mail {
		c.Email.validate(bad)
		c.without(bad, "is not used by email", map[string]bool{"url": c.URL != "", "url_file": c.URLFile != "", "headers": len(c.Headers) > 0})
	} else {
		c.validateURL(bad, k)
		c.without(bad, "is only used by email", map[string]bool{"email": c.Email.Host != "" || len(c.Email.To) > 0})
	}
	if known {
		c.validateSecret(bad, k)
		if c.Type != "webhook" {
			c.without(bad, "is only used by webhook", map[string]bool{"body": c.Body != "", "hmac_secret_file": c.HMACSecretFile != ""})
		}
		if k.repost == 0 {
			c.without(bad, "is only used by alertmanager", map[string]bool{"repost_interval": c.RepostInterval != 0})
		}
	}
	if _, err := c.key(); err != nil {
		bad("%w", err)
	}
	if err := checkBody(c.Body); err != nil {
		bad("body: %w", err)
	}
	if c.Timeout < 0 || c.RepostInterval < 0 {
		bad("timeout: %s or repost_interval: %s is negative", c.Timeout, c.RepostInterval)
	}
	if c.PerMinute < 0 {
		bad("per_minute: %d is negative", c.PerMinute)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if name == "" || strings.ContainsAny(name, " :\r\n") {
			bad("headers: %q is no header's name", name)
		}
	}
	return errors.Join(errs...)
}

func (c Config) without(bad func(string, ...any), why string, set map[string]bool) {
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if set[key] {
			bad("%s %s: leave it out", key, why)
		}
	}
}

func (c Config) validateURL(bad func(string, ...any), k kind) {
	switch {
	case c.URL == "" && c.URLFile == "" && k.address == "":
		bad("url and url_file are empty: set one of them")
	case c.URL != "" && c.URLFile != "":
		bad("url and url_file are both set: keep one")
	default:
		if _, err := c.address(); err != nil {
			bad("%w", err)
		}
	}
}

func (c Config) validateSecret(bad func(string, ...any), k kind) {
	has := c.Secret != "" || c.SecretFile != ""
	switch {
	case c.Secret != "" && c.SecretFile != "":
		bad("secret and secret_file are both set: keep one")
	case k.needsSecret && !has:
		bad("secret and secret_file are empty: %s needs one of them", c.Type)
	case has && !k.needsSecret && !k.mayHaveSecret:
		bad("secret or secret_file is not used by %s: leave it out", c.Type)
	case k.mail && (c.Email.Username != "") != has:
		bad("email.username and secret go together")
	default:
		if _, err := c.secret(); err != nil {
			bad("%w", err)
		}
	}
}

func (e EmailConfig) validate(bad func(string, ...any)) {
	if _, _, err := net.SplitHostPort(e.Host); err != nil {
		bad("email.host: %q is no host:port", e.Host)
	}
	if !slices.Contains([]string{"", "starttls", "tls", "none"}, e.TLS) {
		bad("email.tls: %q is none of starttls, tls, none", e.TLS)
	}
	if _, err := netmail.ParseAddress(e.From); err != nil {
		bad("email.from: %q is no address", e.From)
	}
	if len(e.To) == 0 {
		bad("email.to is empty: name who gets the mail")
	}
	for i, to := range e.To {
		if _, err := netmail.ParseAddress(to); err != nil {
			bad("email.to[%d]: %q is no address", i, to)
		}
	}
}

// address is the URL to post to. Errors don't show it.
func (c Config) address() (*url.URL, error) {
	raw, what := cmp.Or(string(c.URL), kinds[c.Type].address), "url"
	if c.URLFile != "" {
		b, err := os.ReadFile(c.URLFile)
		if err != nil {
			return nil, fmt.Errorf("url_file: %w", err)
		}
		raw, what = strings.TrimSpace(string(b)), "url_file"
	}
	u, err := parseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return u, nil
}

var errNoURL = errors.New("is no http:// or https:// address")

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errNoURL
	}
	return u, nil
}

// secret is the Secret, from its file if it has one.
func (c Config) secret() (string, error) {
	if c.SecretFile == "" {
		return string(c.Secret), nil
	}
	key, err := readSecret(c.SecretFile)
	if err != nil {
		return "", fmt.Errorf("secret_file: %w", err)
	}
	return key, nil
}

// key is the key of a webhook's signature, nil for none.
func (c Config) key() ([]byte, error) {
	if c.HMACSecretFile == "" {
		return nil, nil
	}
	key, err := readSecret(c.HMACSecretFile)
	if err != nil {
		return nil, fmt.Errorf("hmac_secret_file: %w", err)
	}
	return []byte(key), nil
}

func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	key := strings.TrimRight(string(b), "\r\n")
	if key == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return key, nil
}

const defaultTimeout = 10 * time.Second

func (c Config) timeout() time.Duration {
	if c.Timeout <= 0 {
		return defaultTimeout
	}
	return c.Timeout
}

// limit is how many alerts may be sent in a minute; 0 is no limit.
func (c Config) limit() int {
	if c.PerMinute > 0 {
		return c.PerMinute
	}
	return kinds[c.Type].perMinute
}

func (c Config) repost() time.Duration {
	if c.RepostInterval > 0 {
		return c.RepostInterval
	}
	return kinds[c.Type].repost
}
