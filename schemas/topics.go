package schemas

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Topics names the topics. The zero value has no prefix; services use DefaultTopicPrefix.
type Topics struct{ Prefix string }

// DefaultTopicPrefix comes before every topic's name unless it is configured otherwise.
const DefaultTopicPrefix = "kubescribe."

// Events holds Observations of a cluster, keyed by the subject.
func (t Topics) Events(cluster string) string { return t.Prefix + "events." + cluster }

// Enriched holds Documents of a cluster, keyed by the subject.
func (t Topics) Enriched(cluster string) string { return t.Prefix + "enriched." + cluster }

// Checkpoints holds Checkpoints and ObjectStates of a cluster in one partition.
func (t Topics) Checkpoints(cluster string) string { return t.Prefix + "checkpoints." + cluster }

// Matches holds Matches of every cluster, keyed by the cluster.
func (t Topics) Matches() string { return t.Prefix + "matches" }

// AlertState holds AlertStates, partitioned as Matches.
func (t Topics) AlertState() string { return t.Prefix + "alert-state" }

// Alerts holds Alerts, keyed by the fingerprint.
func (t Topics) Alerts() string { return t.Prefix + "alerts" }

// Notifications is the notification log, keyed by alert id and receiver.
func (t Topics) Notifications() string { return t.Prefix + "notifications" }

// DeadLetter holds what could not be handled; with an empty cluster, what belongs to none.
func (t Topics) DeadLetter(cluster string) string {
	if cluster == "" {
		return t.Prefix + "deadletter"
	}
	return t.Prefix + "deadletter." + cluster
}

// EnrichedPattern is an anchored regular expression that matches the enriched topics of every cluster.
func (t Topics) EnrichedPattern() string {
	return "^" + regexp.QuoteMeta(t.Prefix+"enriched.") + `[a-z0-9-]+$`
}

// ClusterOf is the cluster that a topic belongs to, or "" when it belongs to none.
func (t Topics) ClusterOf(topic string) string {
	rest, ok := strings.CutPrefix(topic, t.Prefix)
	if !ok {
		return ""
	}
	for _, kind := range []string{"events.", "enriched.", "checkpoints.", "deadletter."} {
		if c, ok := strings.CutPrefix(rest, kind); ok {
			return c
		}
	}
	return ""
}

// TopicSpec is how a topic should be.
type TopicSpec struct {
	Name       string
	Partitions int32
	// Keyed topics must not grow: the partition of a key would change, and with it order and state.
	Keyed bool
	// Configs are the topic's configuration in Kafka's own names.
	Configs map[string]string
}

// MaxMessageBytes is the largest record batch that a topic takes.
const MaxMessageBytes = 4 << 20

const (
	day           = 24 * time.Hour
	retainWeek    = 7 * day
	retainMonth   = 30 * day
	segmentAge    = time.Hour
	compactionLag = 6 * time.Hour
)

// ClusterSpecs are the topics of one cluster. partitions is the number for events and enriched; the checkpoints have one,
// so that their order is total, and the dead letter has one, because it is read by people.
func (t Topics) ClusterSpecs(cluster string, partitions int32) []TopicSpec {
	return []TopicSpec{
		deleting(t.Events(cluster), partitions, retainWeek),
		deleting(t.Enriched(cluster), partitions, retainWeek),
		compacting(t.Checkpoints(cluster), 1),
		deleting(t.DeadLetter(cluster), 1, retainMonth),
	}
}

// SharedSpecs are the topics that all clusters share.
func (t Topics) SharedSpecs(partitions int32) []TopicSpec {
	log := compacting(t.Notifications(), partitions)
	log.Configs["cleanup.policy"] = "compact,delete"
	log.Configs["retention.ms"] = millis(retainMonth)
	return []TopicSpec{
		deleting(t.Matches(), partitions, retainWeek),
		compacting(t.AlertState(), partitions),
		deleting(t.Alerts(), partitions, retainMonth),
		log,
		deleting(t.DeadLetter(""), 1, retainMonth),
	}
}

func deleting(name string, partitions int32, keep time.Duration) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Keyed: true, Configs: map[string]string{
		"cleanup.policy": "delete", "retention.ms": millis(keep), "max.message.bytes": fmt.Sprint(MaxMessageBytes),
		"unclean.leader.election.enable": "false",
	}}
}

func compacting(name string, partitions int32) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Keyed: true, Configs: map[string]string{
		"cleanup.policy": "compact", "segment.ms": millis(segmentAge), "max.compaction.lag.ms": millis(compactionLag),
		"max.message.bytes": fmt.Sprint(MaxMessageBytes), "unclean.leader.election.enable": "false",
	}}
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
