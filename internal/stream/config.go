package stream

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
)

// DefaultTopicPrefix comes before every topic's name unless topic_prefix says otherwise.
const DefaultTopicPrefix = "kubescribe."

// Config is the connection to Kafka, the same for every service.
type Config struct {
	// Brokers are seed addresses, host:port. One that answers is enough; several survive the loss of one.
	Brokers []string `koanf:"brokers"`
	// ClientID names the process in the brokers' logs and quotas. Each loop appends its role.
	ClientID string `koanf:"client_id"`
	// TopicPrefix comes before every topic's name, and, unless it is the default, before the names of groups and
	// transactional ids: installations with prefixes of their own can share a Kafka.
	TopicPrefix string     `koanf:"topic_prefix"`
	TLS         TLSConfig  `koanf:"tls"`
	SASL        SASLConfig `koanf:"sasl"`
}

// TLSConfig encrypts the connection. An empty CAFile means the system's roots.
type TLSConfig struct {
	Enabled            bool   `koanf:"enabled"`
	CAFile             string `koanf:"ca_file"`
	CertFile           string `koanf:"cert_file"`
	KeyFile            string `koanf:"key_file"`
	ServerName         string `koanf:"server_name"`
	InsecureSkipVerify bool   `koanf:"insecure_skip_verify"`
}

// SASLConfig authenticates the client. Files are read again at every authentication, so a rotated secret needs no restart.
type SASLConfig struct {
	// Mechanism is empty (no authentication), plain, scram-sha-256, scram-sha-512 or oauthbearer.
	Mechanism    string `koanf:"mechanism"`
	Username     string `koanf:"username"`
	Password     Secret `koanf:"password"`
	PasswordFile string `koanf:"password_file"`
	// TokenFile holds the bearer token of oauthbearer.
	TokenFile string `koanf:"token_file"`
}

// Secret is a string that no log line, error, JSON or YAML shows. string(s) reads it.
type Secret string

const redacted = "<redacted>"

// String hides the secret; an empty one stays visible as empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from JSON, YAML and everything else that asks for text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON hides the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// Default is a broker on this machine without TLS and authentication.
func Default() Config {
	return Config{Brokers: []string{"127.0.0.1:9092"}, ClientID: "kubescribe", TopicPrefix: DefaultTopicPrefix}
}

var mechanisms = []string{"plain", "scram-sha-256", "scram-sha-512", "oauthbearer"}

// Validate reports every problem at once. It reads the TLS files but opens no connection.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		bad("kafka.brokers is empty: name at least one broker as host:port")
	}
	for _, b := range c.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			bad("kafka.brokers: %q is no address: write host:port", b)
		}
	}
	if c.ClientID == "" {
		bad("kafka.client_id is empty: give the process a name")
	}
	if strings.Trim(c.TopicPrefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		bad("kafka.topic_prefix: %q has characters that a topic name may not have: use letters, digits, '.', '_' and '-'", c.TopicPrefix)
	}
	errs = append(errs, c.TLS.validate()...)
	errs = append(errs, c.SASL.validate()...)
	return errors.Join(errs...)
}

func (t TLSConfig) validate() []error {
	if !t.Enabled {
		if t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" || t.ServerName != "" || t.InsecureSkipVerify {
			return []error{errors.New("kafka.tls has settings but kafka.tls.enabled is false: set it to true or remove them")}
		}
		return nil
	}
	var errs []error
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, errors.New("kafka.tls.cert_file and kafka.tls.key_file belong together: set both or neither"))
	} else if _, err := t.build(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

func (t TLSConfig) build() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading kafka.tls.ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca_file: %s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			return nil, fmt.Errorf("reading kafka.tls.cert_file and key_file: %w", err)
		}
		// Read at each handshake: a rotated certificate needs no restart.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			return &pair, err
		}
	}
	return conf, nil
}

func (s SASLConfig) validate() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case s.Mechanism == "":
		if s.Username != "" || s.Password != "" || s.PasswordFile != "" || s.TokenFile != "" {
			bad("kafka.sasl has credentials but kafka.sasl.mechanism is empty: set it to one of %s", strings.Join(mechanisms, ", "))
		}
		return errs
	case !slices.Contains(mechanisms, s.Mechanism):
		bad("kafka.sasl.mechanism: %q is unknown: use one of %s", s.Mechanism, strings.Join(mechanisms, ", "))
		return errs
	case s.Mechanism == "oauthbearer":
		if s.TokenFile == "" {
			bad("kafka.sasl.token_file is empty: oauthbearer reads its token from a file")
		} else if _, err := os.ReadFile(s.TokenFile); err != nil {
			bad("reading kafka.sasl.token_file: %w", err)
		}
		return errs
	}
	if s.Username == "" {
		bad("kafka.sasl.username is empty: %s needs one", s.Mechanism)
	}
	switch {
	case s.Password == "" && s.PasswordFile == "":
		bad("kafka.sasl.password and kafka.sasl.password_file are empty: %s needs one of them", s.Mechanism)
	case s.Password != "" && s.PasswordFile != "":
		bad("kafka.sasl.password and kafka.sasl.password_file are both set: keep one")
	case s.PasswordFile != "":
		if _, err := os.ReadFile(s.PasswordFile); err != nil {
			bad("reading kafka.sasl.password_file: %w", err)
		}
	}
	return errs
}

func (s SASLConfig) password() (string, error) {
	if s.PasswordFile == "" {
		return string(s.Password), nil
	}
	return readSecret(s.PasswordFile)
}

func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading a Kafka credential: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
