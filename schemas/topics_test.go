package schemas_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

func TestTopicNames(t *testing.T) {
	p := schemas.Topics{Prefix: schemas.DefaultTopicPrefix}
	require.Equal(t, []string{
		"kubescribe.events.shop", "kubescribe.enriched.shop", "kubescribe.checkpoints.shop", "kubescribe.deadletter.shop", "kubescribe.deadletter",
		"kubescribe.matches", "kubescribe.alert-state", "kubescribe.alerts", "kubescribe.notifications",
	}, []string{
		p.Events("shop"), p.Enriched("shop"), p.Checkpoints("shop"), p.DeadLetter("shop"), p.DeadLetter(""),
		p.Matches(), p.AlertState(), p.Alerts(), p.Notifications(),
	})
	require.Equal(t, "events.shop", schemas.Topics{}.Events("shop"))
}

func TestClusterOf(t *testing.T) {
	for _, p := range []schemas.Topics{{}, {Prefix: "kubescribe."}, {Prefix: "a.b_"}} {
		for _, topic := range []string{p.Events("shop"), p.Enriched("shop"), p.Checkpoints("shop"), p.DeadLetter("shop")} {
			require.Equal(t, "shop", p.ClusterOf(topic), topic)
		}
		for _, topic := range []string{p.DeadLetter(""), p.Matches(), p.Alerts(), "other.events.shop", ""} {
			require.Empty(t, p.ClusterOf(topic), topic)
		}
	}
}

func TestEnrichedPattern(t *testing.T) {
	p := schemas.Topics{Prefix: "kubescribe."}
	re := regexp.MustCompile(p.EnrichedPattern())
	require.True(t, re.MatchString(p.Enriched("shop-eu-1")))
	for _, other := range []string{p.Events("shop"), "xkubescribe.enriched.shop", "kubescribeXenriched.shop", "kubescribe.enriched.", "kubescribe.enriched.shop.copy"} {
		require.False(t, re.MatchString(other), other)
	}
}

func TestTopicSpecs(t *testing.T) {
	p := schemas.Topics{Prefix: schemas.DefaultTopicPrefix}
	specs := append(p.ClusterSpecs("shop", 6), p.SharedSpecs(12)...)
	byName := map[string]schemas.TopicSpec{}
	for _, s := range specs {
		require.NotContains(t, byName, s.Name)
		byName[s.Name] = s
		require.Equal(t, "4194304", s.Configs["max.message.bytes"], s.Name)
		require.Equal(t, "false", s.Configs["unclean.leader.election.enable"], s.Name)
	}
	require.Len(t, byName, 9)
	require.EqualValues(t, 6, byName[p.Events("shop")].Partitions)
	require.Equal(t, byName[p.Events("shop")].Partitions, byName[p.Enriched("shop")].Partitions, "the enricher keeps a record's order")
	require.EqualValues(t, 1, byName[p.Checkpoints("shop")].Partitions)
	require.Equal(t, byName[p.Matches()].Partitions, byName[p.AlertState()].Partitions, "the state lies in the partition of its matches")
	require.Equal(t, "604800000", byName[p.Events("shop")].Configs["retention.ms"])
	require.Equal(t, "compact,delete", byName[p.Notifications()].Configs["cleanup.policy"])
	for _, name := range []string{p.Checkpoints("shop"), p.AlertState()} {
		require.Equal(t, "compact", byName[name].Configs["cleanup.policy"])
		require.NotEmpty(t, byName[name].Configs["segment.ms"])
		require.NotEmpty(t, byName[name].Configs["max.compaction.lag.ms"])
		require.NotContains(t, byName[name].Configs, "retention.ms", "state is not deleted by age")
	}
}
