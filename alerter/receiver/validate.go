package receiver

import (
	"errors"
	"fmt"
	"maps"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
)

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
