package producer

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheDefaultConfigIsValid(t *testing.T) {
	t.Parallel()
	require.NoError(t, Default().Validate())
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	err := Config{
		From: "yesterday", Silence: time.Millisecond, ListBufferBytes: 1,
		Lease: LeaseConfig{Enabled: true, Duration: 1500 * time.Millisecond, RenewDeadline: 2 * time.Second, RetryPeriod: 3 * time.Second},
	}.Validate()
	for _, want := range []string{
		`producer.from: "yesterday"`, "producer.event_ttl", "producer.silence", "producer.list_buffer_bytes", "producer.batch.max_records",
		"producer.batch.max_bytes", "producer.batch.max_age", "producer.lease.name", "producer.lease.renew_deadline", "producer.lease.duration: 1.5s must be longer",
		"must be whole seconds",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, 11, len(strings.Split(err.Error(), "\n")))
}

func TestWithoutALeaseItsSettingsDoNotMatter(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Lease = LeaseConfig{}
	require.NoError(t, c.Validate())
}
