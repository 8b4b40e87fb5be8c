package receiver

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

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
