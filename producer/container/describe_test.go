package container

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// A termination message may be the last lines of the log, which leave the cluster without their secrets.
func TestATerminationMessageIsRedacted(t *testing.T) {
	end := termination(&corev1.ContainerStateTerminated{ExitCode: 1, Message: "login user=bob password=hunter2\npanic: no database"})
	require.Equal(t, "login user=bob password=[REDACTED]\npanic: no database", end.Message)
}
