package enricher

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// kafka is a broker with the topics of one cluster.
type kafka struct {
	stream.Config
	topics     schemas.Topics
	partitions int32
}

// onBrokers runs a test on the in-process broker and on a real one.
func onBrokers(t *testing.T, test func(t *testing.T, k kafka)) {
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		t.Cleanup(c.Close)
		test(t, newKafka(t, c.ListenAddrs()[0]))
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		test(t, newKafka(t, stack.SharedKafka(t)))
	})
}

func newKafka(t *testing.T, address string) kafka {
	t.Helper()
	k := kafka{Config: stream.Default(), partitions: 4}
	k.Brokers = []string{address}
	k.TopicPrefix = "t" + uuid.NewString() + "."
	k.topics = schemas.Topics{Prefix: k.TopicPrefix}
	var specs []stream.TopicSpec
	for _, s := range k.topics.ClusterSpecs(testCluster.Name, k.partitions) {
		specs = append(specs, stream.TopicSpec{Name: s.Name, Partitions: s.Partitions, Replication: 1, Configs: s.Configs, Keyed: s.Keyed})
	}
	_, err := stream.ApplyTopics(t.Context(), k.Config, stream.Deps{}, specs, false)
	require.NoError(t, err)
	return k
}

func (k kafka) read(t *testing.T, topic string) (all []*kgo.Record) {
	t.Helper()
	require.NoError(t, stream.ReadTopic(t.Context(), k.Config, stream.Deps{}, stream.ReadOptions{Topic: topic, From: stream.FromStart},
		func(r *kgo.Record) error { all = append(all, r); return nil }))
	return all
}

func (k kafka) produce(t *testing.T, records []*kgo.Record) {
	t.Helper()
	for part := range slices.Chunk(records, 500) {
		require.NoError(t, stream.Produce(t.Context(), k.Config, stream.Deps{}, part...))
	}
}

// running starts an enricher; stop ends it and requires a clean return.
func (k kafka) running(t *testing.T, cfg Config, objects Objects) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	deps := stream.Deps{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	go func() { done <- Run(ctx, cfg, testCluster.Name, k.Config, deps, objects) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			t.Error("the enricher did not stop")
		}
	}
	t.Cleanup(stop)
	return stop
}

// input is the recording, rounds times over with other ids, as records of events.<c>.
func (k kafka) input(t *testing.T, rounds int) []*kgo.Record {
	t.Helper()
	var out []*kgo.Record
	for round := range rounds {
		for _, o := range recording(t) {
			o.ID = fmt.Sprintf("%s/%d", o.ID, round)
			out = append(out, k.record(t, o))
		}
	}
	return out
}

func (k kafka) record(t *testing.T, o *schemas.Observation) *kgo.Record {
	t.Helper()
	v, err := json.Marshal(o)
	require.NoError(t, err)
	r := &kgo.Record{Topic: k.topics.Events(testCluster.Name), Key: []byte(o.Subject.Key()), Value: v}
	for _, h := range o.Event().Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	return r
}

// known answers every look-up at once.
type known struct{ calls atomic.Int64 }

func (o *known) Lookup(_ context.Context, ref schemas.Subject, _ time.Time) Object {
	o.calls.Add(1)
	return Object{Found: true, Status: schemas.EnrichmentComplete, Labels: map[string]string{"app": ref.Name}}
}

func eventID(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == schemas.HeaderID {
			return string(h.Value)
		}
	}
	return ""
}

// Records in are records out: each once, under its key, in the order of its key; what is no observation is dead-lettered.
// The work is shared by two enrichers, one of which leaves and comes back while records flow.
func TestEveryObservationBecomesOneDocument(t *testing.T) {
	onBrokers(t, func(t *testing.T, k kafka) {
		in := k.input(t, 4)
		events := k.topics.Events(testCluster.Name)
		other := recording(t)[0]
		other.Cluster.Name = "elsewhere"
		broken := recording(t)[1]
		broken.ID, broken.Payload = "broken", []byte(`{"count":"many"}`)
		poison := []*kgo.Record{
			{Topic: events, Key: []byte("k"), Value: []byte("no json")},
			{Topic: events, Key: []byte("k"), Value: nil},
			{Topic: events, Key: []byte("k"), Value: []byte(`{"id":"x"}`)},
			k.record(t, other), k.record(t, broken),
		}
		gap := &schemas.Gap{
			Source: schemas.SourceEvents, Cause: schemas.GapExpired, Certainty: schemas.GapCertain,
			From: time.Unix(1, 0).UTC(), To: time.Unix(2, 0).UTC(),
		}
		payload, err := json.Marshal(gap)
		require.NoError(t, err)
		gapRecord := k.record(t, &schemas.Observation{
			ID: "gap", Type: schemas.TypeGap, Cluster: testCluster, Source: schemas.SourceEvents, Time: gap.To, ObservedAt: gap.To, Payload: payload,
		})
		gapRecord.Key = []byte(schemas.GapKey(schemas.SourceEvents))
		in = append(in, gapRecord)
		all := slices.Concat(in[:1000], poison, in[1000:])
		half := len(all) / 2

		objects := &known{}
		cfg := Default()
		cfg.Instance = "enricher-0"
		stop := k.running(t, cfg, objects)
		k.running(t, Default(), objects)
		k.produce(t, all[:half])
		require.Eventually(t, func() bool { return objects.calls.Load() > 0 }, time.Minute, 5*time.Millisecond)
		stop()
		k.produce(t, all[half:])
		k.running(t, cfg, objects)
		enriched := k.topics.Enriched(testCluster.Name)
		require.Eventually(t, func() bool { return len(k.read(t, enriched)) >= len(in) }, 2*time.Minute, 100*time.Millisecond)

		want, got := map[string][]string{}, map[string][]string{}
		for _, r := range in {
			want[string(r.Key)] = append(want[string(r.Key)], eventID(r))
		}
		for _, r := range k.read(t, enriched) {
			got[string(r.Key)] = append(got[string(r.Key)], eventID(r))
			d, err := schemas.DecodeDocument(r.Value)
			require.NoError(t, err)
			require.Equal(t, d.Event.ID, eventID(r))
			var headers []kgo.RecordHeader
			for _, h := range d.Headers() {
				headers = append(headers, kgo.RecordHeader(h))
			}
			require.Subset(t, r.Headers, headers)
		}
		require.Equal(t, want, got)

		reasons := map[string]int{}
		require.NoError(t, stream.ReadDeadLetters(t.Context(), k.Config, stream.Deps{}, k.topics.DeadLetter(testCluster.Name), func(l stream.DeadLetter) error {
			reasons[l.Reason]++
			return nil
		}))
		require.Equal(t, map[string]int{poisonUndecodable: 3, poisonCluster: 1, poisonPayload: 1}, reasons)
	})
}

// stuck never answers before the deadline.
type stuck struct{ longest, batches atomic.Int64 }

func (o *stuck) Lookup(ctx context.Context, _ schemas.Subject, _ time.Time) Object {
	start := time.Now()
	<-ctx.Done()
	o.batches.Add(1)
	took := int64(time.Since(start))
	for old := o.longest.Load(); took > old && !o.longest.CompareAndSwap(old, took); old = o.longest.Load() {
	}
	return Object{Status: schemas.EnrichmentUnavailable, Missing: []string{missing(factObject, reasonTimeout)}}
}

// An API server that never answers delays a batch by the deadline, and by nothing for each further record.
func TestAnOutageOfTheAPIServerNeverBlocks(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	k := newKafka(t, c.ListenAddrs()[0])
	in := k.input(t, 1)
	k.produce(t, in)
	objects := &stuck{}
	cfg := Default()
	cfg.LookupTimeout, cfg.SyncWait, cfg.LookupConcurrency = 200*time.Millisecond, 0, 4
	start := time.Now()
	k.running(t, cfg, objects)
	var docs []*kgo.Record
	require.Eventually(t, func() bool { docs = k.read(t, k.topics.Enriched(testCluster.Name)); return len(docs) >= len(in) }, time.Minute, 20*time.Millisecond)
	require.Len(t, docs, len(in))
	// Hundreds of objects, four at a time: were each waited for, it would take half a minute.
	require.Less(t, time.Since(start), 15*time.Second)
	for _, r := range docs {
		d, err := schemas.DecodeDocument(r.Value)
		require.NoError(t, err)
		require.Equal(t, &schemas.Enrichment{Status: schemas.EnrichmentUnavailable, Missing: []string{"object: timeout"}}, d.Kubescribe.Enrichment)
	}
}

func TestRunRefusesWhatCannotWork(t *testing.T) {
	err := Run(t.Context(), Default(), "Not A Name", stream.Default(), stream.Deps{}, Recorded{})
	require.ErrorContains(t, err, `"not-a-name"`)
	err = Run(t.Context(), Config{}, "shop", stream.Default(), stream.Deps{}, Recorded{})
	require.ErrorContains(t, err, "enricher.lookup_timeout")
}
