package configdoc

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/stream"
)

func TestReference(t *testing.T) {
	target := &struct {
		Cluster string        `koanf:"cluster"`
		Kafka   stream.Config `koanf:"kafka"`
	}{Cluster: "a|b", Kafka: stream.Default()}
	page, err := Reference(target, "../../..", "kubescribe")
	require.NoError(t, err)
	for _, want := range []string{
		"## general\n", "| `cluster` | string | `a\\|b` |  |",
		"## kafka\n\nThe connection to Kafka, the same for every service.\n",
		"| `kafka.brokers` | list of strings | `['127.0.0.1:9092']` | Seed addresses, host:port.",
		"| `kafka.sasl.password` | secret | `\"\"` |",
		"| `kafka.tls` | section | | Encrypts the connection. An empty `ca_file` means the system's roots. |\n| `kafka.tls.enabled` | boolean | `false` |",
	} {
		assert.Contains(t, page, want)
	}
	_, err = Reference(target, t.TempDir(), "kubescribe")
	assert.Error(t, err, "the source is missing")
}
