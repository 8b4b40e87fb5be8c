package enricher

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var testCluster = schemas.Cluster{Name: "shop", UID: "0f6a3c55-93ab-4d0e-9d55-6c4b1f1e3b11"}

// watchLine is one line of a recorded watch.
type watchLine struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// observation turns one Event as the API server gave it into an observation, as the producer does.
func observation(tb testing.TB, payload []byte) *schemas.Observation {
	tb.Helper()
	var e struct {
		event
		InvolvedObject schemas.Subject `json:"involvedObject"`
	}
	require.NoError(tb, json.Unmarshal(payload, &e))
	o := &schemas.Observation{
		ID:   schemas.EventID(testCluster.UID, 0, e.Metadata.UID, e.Metadata.ResourceVersion),
		Type: schemas.TypeEvent, Cluster: testCluster, Source: schemas.SourceEvents, Subject: e.InvolvedObject, Payload: payload,
	}
	when := or(e.LastTimestamp, e.EventTime, e.Metadata.CreationTimestamp)
	if e.Series != nil {
		when = or(e.Series.LastObservedTime, when)
	}
	o.SetTime(when, when.Add(time.Second))
	return o
}

// recording reads the shipped recording of a real control plane as observations.
func recording(tb testing.TB) []*schemas.Observation {
	tb.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", "recordings", "kwok-shop.ndjson"))
	require.NoError(tb, err)
	defer f.Close()
	var out []*schemas.Observation
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l watchLine
		require.NoError(tb, json.Unmarshal(lines.Bytes(), &l))
		out = append(out, observation(tb, l.Object))
	}
	require.NoError(tb, lines.Err())
	require.Len(tb, out, 591)
	return out
}

func fields() Fields { return Fields{ServiceLabels: Default().ServiceLabels} }

func TestEveryRecordedEventBecomesAValidDocument(t *testing.T) {
	for _, o := range recording(t) {
		d, err := Enrich(o, Recorded{}.Lookup(t.Context(), o.Subject, o.ObservedAt), fields())
		require.NoError(t, err)
		require.NoError(t, d.Validate())
		require.Equal(t, schemas.EnrichmentUnavailable, d.Kubescribe.Enrichment.Status)
		require.Nil(t, d.Kubescribe.Owners, "an owner was guessed")
		require.Nil(t, d.Kubescribe.Workload, "a workload was guessed")
		require.Equal(t, o.ID, d.Event.ID)
		require.Equal(t, o.Time, d.Timestamp)
		require.NotEmpty(t, d.Message)
		require.False(t, d.Event.Start.IsZero())
		require.False(t, d.Event.Start.After(d.Event.End))
		require.NotEmpty(t, d.Event.Provider)
		b, err := d.Encode()
		require.NoError(t, err)
		back, err := schemas.DecodeDocument(b)
		require.NoError(t, err)
		again, err := back.Encode()
		require.NoError(t, err)
		require.Equal(t, string(b), string(again))
	}
}

// The golden documents: what a reader of enriched.<c> sees, byte for byte.
func TestGoldenDocuments(t *testing.T) {
	web := Object{
		Found: true, Status: schemas.EnrichmentComplete,
		Labels:      map[string]string{"app.kubernetes.io/name": "web", "app": "web-old", "team": "checkout"},
		Annotations: map[string]string{"example.com/owner": "checkout@example.com"},
		Owners: []schemas.Owner{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-6d4cf56db6", UID: "11111111-1111-4111-8111-111111111111"},
			{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "22222222-2222-4222-8222-222222222222"},
		},
	}
	node := Object{
		Found: true, UID: "33333333-3333-4333-8333-333333333333", Status: schemas.EnrichmentComplete,
		Labels: map[string]string{"kubernetes.io/hostname": "node-1"},
	}
	rollout := Object{
		Found: true, Status: schemas.EnrichmentPartial, Missing: []string{"owner: forbidden"}, Labels: map[string]string{"app": "canary"},
		Owners: []schemas.Owner{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "canary", UID: "44444444-4444-4444-8444-444444444444"}},
	}
	for name, object := range map[string]Object{
		"normal": web, "warning": web, "series": web, "null-timestamps": {Status: schemas.EnrichmentPartial, Missing: []string{"object: replaced"}},
		"node": node, "hpa": {Found: true, Status: schemas.EnrichmentComplete}, "custom": rollout,
		"recorded": Recorded{}.Lookup(t.Context(), schemas.Subject{}, time.Time{}), "bare": {},
	} {
		t.Run(name, func(t *testing.T) {
			payload, err := os.ReadFile(filepath.Join("testdata", "golden", name+".event.json"))
			require.NoError(t, err)
			d, err := Enrich(observation(t, payload), object, fields())
			require.NoError(t, err)
			golden(t, name, d)
		})
	}
}

func TestGoldenGap(t *testing.T) {
	from := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	g := schemas.Gap{
		Source: schemas.SourceEvents, Cause: schemas.GapExpired, Certainty: schemas.GapPossible, From: from, To: from.Add(7 * time.Minute),
		CheckpointRV: "100", ListRV: "900", ListedNewer: 12, EventTTL: "1h0m0s", OutageSeconds: 420,
	}
	payload, err := json.Marshal(g)
	require.NoError(t, err)
	o := &schemas.Observation{
		ID: schemas.GapID(testCluster.UID, 0, schemas.SourceEvents, "900"), Type: schemas.TypeGap, Cluster: testCluster,
		Source: schemas.SourceEvents, Time: g.To, ObservedAt: g.To, Payload: payload,
	}
	d, err := Enrich(o, Object{}, fields())
	require.NoError(t, err)
	golden(t, "gap", d)

	o.Payload = []byte(`{"source":"events"}`)
	_, err = Enrich(o, Object{}, fields())
	require.ErrorContains(t, err, "certainty")
}

// golden compares the encoded document with its golden file, which is indented for people.
func golden(t *testing.T, name string, d *schemas.Document) {
	t.Helper()
	require.NoError(t, d.Validate())
	b, err := d.Encode()
	require.NoError(t, err)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, b, "", "  "))
	indented.WriteByte('\n')
	path := filepath.Join("testdata", "golden", name+".document.json")
	if *update {
		require.NoError(t, os.WriteFile(path, indented.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), indented.String())
}

func TestUnknownTypesKeepTheirPayload(t *testing.T) {
	for typ, class := range map[schemas.Type]string{schemas.TypeRisk: schemas.ClassNormal, "later": schemas.ClassNormal} {
		o := recording(t)[0]
		o.Type, o.Payload = typ, []byte(`{"what":"ever"}`)
		d, err := Enrich(o, Object{}, fields())
		require.NoError(t, err)
		require.NoError(t, d.Validate())
		require.Equal(t, `{"what":"ever"}`, d.Event.Original)
		require.Equal(t, class, d.Kubescribe.Class)
		require.Equal(t, "kubernetes."+string(typ), d.Event.Dataset)
	}
}

func TestPayloadThatIsNoEventIsAnError(t *testing.T) {
	for _, payload := range []string{`[]`, `"text"`, `{"count":"many"}`, `{"firstTimestamp":"yesterday"}`} {
		o := recording(t)[0]
		o.Payload = []byte(payload)
		_, err := Enrich(o, Object{}, fields())
		require.ErrorContains(t, err, "decoding event", payload)
	}
}

func TestStaticPodIsItsOwnWorkload(t *testing.T) {
	o := recording(t)[0]
	d, err := Enrich(o, Object{
		Found: true, Status: schemas.EnrichmentComplete,
		Owners: []schemas.Owner{{APIVersion: "v1", Kind: "Node", Name: "control-1", UID: "u"}},
	}, fields())
	require.NoError(t, err)
	require.Equal(t, "Pod", d.Kubescribe.Workload.Kind)
	require.Equal(t, "control-1", d.Kubernetes.Node.Name)
}

func BenchmarkEnrichAndEncode(b *testing.B) {
	in := make([][]byte, 0, 591)
	size := 0
	for _, o := range recording(b) {
		v, err := json.Marshal(o)
		require.NoError(b, err)
		in = append(in, v)
		size += len(v)
	}
	object := Object{
		Found: true, Status: schemas.EnrichmentComplete, Labels: map[string]string{"app.kubernetes.io/name": "web", "pod-template-hash": "6d4cf56db6"},
		Owners: []schemas.Owner{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-6d4cf56db6", UID: "1"}, {APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "2"}},
	}
	b.SetBytes(int64(size / len(in)))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		o, err := decodeObservation(in[i%len(in)])
		if err != nil {
			b.Fatal(err)
		}
		d, err := Enrich(o, object, fields())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Encode(); err != nil {
			b.Fatal(err)
		}
		headers(d)
	}
}
