package stack

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A cluster of three keeps what was committed, and goes on committing, while any one of them is killed.
func TestKafkaClusterLosesNothingWithOneBroker(t *testing.T) {
	Need(t, PartKafka)
	ctx := testContext(t, 3*time.Minute)
	var c *KafkaCluster
	timed(t, "kafka: three brokers", func() (err error) { c, err = StartKafkaCluster(ctx, t.TempDir(), 3); return err })
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers[0].Bootstrap))
	require.NoError(t, err)
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopic(ctx, 3, 3, nil, "t")
	require.NoError(t, err)
	var want []string
	for i, k := range c.Brokers {
		want = append(want, fmt.Sprint("up-", i), fmt.Sprint("down-", i))
		produce(t, ctx, c.Brokers[(i+1)%3].Bootstrap, fmt.Sprint("up-", i))
		require.NoError(t, k.Kill())
		timed(t, fmt.Sprintf("kafka: a transaction without broker %d", i+1), func() error {
			produce(t, ctx, c.Brokers[(i+1)%3].Bootstrap, fmt.Sprint("down-", i))
			return nil
		})
		require.NoError(t, k.Restart(ctx))
	}
	require.ElementsMatch(t, want, consume(t, ctx, c.Brokers[0].Bootstrap, len(want)))
}
