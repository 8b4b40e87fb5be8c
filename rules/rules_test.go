package rules_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/alerter"
	"kubescribe/alerter/replay"
	"kubescribe/alerter/rule"
	"kubescribe/alerter/ruletest"
	"kubescribe/enricher"
	"kubescribe/internal/stream"
	"kubescribe/producer"
	"kubescribe/rules"
	"kubescribe/schemas"
)

func TestShippedRulesAreGood(t *testing.T) {
	set, report := rule.Load(rules.FS, rule.Options{Receivers: []string{}, Strict: true})
	require.NoError(t, report.Err())
	assert.Equal(t, report, alerter.Check(rules.FS, nil))
	assert.Equal(t, len(set.Rules), report.Rules)
	for _, r := range set.Rules {
		assert.Contains(t, []string{"page", "ticket", "info"}, r.Labels["severity"], r.Name)
		assert.Empty(t, r.Receivers, "%s: shipped rules know no receiver", r.Name)
	}
	files, err := rule.Files(rules.FS)
	require.NoError(t, err)
	assert.Len(t, files, report.Files)
	for _, f := range files {
		text, err := fs.ReadFile(rules.FS, f)
		require.NoError(t, err)
		n := strings.Count(string(text), "- alert:")
		for _, what := range []string{"summary", "description", "runbook"} {
			assert.Equal(t, n, len(regexp.MustCompile(`(?m)^ +`+what+`:`).FindAllString(string(text), -1)), "%s: each alert has a %s", f, what)
		}
	}
}

// TestShippedRulesAreTested runs what `kubescribe rules test rules` runs.
func TestShippedRulesAreTested(t *testing.T) {
	set, report := rule.Load(rules.FS, rule.Options{})
	require.NoError(t, report.Err())
	r := ruletest.Run(os.DirFS("."), set, nil)
	for _, p := range r.Problems {
		t.Error(p)
	}
	assert.Equal(t, r.Rules, r.Tested)
}

// TestShippedRulesOnTheRecording plays the shipped recording through the producer and the enricher, evaluates the rules, and
// decides. Nothing is enriched in a recording, so each object stands for its workload.
func TestShippedRulesOnTheRecording(t *testing.T) {
	set, report := rule.Load(rules.FS, rule.Options{})
	require.NoError(t, report.Err())
	player := replay.NewPlayer(set, []string{"default"})
	fired := map[string][]string{}
	for _, d := range recording(t) {
		step := player.Take(d, d.Event.Created)
		require.Empty(t, step.Failures)
		for _, a := range step.Alerts {
			require.NoError(t, a.Validate())
			require.NotContains(t, fmt.Sprint(a.Annotations), "<template")
			require.Equal(t, schemas.AlertFiring, a.Status, "nothing repeats or ends within the recording's 100 seconds")
			fired[a.Rule] = append(fired[a.Rule], a.Labels["workload"]+a.Labels["node"]+a.Labels["name"])
		}
	}
	assert.Equal(t, map[string][]string{
		"CrashLoop":        {"Pod/crashy-798479d4f6-4gm85", "Pod/crashy-798479d4f6-2nqbd", "Pod/hungry-7598cb7474-k45tz", "Pod/hungry-7598cb7474-c4fxs"},
		"ImagePullFailure": {"Pod/noimage-7fcf66f77b-f2blh", "Pod/noimage-7fcf66f77b-dkwdm", "Pod/noimage-7fcf66f77b-clc57"},
		"FailedScheduling": {"Pod/toobig-64b5dd56b6-kpmzq", "Pod/toobig-64b5dd56b6-62wlw"},
		"FailedCreate":     {"ReplicaSet/over-85946cf988"},
		"NodeNotReady":     {"node-3"},
		"HPAFailed":        {"web"},
		"JobFailed":        {"Job/bad"},
		// Without owners, the pods of one Deployment are groups of their own; what they share is the node.
		"AlertStorm": {"node-1", "node-3"},
	}, fired)
}

// TestGapRules covers what the recording has none of.
func TestGapRules(t *testing.T) {
	set, report := rule.Load(rules.FS, rule.Options{})
	require.NoError(t, report.Err())
	gap := func(certainty schemas.Certainty) *schemas.Document {
		d := &schemas.Document{Timestamp: time.Unix(1e9, 0).UTC()}
		d.Event.ID, d.Orchestrator.Cluster.Name = "g", "prod"
		d.Kubescribe.Type, d.Kubescribe.Class = schemas.TypeGap, schemas.ClassGap
		d.Kubescribe.Gap = &schemas.GapInfo{Certainty: certainty, Cause: schemas.GapExpired, Source: schemas.SourceEvents}
		return d
	}
	for certainty, want := range map[schemas.Certainty]string{schemas.GapCertain: "EventGap", schemas.GapPossible: "EventGapPossible"} {
		matches, failures := rule.NewMatcher(set).Match(gap(certainty))
		require.Empty(t, failures)
		require.Len(t, matches, 1)
		assert.Equal(t, want, matches[0].Rule)
		assert.Equal(t, map[string]string{"gap.source": "events"}, matches[0].Group)
	}
}

// recording is what the enricher makes of the shipped recording, in the recording's order.
func recording(t *testing.T) []*schemas.Document {
	t.Helper()
	const cluster = "kwok-shop"
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	k := stream.Default()
	k.Brokers = broker.ListenAddrs()
	topics := schemas.Topics{Prefix: k.TopicPrefix}
	var specs []stream.TopicSpec
	for _, s := range topics.ClusterSpecs(cluster, 1) {
		specs = append(specs, stream.TopicSpec{Name: s.Name, Partitions: s.Partitions, Replication: 1, Configs: s.Configs, Keyed: s.Keyed})
	}
	_, err = stream.ApplyTopics(t.Context(), k, stream.Deps{}, specs, false)
	require.NoError(t, err)
	sum, err := producer.Replay(t.Context(), producer.Default(), cluster, k, stream.Deps{},
		[]producer.Recording{producer.File("../testdata/recordings/kwok-shop.ndjson")}, producer.ReplayOptions{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- enricher.Run(ctx, enricher.Default(), cluster, k, stream.Deps{}, enricher.Recorded{}) }()
	var docs []*schemas.Document
	for deadline := time.Now().Add(time.Minute); len(docs) < int(sum.Observed); time.Sleep(50 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%d of %d documents", len(docs), sum.Observed)
		docs = nil
		err := stream.ReadTopic(t.Context(), k, stream.Deps{}, stream.ReadOptions{Topic: topics.Enriched(cluster), From: stream.FromStart}, func(r *kgo.Record) error {
			d, err := schemas.DecodeDocument(r.Value)
			docs = append(docs, d)
			return err
		})
		require.NoError(t, err)
	}
	cancel()
	require.NoError(t, <-done)
	return docs
}
