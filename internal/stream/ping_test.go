package stream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// certificate makes a self-signed one for 127.0.0.1 and writes it as a CA file.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestPing(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		require.NoError(t, Ping(t.Context(), b.cfg, deps(nil)))
		b.cfg.TLS.Enabled = true
		assert.ErrorContains(t, Ping(t.Context(), b.cfg, deps(nil)), "the broker at "+b.cfg.Brokers[0]+" does not speak TLS, but kafka.tls.enabled is true")
	})
	t.Run("no broker", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := l.Addr().String()
		require.NoError(t, l.Close())
		err = Ping(t.Context(), configFor(address), deps(nil))
		assert.ErrorContains(t, err, "no Kafka broker answers at "+address)
		assert.NotContains(t, err.Error(), "\n")
	})
	t.Run("no Kafka", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		begin := time.Now()
		assert.Error(t, Ping(t.Context(), configFor(l.Addr().String()), deps(nil)))
		assert.Less(t, time.Since(begin), 20*time.Second, "bounded although nobody answers")
	})
	t.Run("TLS", func(t *testing.T) {
		pair, ca := certificate(t)
		b := startFake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
		assert.ErrorContains(t, Ping(t.Context(), b.cfg, deps(nil)), "the broker at "+b.cfg.Brokers[0]+" speaks TLS, but kafka.tls.enabled is false")
		b.cfg.TLS.Enabled = true
		assert.ErrorContains(t, Ping(t.Context(), b.cfg, deps(nil)), "cannot be verified: set kafka.tls.ca_file to its CA")
		b.cfg.TLS.CAFile = ca
		require.NoError(t, b.cfg.Validate())
		require.NoError(t, Ping(t.Context(), b.cfg, deps(nil)))
		b.cfg.TLS.ServerName = "elsewhere"
		assert.ErrorContains(t, Ping(t.Context(), b.cfg, deps(nil)), "is for another name")
	})
	t.Run("SASL", func(t *testing.T) {
		for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
			b := startFake(t, kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "u", "right"))
			b.cfg.SASL = SASLConfig{Mechanism: mechanism, Username: "u", Password: "right"}
			require.NoError(t, Ping(t.Context(), b.cfg, deps(nil)), mechanism)
			b.cfg.SASL.Password = "wrong"
			err := Ping(t.Context(), b.cfg, deps(nil))
			// A real broker answers SASL_AUTHENTICATION_FAILED, which the classifier's test covers; this one hangs up.
			assert.ErrorContains(t, err, "check the credentials in kafka.sasl", mechanism)
			assert.NotContains(t, err.Error(), "wrong")
		}
	})
}

// A loop whose topic is missing says so and ends; one whose broker is away waits and says that in readiness.
func TestLoopsAtStart(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		there := b.topic(t, 1)
		o := consumerOptions("", there, "kubescribe.nowhere")
		err := RunConsumer(t.Context(), b.cfg, deps(nil), o, func(context.Context, Batch) error { return nil })
		assert.ErrorContains(t, err, "topic kubescribe.nowhere does not exist: create it with `kubescribe topics apply`")
		assert.NotContains(t, err.Error(), there)
		err = RunTransform(t.Context(), b.cfg, deps(nil), transformOptions("", "kubescribe.nowhere"), copyTo(""))
		assert.ErrorContains(t, err, "topic kubescribe.nowhere does not exist")
	})
	t.Run("no broker", func(t *testing.T) {
		health := &board{}
		o := transformOptions("", "t")
		l := start(t, func(ctx context.Context) error {
			return RunTransform(ctx, configFor("127.0.0.1:1"), deps(health), o, copyTo(""))
		})
		eventually(t, "a reason", func() bool { return strings.Contains(health.reason("stream/"+o.Group), "connection refused") })
		l.stop()
	})
	t.Run("options", func(t *testing.T) {
		err := RunConsumer(t.Context(), Default(), Deps{}, ConsumerOptions{TopicPattern: "("}, nil)
		for _, says := range []string{"Group is empty", "TopicPattern", "DeadLetter is not set"} {
			assert.ErrorContains(t, err, says)
		}
		err = RunTransform(t.Context(), Default(), Deps{}, TransformOptions{
			Group: "g", Topics: []string{"a"}, TopicPattern: "b",
			Tick: func(context.Context, time.Time) (Output, error) { return Output{}, nil },
		}, nil)
		for _, says := range []string{"either Topics or TopicPattern", "TickEvery", "DeadLetter is not set"} {
			assert.ErrorContains(t, err, says)
		}
	})
}

// A record that names a partition goes there; others go where Kafka's own partitioner puts their key.
func TestToPartition(t *testing.T) {
	t.Parallel()
	b := startFake(t)
	topic := b.topic(t, 4)
	var rs []*kgo.Record
	for i := range int32(4) {
		rs = append(rs, ToPartition(&kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte{byte(i)}}, i))
	}
	require.NoError(t, Produce(t.Context(), b.cfg, deps(nil), rs...))
	for _, r := range b.read(t, topic) {
		assert.EqualValues(t, r.Partition, r.Value[0])
	}
	plain := b.client(t, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		want, err := plain.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key)}).First()
		require.NoError(t, err)
		got, err := b.client(t).ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key)}).First()
		require.NoError(t, err)
		assert.Equal(t, want.Partition, got.Partition)
	}
	assert.Error(t, Produce(t.Context(), b.cfg, deps(nil), ToPartition(&kgo.Record{Topic: topic}, 4)))
}
