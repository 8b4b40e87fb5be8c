package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Ping asks one of the brokers for an answer, within 15 seconds. Services call it at start, before anything is
// written: its error is one sentence that names the address and what to change (broker away, TLS on one side only, unknown CA,
// wrong credentials).
func Ping(ctx context.Context, cfg Config, d Deps) error {
	d = d.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cl, err := newClient(cfg, d, "ping", kgo.RetryTimeout(5*time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	err = cl.Ping(ctx)
	if err == nil {
		return nil
	}
	if classify(err) == fatal {
		return explain("Kafka at "+strings.Join(cfg.Brokers, ", "), err)
	}
	// A wrong TLS setting can have used up all the time: a broker without TLS may wait for the rest of what it takes for a request.
	looking, stop := context.WithTimeout(context.WithoutCancel(ctx), dialTimeout)
	defer stop()
	for _, addr := range cfg.Brokers {
		if why := diagnose(looking, cfg, addr); why != "" {
			return fmt.Errorf("%s (%w)", why, err)
		}
	}
	if cfg.SASL.Mechanism != "" {
		return fmt.Errorf("Kafka at %s hangs up: check the credentials in kafka.sasl, and that this is a port with SASL (%w)",
			strings.Join(cfg.Brokers, ", "), err)
	}
	return fmt.Errorf("Kafka at %s does not answer as a broker: check kafka.brokers, and whether the port wants kafka.sasl (%w)",
		strings.Join(cfg.Brokers, ", "), err)
}

// diagnose looks at one address by hand: what the client reports for a wrong TLS setting is a closed connection.
func diagnose(ctx context.Context, cfg Config, addr string) string {
	dialer := &net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Sprintf("no Kafka broker answers at %s: check kafka.brokers and the network", addr)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	host, _, _ := net.SplitHostPort(addr)
	if !cfg.TLS.Enabled {
		probe := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: host})
		if err := probe.HandshakeContext(ctx); err == nil || isAlert(err) {
			return fmt.Sprintf("the broker at %s speaks TLS, but kafka.tls.enabled is false: set it to true", addr)
		}
		return ""
	}
	conf, err := cfg.TLS.build()
	if err != nil {
		return err.Error()
	}
	if conf.ServerName == "" {
		conf.ServerName = host
	}
	err = tls.Client(conn, conf).HandshakeContext(ctx)
	var (
		unknown *tls.CertificateVerificationError
		name    x509.HostnameError
		noTLS   tls.RecordHeaderError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate of the broker at %s is for another name: set kafka.tls.server_name or mend the certificate", addr)
	case errors.As(err, &unknown):
		return fmt.Sprintf("the certificate of the broker at %s cannot be verified: set kafka.tls.ca_file to its CA", addr)
	case errors.As(err, &noTLS), !isAlert(err):
		return fmt.Sprintf("the broker at %s does not speak TLS, but kafka.tls.enabled is true: set it to false or use the TLS port", addr)
	}
	return fmt.Sprintf("the broker at %s refuses the TLS handshake: check kafka.tls.cert_file and key_file", addr)
}

func isAlert(err error) bool {
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
