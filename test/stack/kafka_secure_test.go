package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// The secure listener lets only those in who prove who they are, and lets them do only what an ACL says.
func TestKafkaSecurity(t *testing.T) {
	Need(t, PartKafka)
	s := &KafkaSecurity{Plain: map[string]string{"anna": "anna-secret"}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	k, err := StartKafka(ctx, t.TempDir(), WithKafkaSecurity(s))
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.Stop() })
	admin, err := kgo.NewClient(kgo.SeedBrokers(k.Bootstrap))
	require.NoError(t, err)
	defer admin.Close()
	adm := kadm.NewClient(admin)
	_, err = adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: "bert", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "bert-secret"}})
	require.NoError(t, err)
	_, err = adm.CreateTopic(ctx, 1, 1, nil, "t")
	require.NoError(t, err)

	pem, err := os.ReadFile(s.CAFile)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	produce := func(m sasl.Mechanism) error {
		cl, err := kgo.NewClient(kgo.SeedBrokers(s.Bootstrap), kgo.DialTLSConfig(&tls.Config{RootCAs: roots}), kgo.SASL(m),
			kgo.RecordDeliveryTimeout(15*time.Second), kgo.UnknownTopicRetries(2))
		require.NoError(t, err)
		defer cl.Close()
		if err := cl.Ping(ctx); err != nil {
			return err
		}
		return cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr()
	}
	anna, bert := plain.Auth{User: "anna", Pass: "anna-secret"}, scram.Auth{User: "bert", Pass: "bert-secret"}
	require.ErrorIs(t, produce(anna.AsMechanism()), kerr.TopicAuthorizationFailed, "no ACL, no topic")
	require.Error(t, produce(plain.Auth{User: "anna", Pass: "wrong"}.AsMechanism()))
	_, err = adm.CreateACLs(ctx, kadm.NewACLs().Allow("User:anna", "User:bert").AllowHosts("*").Topics("t").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite))
	require.NoError(t, err)
	assert.NoError(t, produce(anna.AsMechanism()))
	assert.NoError(t, produce(bert.AsSha512Mechanism()))
}
