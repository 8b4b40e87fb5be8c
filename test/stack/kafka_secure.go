package stack

import (
	"bytes"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// KafkaSecurity is a second listener that asks for TLS and SASL, with ACLs that allow nothing to anybody. Who comes by the
// plaintext listener is a super user: the test that creates topics, SCRAM credentials and ACLs.
type KafkaSecurity struct {
	// Plain are the names and passwords that SASL PLAIN takes. SCRAM-SHA-256 and SCRAM-SHA-512 take what the test creates in the broker.
	Plain map[string]string

	Bootstrap string // host:port of the listener; set by StartKafka
	CAFile    string // the authority that signed the broker's certificate; set by StartKafka
}

// WithKafkaSecurity adds the listener. s is filled before StartKafka returns.
func WithKafkaSecurity(s *KafkaSecurity) KafkaOption { return kafkaSecurity{s} }

type kafkaSecurity struct{ s *KafkaSecurity }

func (o kafkaSecurity) applyKafka(k *Kafka) { k.security = o.s }

const securePort = "secure"

// portNames are the ports that this broker needs.
func (k *Kafka) portNames() []string {
	if k.security == nil {
		return kafkaPorts
	}
	return append(slices.Clone(kafkaPorts), securePort)
}

// secure writes the listener's certificates and returns its address and properties.
func (k *Kafka) secure(port int) (address, properties string, err error) {
	keys := pki{dir: k.path("pki")}
	k.security.Bootstrap, k.security.CAFile = loopback(port), keys.path("ca.crt")
	if _, err := os.Stat(keys.path("broker.pem")); err != nil {
		key, authority, err := keys.issue("ca", pkix.Name{CommonName: "kubescribe-test-kafka-ca"}, nil, nil)
		if err != nil {
			return "", "", err
		}
		if _, _, err := keys.issue("broker", pkix.Name{CommonName: "broker"}, key, authority); err != nil {
			return "", "", err
		}
		var store bytes.Buffer
		for _, file := range []string{"broker.key", "broker.crt"} {
			content, err := os.ReadFile(keys.path(file))
			if err != nil {
				return "", "", fmt.Errorf("writing the broker's key store: %w", err)
			}
			store.Write(content)
		}
		if err := writeFile(keys.path("broker.pem"), store.Bytes(), 0o600); err != nil {
			return "", "", err
		}
	}
	var b strings.Builder
	b.WriteString("listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n")
	const listener = "listener.name.sasl_ssl."
	fmt.Fprintf(&b, "%sssl.keystore.type=PEM\n%sssl.keystore.location=%s\n", listener, listener, keys.path("broker.pem"))
	fmt.Fprintf(&b, "%ssasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n", listener)
	fmt.Fprintf(&b, "%splain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required", listener)
	for _, user := range slices.Sorted(maps.Keys(k.security.Plain)) {
		fmt.Fprintf(&b, " user_%s=\"%s\"", user, k.security.Plain[user])
	}
	b.WriteString(";\n")
	for _, hash := range []string{"256", "512"} {
		fmt.Fprintf(&b, "%sscram-sha-%s.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n", listener, hash)
	}
	b.WriteString("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\nsuper.users=User:ANONYMOUS\n")
	return k.security.Bootstrap, b.String(), nil
}
