package store

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
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
	// BearerToken is a service account's token or a JWT. BearerTokenFile is read at each request.
	BearerToken     stream.Secret `koanf:"bearer_token"`
	BearerTokenFile string        `koanf:"bearer_token_file"`
	// CAFile holds the certificates that the engine's certificate is checked with; empty means the system's roots.
	CAFile string `koanf:"ca_file"`
	// CAFingerprint is the SHA-256 of the certificate authority that signed the engine's certificate, in hex, as Elasticsearch prints
	// it at its first start. It takes the place of CAFile.
	CAFingerprint string `koanf:"ca_fingerprint"`
	// ClientCertFile and ClientKeyFile are a certificate to log in with (a PKI realm), or that a proxy asks for. They are read again
	// at each new connection.
	ClientCertFile     string `koanf:"client_cert_file"`
	ClientKeyFile      string `koanf:"client_key_file"`
	InsecureSkipVerify bool   `koanf:"insecure_skip_verify"`
	// Compression is gzip, none, or auto: gzip unless every address is on this machine.
	Compression Compression `koanf:"compression"`
	// RequestTimeout bounds one request, from its first byte to the answer's last.
	RequestTimeout time.Duration `koanf:"request_timeout"`

	// Manage lets kubescribe create its ILM policies, templates and layout. Without it they are the user's to make.
	Manage bool `koanf:"manage"`
	// IndexPrefix begins every name that is made in the engine.
	IndexPrefix string `koanf:"index_prefix"`
	// Period is the stretch of event time that shares an index: day, week or month. A change takes effect when "kubescribe indexer setup"
	// records it, for events after a day in the future; until then the recorded one holds.
	Period    schemas.Period `koanf:"period"`
	Retention Retention      `koanf:"retention"`
	// Shards is the number of primary shards of an index.
	Shards int `koanf:"shards"`
}

// DefaultElasticsearch is an engine on this machine without credentials.
func DefaultElasticsearch() ElasticsearchConfig {
	return ElasticsearchConfig{
		Addresses: []string{"http://127.0.0.1:9200"}, RequestTimeout: time.Minute, Compression: CompressionAuto,
		Manage: true, IndexPrefix: "kubescribe", Period: schemas.PeriodWeek, Retention: DefaultRetention(), Shards: 1,
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
	if err := c.Compression.validate(); err != nil {
		errs = append(errs, err)
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
