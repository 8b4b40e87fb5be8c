package receiver

import (
	"errors"
	"fmt"
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
