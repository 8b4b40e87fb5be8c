package contract

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"kubescribe/alerter"
	"kubescribe/alerter/decision"
	"kubescribe/alerter/receiver"
	"kubescribe/enricher"
	"kubescribe/internal/stream"
	"kubescribe/producer"
	"kubescribe/schemas"
)

var cluster = schemas.Cluster{Name: "shop", UID: "4c1b6a52-6f0f-4c57-9a37-6a1d2f0c9b3e"}

// now is the wall clock: when something is sent, or given up. All else is event time.
func now() time.Time { return time.Date(2026, 11, 20, 10, 7, 4, 0, time.UTC) }

// apiServer stands for the API server beside the enricher: what it says about the pod of the event.
type apiServer struct{}

func (apiServer) Lookup(context.Context, schemas.Subject, time.Time) enricher.Object {
	return enricher.Object{
		Found: true, Status: schemas.EnrichmentComplete,
		UID:         "fb07d563-9465-4fa1-b27b-65634961bd85",
		Labels:      map[string]string{"app": "crashy", "pod-template-hash": "798479d4f6"},
		Annotations: map[string]string{"example.com/team": "checkout"},
		Owners: []schemas.Owner{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "crashy-798479d4f6", UID: "1c1c7a8e-7a43-4a53-9f3a-35b9a7b1c002"},
			{APIVersion: "apps/v1", Kind: "Deployment", Name: "crashy", UID: "0b0b7a8e-7a43-4a53-9f3a-35b9a7b1c001"},
		},
	}
}

// TestFollowOneEvent plays one line of a watch through the services as they run, and holds the bytes on every topic.
func TestFollowOneEvent(t *testing.T) {
	k := broker(t)
	topics := schemas.Topics{Prefix: k.TopicPrefix}
	d := stream.Deps{Now: now}

	played, err := producer.Replay(t.Context(), producer.Default(), cluster.Name, k, d,
		[]producer.Recording{producer.File("testdata/event.json")}, producer.ReplayOptions{ClusterUID: cluster.UID})
	require.NoError(t, err)
	require.EqualValues(t, 1, played.Observed)

	ctx, stop := context.WithCancel(t.Context())
	services, ctx := errgroup.WithContext(ctx)
	services.Go(func() error { return enricher.Run(ctx, enricher.Default(), cluster.Name, k, d, apiServer{}) })
	services.Go(func() error { return alerter.Run(ctx, pager(t), k, d) })
	defer func() {
		stop()
		require.NoError(t, services.Wait())
	}()

	for _, c := range []struct{ golden, topic, schema string }{
		{"events", topics.Events(cluster.Name), "observation"},
		{"checkpoints", topics.Checkpoints(cluster.Name), "checkpoint"},
		{"enriched", topics.Enriched(cluster.Name), "document"},
		{"matches", topics.Matches(), "match"},
		{"alert-state", topics.AlertState(), "alert-state"},
		{"alerts", topics.Alerts(), "alert"},
		{"notifications", topics.Notifications(), "notification"},
	} {
		first(ctx, t, k, c.topic).golden(t, c.golden, c.schema)
	}
	for _, topic := range []string{topics.DeadLetter(cluster.Name), topics.DeadLetter("")} {
		require.Empty(t, records(ctx, t, k, topic))
	}
}

// TestFollowARecordThatDoesNotDecode: what can never succeed goes to the dead letter, with where it came from and why.
func TestFollowARecordThatDoesNotDecode(t *testing.T) {
	k := broker(t)
	topics := schemas.Topics{Prefix: k.TopicPrefix}
	bad := &kgo.Record{Topic: topics.Events(cluster.Name), Key: []byte("/Pod/shop/crashy"), Value: []byte(`{"id":"cut off in mid-`)}
	require.NoError(t, stream.Produce(t.Context(), k, stream.Deps{}, bad))

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- enricher.Run(ctx, enricher.Default(), cluster.Name, k, stream.Deps{Now: now}, apiServer{})
	}()
	first(ctx, t, k, topics.DeadLetter(cluster.Name)).golden(t, "deadletter", "")
	require.Empty(t, records(ctx, t, k, topics.Enriched(cluster.Name)))
	stop()
	require.NoError(t, <-done)
}

// broker is an in-process Kafka with the topics of the cluster.
func broker(t *testing.T) stream.Config {
	t.Helper()
	b, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(b.Close)
	k := stream.Default()
	k.Brokers = b.ListenAddrs()
	topics := schemas.Topics{Prefix: k.TopicPrefix}
	var specs []stream.TopicSpec
	for _, s := range append(topics.ClusterSpecs(cluster.Name, 1), topics.SharedSpecs(1)...) {
		specs = append(specs, stream.TopicSpec{Name: s.Name, Partitions: s.Partitions, Replication: 1, Configs: s.Configs, Keyed: s.Keyed})
	}
	_, err = stream.ApplyTopics(t.Context(), k, stream.Deps{}, specs, false)
	require.NoError(t, err)
	return k
}

// pager is an alerter that pages a webhook.
func pager(t *testing.T) alerter.Config {
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hook.Close)
	cfg := alerter.Default()
	cfg.Rules = "testdata/rules"
	cfg.Receivers = []receiver.Config{{Name: "oncall", Type: "webhook", URL: stream.Secret(hook.URL)}}
	return cfg
}

// first waits for the first record of a topic and returns it; it must be the only one, but for what an alert counts for storms.
func first(ctx context.Context, t *testing.T, k stream.Config, topic string) record {
	t.Helper()
	var found []record
	require.Eventually(t, func() bool {
		found = slices.DeleteFunc(records(ctx, t, k, topic), func(r record) bool { return strings.Contains(r.text(), decision.StormRule) })
		return len(found) > 0
	}, time.Minute, 20*time.Millisecond, "nothing arrives on %s", topic)
	require.Len(t, found, 1, topic)
	return found[0]
}

func records(ctx context.Context, t *testing.T, k stream.Config, topic string) []record {
	t.Helper()
	var all []record
	err := stream.ReadTopic(ctx, k, stream.Deps{}, stream.ReadOptions{Topic: topic, From: stream.FromStart}, func(r *kgo.Record) error {
		all = append(all, record{r.Topic, string(r.Key), headers(r), r.Value})
		return nil
	})
	require.NoError(t, err)
	return all
}

func headers(r *kgo.Record) []schemas.Header {
	var all []schemas.Header
	for _, h := range r.Headers {
		all = append(all, schemas.Header(h))
	}
	return all
}
