package contract

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/alerter/decision"
	"kubescribe/alerter/rule"
	"kubescribe/enricher"
	"kubescribe/producer"
	"kubescribe/schemas"
)

var (
	topics  = schemas.Topics{Prefix: schemas.DefaultTopicPrefix}
	cluster = schemas.Cluster{Name: "shop", UID: "4c1b6a52-6f0f-4c57-9a37-6a1d2f0c9b3e"}
	// observedAt is when the producer saw the event; later services only copy it.
	observedAt = time.Date(2026, 11, 20, 10, 7, 2, 310_000_000, time.UTC)
)

// apiServer is what the API server says about the pod of the event.
var apiServer = enricher.Object{
	Found:       true,
	UID:         "fb07d563-9465-4fa1-b27b-65634961bd85",
	Labels:      map[string]string{"app": "crashy", "pod-template-hash": "798479d4f6"},
	Annotations: map[string]string{"example.com/team": "checkout"},
	Owners: []schemas.Owner{
		{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "crashy-798479d4f6", UID: "1c1c7a8e-7a43-4a53-9f3a-35b9a7b1c002"},
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "crashy", UID: "0b0b7a8e-7a43-4a53-9f3a-35b9a7b1c001"},
	},
	Status: schemas.EnrichmentComplete,
}

// TestFollowOneEvent sends one line of a watch through the pure code of every service, from bytes to bytes.
func TestFollowOneEvent(t *testing.T) {
	events := produce(t)
	events.golden(t, "events", "observation")
	checkpoint(t).golden(t, "checkpoints", "checkpoint")

	enriched := enrich(t, events)
	enriched.golden(t, "enriched", "document")

	matches := match(t, enriched)
	matches.golden(t, "matches", "match")

	state, alerts := decide(t, matches)
	state.golden(t, "alert-state", "alert-state")
	alerts.golden(t, "alerts", "alert")
	notification(t, alerts).golden(t, "notifications", "notification")
}

func produce(t *testing.T) record {
	b, err := os.ReadFile("testdata/event.json")
	require.NoError(t, err)
	var line struct{ Object json.RawMessage }
	require.NoError(t, json.Unmarshal(b, &line))
	o, err := producer.FromJSON(line.Object, cluster, 0, observedAt)
	require.NoError(t, err)
	one := int64(1) // the producer knows it from the revision before; here it is the first
	o.Occurrences = &one
	return record{topics.Events(cluster.Name), o.Subject.Key(), o.Event().Headers(), encode(t, o)}
}

func checkpoint(t *testing.T) record {
	c := schemas.Checkpoint{Source: schemas.SourceEvents, ClusterUID: cluster.UID, RV: "679", ObservedAt: observedAt}
	value := encode(t, c)
	_, err := schemas.DecodeCheckpoint(value)
	require.NoError(t, err)
	return record{topic: topics.Checkpoints(cluster.Name), key: schemas.CheckpointKey(schemas.SourceEvents), value: value}
}

func enrich(t *testing.T, events record) record {
	o, err := schemas.DecodeObservation(events.value)
	require.NoError(t, err)
	d, err := enricher.Enrich(o, apiServer, enricher.Fields{ServiceLabels: enricher.Default().ServiceLabels})
	require.NoError(t, err)
	value, err := d.Encode()
	require.NoError(t, err)

	withoutClass := slices.DeleteFunc(d.Headers(), func(h schemas.Header) bool { return h.Key == schemas.HeaderClass })
	require.Equal(t, events.headers, withoutClass, "a fact keeps its id, type and time")
	return record{topics.Enriched(cluster.Name), events.key, d.Headers(), value}
}

func match(t *testing.T, enriched record) record {
	d, err := schemas.DecodeDocument(enriched.value)
	require.NoError(t, err)
	set, report := rule.Load(os.DirFS("testdata/rules"), rule.Options{Receivers: []string{"oncall"}})
	require.NoError(t, report.Err())
	found, failures := rule.NewMatcher(set).Match(d)
	require.Empty(t, failures)
	require.Len(t, found, 1)
	require.Equal(t, d.Event.ID, found[0].EventID)
	return record{topic: topics.Matches(), key: found[0].Cluster, value: encode(t, found[0])}
}

func decide(t *testing.T, matches record) (state, alert record) {
	m, err := schemas.DecodeMatch(matches.value)
	require.NoError(t, err)
	r := decision.Decide(schemas.AlertState{}, m, observedAt.Add(time.Second))
	require.True(t, r.Changed)
	require.Len(t, r.Alerts, 1)
	a := r.Alerts[0]
	return record{topic: topics.AlertState(), key: schemas.AlertStateKey(m.Cluster, m.Fingerprint), value: encode(t, r.State)},
		record{topic: topics.Alerts(), key: a.Fingerprint, value: encode(t, a)}
}

func notification(t *testing.T, alerts record) record {
	a, err := schemas.DecodeAlert(alerts.value)
	require.NoError(t, err)
	n := schemas.Notification{AlertID: a.ID, Receiver: a.Receivers[0], Delivery: schemas.DeliverySent, SentAt: observedAt.Add(2 * time.Second), Attempts: 1}
	require.NoError(t, n.Validate())
	return record{topic: topics.Notifications(), key: schemas.NotificationKey(n.AlertID, n.Receiver), value: encode(t, n)}
}

func encode(t *testing.T, v any) []byte {
	b, err := schemas.Encode(v)
	require.NoError(t, err)
	return b
}
