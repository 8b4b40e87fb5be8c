package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Compression says when bulk requests are compressed.
type Compression string

// The compressions.
const (
	CompressionAuto Compression = "auto"
	CompressionGzip Compression = "gzip"
	CompressionNone Compression = "none"
)

func (c Compression) validate() error {
	switch c {
	case CompressionAuto, CompressionGzip, CompressionNone:
		return nil
	}
	return fmt.Errorf("elasticsearch.compression: %q is not auto, gzip or none", string(c))
}

// compresses says whether bulk requests go out in gzip. Documents shrink to about a sixth, which a network is worth and loopback is not.
func (c ElasticsearchConfig) compresses() bool {
	if c.Compression != CompressionAuto {
		return c.Compression == CompressionGzip
	}
	for _, a := range c.Addresses {
		u, err := url.Parse(a)
		if err != nil {
			return true
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return true
		}
	}
	return false
}

func (c ElasticsearchConfig) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.ForceAttemptHTTP2 = false // one connection for each request in flight
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureSkipVerify}
	return t, errors.Join(c.trust(t), c.identify(t.TLSClientConfig))
}

// trust sets which certificates of the engine are good.
func (c ElasticsearchConfig) trust(t *http.Transport) error {
	if c.CAFingerprint != "" {
		if c.CAFile != "" || c.InsecureSkipVerify {
			return errors.New("elasticsearch.ca_fingerprint is set together with ca_file or insecure_skip_verify: keep one")
		}
		want, err := hex.DecodeString(strings.ReplaceAll(c.CAFingerprint, ":", ""))
		if err != nil || len(want) != sha256.Size {
			return errors.New("elasticsearch.ca_fingerprint is no SHA-256: write its 64 hexadecimal digits, with or without colons")
		}
		t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, fmt.Errorf("connecting to %s: %w", addr, err)
			}
			pinned := t.TLSClientConfig.Clone()
			pinned.ServerName = host
			// Not less verification but another one: the name that was dialled is checked there, an IP address too.
			pinned.InsecureSkipVerify = true
			pinned.VerifyConnection = func(s tls.ConnectionState) error { return verifyFingerprint(s, host, want) }
			return (&tls.Dialer{Config: pinned}).DialContext(ctx, network, addr)
		}
		return nil
	}
	if c.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return fmt.Errorf("reading elasticsearch.ca_file: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("elasticsearch.ca_file: %s holds no PEM certificate", c.CAFile)
	}
	return nil
}

// verifyFingerprint checks the engine's certificate, its name included, against the authority with that fingerprint, which must be
// among the certificates that the engine sends. That the authority is among them proves nothing by itself: it is public.
func verifyFingerprint(s tls.ConnectionState, host string, want []byte) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, cert := range s.PeerCertificates {
		if sum := sha256.Sum256(cert.Raw); bytes.Equal(sum[:], want) {
			roots.AddCert(cert)
			found = true
			continue
		}
		others.AddCert(cert)
	}
	err := error(x509.UnknownAuthorityError{Cert: s.PeerCertificates[0]})
	if found {
		_, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: host})
	} else {
		err = fmt.Errorf("no certificate of Elasticsearch has the fingerprint elasticsearch.ca_fingerprint: %w", err)
	}
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}

// identify sets the certificate to log in with.
func (c ElasticsearchConfig) identify(t *tls.Config) error {
	if (c.ClientCertFile == "") != (c.ClientKeyFile == "") {
		return errors.New("elasticsearch.client_cert_file and client_key_file belong together: set both or neither")
	}
	if c.ClientCertFile == "" {
		return nil
	}
	load := func() (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(c.ClientCertFile, c.ClientKeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading elasticsearch.client_cert_file: %w", err)
		}
		return &cert, nil
	}
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	_, err := load()
	return err
}
