package stream

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfigReportsAllProblems(t *testing.T) {
	t.Parallel()
	require.NoError(t, Default().Validate())
	c := Config{
		Brokers: []string{"kafka", ":9092"}, TopicPrefix: "a b",
		TLS:  TLSConfig{Enabled: true, CertFile: "x"},
		SASL: SASLConfig{Mechanism: "scram-sha-512", Password: "p", PasswordFile: "q"},
	}
	err := c.Validate()
	require.Error(t, err)
	for _, key := range []string{
		`"kafka" is no address`, `":9092" is no address`, "kafka.client_id", "kafka.topic_prefix", "kafka.tls.key_file", "kafka.sasl.username",
		"kafka.sasl.password and kafka.sasl.password_file are both set",
	} {
		assert.ErrorContains(t, err, key)
	}
	assert.Len(t, strings.Split(err.Error(), "\n"), 7)
	for name, bad := range map[string]Config{
		"kafka.tls.enabled is false":         {TLS: TLSConfig{CAFile: "x"}},
		"kafka.tls.ca_file":                  {TLS: TLSConfig{Enabled: true, CAFile: "/nowhere"}},
		`"md5" is unknown: use one of plain`: {SASL: SASLConfig{Mechanism: "md5"}},
		"mechanism is empty":                 {SASL: SASLConfig{Username: "u"}},
		"kafka.sasl.token_file is empty":     {SASL: SASLConfig{Mechanism: "oauthbearer"}},
		"reading kafka.sasl.password_file":   {SASL: SASLConfig{Mechanism: "plain", Username: "u", PasswordFile: "/nowhere"}},
		"kafka.brokers is empty":             {},
	} {
		assert.ErrorContains(t, bad.Validate(), name)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	c := Default()
	c.SASL = SASLConfig{Mechanism: "plain", Username: "u", Password: "hunter2"}
	j, err := json.Marshal(c)
	require.NoError(t, err)
	for _, s := range []string{string(j), fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprint(&c)} {
		assert.NotContains(t, s, "hunter2")
		assert.Contains(t, s, "redacted")
	}
	pass, err := c.SASL.password()
	require.NoError(t, err)
	assert.Equal(t, "hunter2", pass)
	file := filepath.Join(t.TempDir(), "p")
	require.NoError(t, os.WriteFile(file, []byte("from file\n"), 0o600))
	pass, err = SASLConfig{PasswordFile: file}.password()
	require.NoError(t, err)
	assert.Equal(t, "from file", pass)
}
