package stream

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestApplyTopics(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b broker) {
		prefix := "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "."
		specs := []TopicSpec{
			{Name: prefix + "events", Partitions: 3, Replication: 1, Keyed: true, Configs: map[string]string{"cleanup.policy": "delete", "retention.ms": "1000"}},
			{Name: prefix + "state", Partitions: 2, Replication: 1, Keyed: true, Compacted: true, Configs: map[string]string{"cleanup.policy": "compact"}},
			{Name: prefix + "log", Partitions: 1, Replication: 1},
		}
		err := CheckTopics(t.Context(), b.cfg, deps(nil), specs)
		for _, says := range []string{"topic " + prefix + "events does not exist", "topic " + prefix + "log does not exist", "run `kubescribe topics apply`"} {
			assert.ErrorContains(t, err, says)
		}
		changes, err := ApplyTopics(t.Context(), b.cfg, deps(nil), specs, true)
		require.NoError(t, err)
		assert.Len(t, changes, 3)
		assert.ErrorContains(t, CheckTopics(t.Context(), b.cfg, deps(nil), specs), "does not exist", "a dry run does nothing")
		changes, err = ApplyTopics(t.Context(), b.cfg, deps(nil), specs, false)
		require.NoError(t, err)
		require.Len(t, changes, 3)
		assert.Equal(t, prefix+"events: create with 3 partitions, replication 1", changes[0].String())
		eventually(t, "the topics", func() bool { return CheckTopics(t.Context(), b.cfg, deps(nil), specs) == nil })
		changes, err = ApplyTopics(t.Context(), b.cfg, deps(nil), specs, false)
		require.NoError(t, err)
		assert.Empty(t, changes)
		isr, err := newAdmin(t, b).DescribeTopicConfigs(t.Context(), prefix+"log")
		require.NoError(t, err)
		for _, c := range isr[0].Configs {
			if c.Key == "min.insync.replicas" {
				assert.Equal(t, "1", c.MaybeValue())
			}
		}

		specs[0].Configs["retention.ms"] = "2000"
		specs[2].Partitions = 2
		assert.ErrorContains(t, CheckTopics(t.Context(), b.cfg, deps(nil), specs), "retention.ms 1000 -> 2000")
		changes, err = ApplyTopics(t.Context(), b.cfg, deps(nil), specs, false)
		require.NoError(t, err)
		assert.Equal(t, []TopicChange{
			{Topic: prefix + "events", Action: "config", Name: "retention.ms", From: "1000", To: "2000"},
			{Topic: prefix + "log", Action: "grow", From: "1", To: "2"},
		}, changes)

		// A keyed topic does not grow, and then nothing else changes either.
		specs[0].Configs["retention.ms"] = "3000"
		specs[1].Partitions = 5
		changes, err = ApplyTopics(t.Context(), b.cfg, deps(nil), specs, false)
		assert.ErrorContains(t, err, "topic "+prefix+"state has 2 partitions and the configuration wants 5: it is keyed")
		assert.Empty(t, changes)
		specs[1].Partitions = 1
		_, err = ApplyTopics(t.Context(), b.cfg, deps(nil), specs, false)
		assert.ErrorContains(t, err, "Kafka cannot shrink a topic")
		configs, err := newAdmin(t, b).DescribeTopicConfigs(t.Context(), prefix+"events")
		require.NoError(t, err)
		assert.Contains(t, values(configs[0]), "retention.ms=2000")
	})
}

func values(rc kadm.ResourceConfig) []string {
	var all []string
	for _, c := range rc.Configs {
		all = append(all, c.Key+"="+c.MaybeValue())
	}
	return all
}

func TestTopicSpecs(t *testing.T) {
	t.Parallel()
	_, err := ApplyTopics(t.Context(), Default(), Deps{}, []TopicSpec{
		{Partitions: 1}, {Name: "a"}, {Name: "b", Partitions: 1, Compacted: true},
	}, true)
	for _, says := range []string{"a topic has no name", "topic a: 0 partitions", `topic b is compacted but its cleanup.policy is ""`} {
		assert.ErrorContains(t, err, says)
	}
	spec, err := TopicSpec{Name: "a", Partitions: 1}.withDefaults()
	require.NoError(t, err)
	assert.EqualValues(t, 3, spec.Replication)
	assert.Equal(t, "2", spec.Configs["min.insync.replicas"])
}
