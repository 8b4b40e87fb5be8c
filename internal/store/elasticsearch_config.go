package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// ElasticsearchConfig is the section `elasticsearch`: the connection, and how documents lie in the engine.
type ElasticsearchConfig struct {
	// Addresses are URLs of nodes. Each request goes to one that answers.
	Addresses []string `koanf:"addresses"`
	// Username and Password are basic authentication. PasswordFile is read at each request, so that a rotated one needs no restart.
	Username     string        `koanf:"username"`
	Password     stream.Secret `koanf:"password"`
	PasswordFile string        `koanf:"password_file"`
	// APIKey is an encoded API key. APIKeyFile is read at each request.
	APIKey     stream.Secret `koanf:"api_key"`
	APIKeyFile string        `koanf:"api_key_file"`
	// CAFile holds the certificates that the engine's certificate is checked with; empty means the system's roots.
	CAFile             string `koanf:"ca_file"`
	InsecureSkipVerify bool   `koanf:"insecure_skip_verify"`
	// RequestTimeout bounds one request, from its first byte to the answer's last.
	RequestTimeout time.Duration `koanf:"request_timeout"`

	// IndexPrefix begins every name that is made in the engine.
	IndexPrefix string `koanf:"index_prefix"`
	// Period is the stretch of event time that shares an index.
	Period    schemas.Period `koanf:"period"`
	Retention Retention      `koanf:"retention"`
	// Shards is the number of primary shards of an index.
	Shards int `koanf:"shards"`
}

// DefaultElasticsearch is an engine on this machine without credentials.
func DefaultElasticsearch() ElasticsearchConfig {
	return ElasticsearchConfig{
		Addresses: []string{"http://127.0.0.1:9200"}, RequestTimeout: time.Minute,
		IndexPrefix: "kubescribe", Period: schemas.PeriodWeek, Retention: DefaultRetention(), Shards: 1,
	}
}

var indexPrefix = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,63}$`)

// Validate reports every problem at once. It reads the credential and CA files but opens no connection.
func (c ElasticsearchConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Addresses) == 0 {
		bad("elasticsearch.addresses is empty: name at least one node as http://host:9200")
	}
	for _, a := range c.Addresses {
		u, err := url.Parse(a)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			bad("elasticsearch.addresses: an address is no URL of a node: write https://host:9200")
		case u.User != nil:
			bad("elasticsearch.addresses: %s has credentials in it: use elasticsearch.username and password_file", u.Redacted())
		}
	}
	errs = append(errs, c.validateCredentials()...)
	if _, err := c.transport(); err != nil {
		errs = append(errs, err)
	}
	if c.RequestTimeout < time.Second {
		bad("elasticsearch.request_timeout: %s is too short: use at least 1s", c.RequestTimeout)
	}
	if !indexPrefix.MatchString(c.IndexPrefix) {
		bad("elasticsearch.index_prefix: %q can't begin an index's name: use lower-case letters, digits, '.', '_' and '-', a letter first", c.IndexPrefix)
	}
	if err := c.Period.Validate(); err != nil {
		bad("elasticsearch.period: %w", err)
	}
	if err := c.Retention.validate("elasticsearch.retention"); err != nil {
		errs = append(errs, err)
	}
	if c.Shards < 1 || c.Shards > 1024 {
		bad("elasticsearch.shards: %d is not between 1 and 1024", c.Shards)
	}
	return errors.Join(errs...)
}

func (c ElasticsearchConfig) validateCredentials() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	password, key := c.Password != "" || c.PasswordFile != "", c.APIKey != "" || c.APIKeyFile != ""
	if c.Password != "" && c.PasswordFile != "" {
		bad("elasticsearch.password and elasticsearch.password_file are both set: keep one")
	}
	if c.APIKey != "" && c.APIKeyFile != "" {
		bad("elasticsearch.api_key and elasticsearch.api_key_file are both set: keep one")
	}
	if key && (password || c.Username != "") {
		bad("elasticsearch has an API key and a username or password: keep one kind")
	}
	if password != (c.Username != "") {
		bad("elasticsearch.username and a password belong together: set both or neither")
	}
	if len(errs) == 0 {
		if _, err := c.authorization(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// authorization is the value of the header of the same name; "" when there are no credentials.
func (c ElasticsearchConfig) authorization() (string, error) {
	switch {
	case c.APIKey != "" || c.APIKeyFile != "":
		key, err := secret("elasticsearch.api_key_file", c.APIKey, c.APIKeyFile)
		return "ApiKey " + key, err
	case c.Username != "":
		password, err := secret("elasticsearch.password_file", c.Password, c.PasswordFile)
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(c.Username, password)
		return r.Header.Get("Authorization"), err
	}
	return "", nil
}

func secret(key string, value stream.Secret, path string) (string, error) {
	if path == "" {
		return string(value), nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", key, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func (c ElasticsearchConfig) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading elasticsearch.ca_file: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("elasticsearch.ca_file: %s holds no PEM certificate", c.CAFile)
	}
	return t, nil
}
