package stream

import (
	"context"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestScoped(t *testing.T) {
	for prefix, want := range map[string]string{"": "g", DefaultTopicPrefix: "g", "team-a.": "team-a.g"} {
		cfg := Config{TopicPrefix: prefix}
		assert.Equal(t, want, cfg.Scoped("g"), prefix)
		assert.Equal(t, want, cfg.Scoped(want), "a scoped name stays")
		assert.Equal(t, []string{want, ""}, cfg.scopedAll([]string{"g", ""}))
	}
}

// Two installations on one Kafka, with prefixes of their own, share neither offsets nor fencing.
func TestInstallationsKeepApart(t *testing.T) {
	onRealBroker(t, func(t *testing.T, b broker) {
		topic, group, id := b.topic(t, 1), "g-"+uuid.NewString(), "tx-"+uuid.NewString()
		ours, theirs := b.cfg, b.cfg
		ours.TopicPrefix, theirs.TopicPrefix = "ours.", "theirs."
		first, err := OpenWriter(t.Context(), ours, Deps{}, id)
		require.NoError(t, err)
		defer first.Close()
		second, err := OpenWriter(t.Context(), theirs, Deps{}, id)
		require.NoError(t, err)
		defer second.Close()
		require.NoError(t, first.Write(t.Context(), records(topic, 0, 1)), "the other installation's writer fences nobody here")
		require.NoError(t, second.Write(t.Context(), records(topic, 2)))

		for _, cfg := range []Config{ours, theirs} {
			seen := &ledger{}
			l := start(t, func(ctx context.Context) error {
				return RunConsumer(ctx, cfg, deps(nil), ConsumerOptions{
					Group: group, Topics: []string{topic}, DeadLetter: func(*kgo.Record) string { return topic },
				}, func(_ context.Context, batch Batch) error {
					seen.add(batch)
					return nil
				})
			})
			eventually(t, "every record", func() bool { return seen.total() == 3 })
			eventually(t, "the commit", func() bool {
				done, err := Drained(t.Context(), cfg, Deps{}, group, topic)
				return err == nil && done
			})
			l.stop()
			assert.True(t, slices.Equal([]int{0, 1, 2}, seen.of(topic, 0)))
			assert.Positive(t, b.committed(t, cfg.TopicPrefix+group, topic, 0))
		}
	})
}
