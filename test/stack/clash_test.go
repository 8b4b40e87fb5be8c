package stack

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Two test processes can choose the same free port at the same moment. The one that comes second must see that this is why its
// server did not start, because then it chooses again.
func TestEachServersFailureOnATakenPortIsAClash(t *testing.T) {
	taken := func(t *testing.T, name string, names []string) map[string]int {
		ports, err := newPorts(names...)
		require.NoError(t, err)
		l, err := net.Listen("tcp4", loopback(ports[name]))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, l.Close()) })
		return ports
	}
	requireClash := func(t *testing.T, start func(ctx context.Context) error) {
		var clash portClash
		require.ErrorAs(t, start(testContext(t, time.Minute)), &clash)
	}
	t.Run("kafka", func(t *testing.T) {
		Need(t, PartKafka)
		for _, name := range kafkaPorts {
			k, err := newKafka(t.TempDir())
			require.NoError(t, err)
			requireClash(t, func(ctx context.Context) error { return k.start(ctx, taken(t, name, kafkaPorts)) })
		}
	})
	t.Run("elasticsearch", func(t *testing.T) {
		Need(t, PartElasticsearch)
		for _, name := range elasticsearchPorts {
			e, err := newElasticsearch(t.TempDir())
			require.NoError(t, err)
			requireClash(t, func(ctx context.Context) error { return e.start(ctx, taken(t, name, elasticsearchPorts)) })
		}
	})
	t.Run("kubernetes", func(t *testing.T) {
		Need(t, PartKubernetes)
		for _, name := range []string{"etcd", "apiserver", "kwok"} {
			k, err := newKubernetes(t.TempDir())
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, k.killAll()) })
			requireClash(t, func(ctx context.Context) error { return k.start(ctx, taken(t, name, kubernetesPorts)) })
			require.NoError(t, k.killAll())
		}
	})
}
