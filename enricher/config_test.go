package enricher

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDefaultConfigIsValid(t *testing.T) { require.NoError(t, Default().Validate()) }

func TestValidateNamesEveryKey(t *testing.T) {
	bad := Config{LookupTimeout: -1, LookupConcurrency: 0, SyncWait: 1, APIQPS: 0, APIBurst: 0, KeepDeleted: -1, ServiceLabels: []string{"app", ""}}
	err := bad.Validate()
	for _, key := range []string{
		"enricher.lookup_timeout", "enricher.lookup_concurrency", "enricher.sync_wait", "enricher.api_qps", "enricher.api_burst",
		"enricher.keep_deleted", "enricher.service_labels[1]",
	} {
		require.ErrorContains(t, err, key)
	}
}
