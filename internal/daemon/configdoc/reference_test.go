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
		"| `kafka.brokers` | list of strings | `['127.0.0.1:9092']` | seed addresses, host:port.",
		"| `kafka.sasl.password` | secret | `\"\"` |",
		"| `kafka.tls` | section | | encrypts the connection. An empty `ca_file` means the system's roots. |\n| `kafka.tls.enabled` | boolean | `false` |",
	} {
		assert.Contains(t, page, want)
	}
	_, err = Reference(target, t.TempDir(), "kubescribe")
	assert.Error(t, err, "the source is missing")
}

func TestSentence(t *testing.T) {
	assert.Equal(t, "how long", sentence("Timeout is how long", "Timeout"))
	assert.Equal(t, "bounds one try", sentence("Timeout bounds one try", "Timeout"))
	assert.Equal(t, "A and B are two", sentence("A and B are two", "A"))
	assert.Equal(t, "Other text", sentence("Other text", "A"))
	assert.Empty(t, paragraph("the section producer of the file."))
	assert.Equal(t, "How it is.", paragraph("the section `x`: how it is."))
	assert.Equal(t, "More.", paragraph("the section x. More."))
}
