package producer

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

var (
	testCluster = schemas.Cluster{Name: "shop", UID: "9d1c2d7a-8a7f-4d51-8f26-3b1a6f0f3f10"}
	noon        = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func TestEventTime(t *testing.T) {
	t.Parallel()
	full := func(change func(*corev1.Event)) *corev1.Event {
		ev := &corev1.Event{
			ObjectMeta:    metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at(1))},
			EventTime:     metav1.NewMicroTime(at(2)),
			LastTimestamp: metav1.NewTime(at(3)),
			Series:        &corev1.EventSeries{Count: 2, LastObservedTime: metav1.NewMicroTime(at(4))},
		}
		change(ev)
		return ev
	}
	for name, c := range map[string]struct {
		ev   *corev1.Event
		want time.Time
	}{
		"series":             {full(func(*corev1.Event) {}), at(4)},
		"series with null":   {full(func(ev *corev1.Event) { ev.Series.LastObservedTime = metav1.MicroTime{} }), at(3)},
		"lastTimestamp":      {full(func(ev *corev1.Event) { ev.Series = nil }), at(3)},
		"eventTime":          {full(func(ev *corev1.Event) { ev.Series, ev.LastTimestamp = nil, metav1.Time{} }), at(2)},
		"only created":       {&corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at(1))}}, at(1)},
		"none at all":        {&corev1.Event{}, time.Time{}},
		"another time zone":  {&corev1.Event{LastTimestamp: metav1.NewTime(at(5).In(time.FixedZone("x", 3600)))}, at(5)},
		"series not started": {full(func(ev *corev1.Event) { ev.Series = &corev1.EventSeries{} }), at(3)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := EventTime(c.ev)
			require.True(t, c.want.Equal(got), "want %s, got %s", c.want, got)
			require.Equal(t, time.UTC, got.Location())
		})
	}
}

func TestFromJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		json    string
		arrived time.Time
		check   func(t *testing.T, o *schemas.Observation)
		wantErr string
	}{
		"a scheduler's event with null timestamps, a series and an empty source": {
			json: `{"kind":"Event","apiVersion":"v1","metadata":{"name":"a.1","namespace":"default","uid":"u","resourceVersion":"7","creationTimestamp":"2026-11-20T11:00:00Z","managedFields":[{"manager":"m"}]},
				"involvedObject":{"kind":"Pod","namespace":"default","name":"a","uid":"p","apiVersion":"v1","resourceVersion":"5","fieldPath":"spec.containers{x}"},
				"source":{},"firstTimestamp":null,"lastTimestamp":null,"eventTime":"2026-11-20T11:00:00.500000Z","series":{"count":3,"lastObservedTime":"2026-11-20T12:00:00.250000Z"},"type":"Warning"}`,
			check: func(t *testing.T, o *schemas.Observation) {
				require.Equal(t, testCluster.UID+"/0/u/7", o.ID)
				require.Equal(t, schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "a", UID: "p", ResourceVersion: "5", FieldPath: "spec.containers{x}"}, o.Subject)
				require.Equal(t, noon.Add(250*time.Millisecond), o.Time)
				require.Equal(t, o.Time, o.ObservedAt, "nobody noted when it arrived")
				require.NotContains(t, string(o.Payload), "managedFields")
				require.Contains(t, string(o.Payload), `"firstTimestamp":null`)
			},
		},
		"a cluster-scoped object, related, an unknown field": {
			json: `{"metadata":{"name":"n.1","namespace":"default","uid":"u","resourceVersion":"7","creationTimestamp":"2026-11-20T11:00:00Z","new":{"x":1.50}},
				"involvedObject":{"kind":"Node","name":"n","uid":"n","apiVersion":"v1"},"related":{"kind":"Pod","name":"r"},"novel":"kept","message":"<a> & b"}`,
			arrived: noon,
			check: func(t *testing.T, o *schemas.Observation) {
				require.Equal(t, "/Node//n", o.Subject.Key())
				require.Equal(t, noon, o.ObservedAt)
				for _, kept := range []string{`"novel":"kept"`, `"new":{"x":1.50}`, `"message":"<a> & b"`, `"apiVersion":"v1"`, `"kind":"Event"`} {
					require.Contains(t, string(o.Payload), kept)
				}
			},
		},
		"a custom kind": {
			json: `{"kind":"Event","apiVersion":"v1","metadata":{"uid":"u","resourceVersion":"7","creationTimestamp":"2026-11-20T11:00:00Z"},
				"involvedObject":{"kind":"Flink","namespace":"a","name":"b","apiVersion":"flink.apache.org/v1beta1"}}`,
			check: func(t *testing.T, o *schemas.Observation) {
				require.Equal(t, "flink.apache.org/Flink/a/b", o.Subject.Key())
				require.Nil(t, o.Occurrences)
			},
		},
		"no involved object": {
			json: `{"kind":"Event","metadata":{"uid":"u","resourceVersion":"7","creationTimestamp":"2026-11-20T11:00:00Z"}}`,
			check: func(t *testing.T, o *schemas.Observation) {
				require.Equal(t, "///", o.Subject.Key())
			},
		},
		"a time in the future": {
			json:    `{"metadata":{"uid":"u","resourceVersion":"7"},"lastTimestamp":"2027-01-01T00:00:00Z"}`,
			arrived: noon,
			check: func(t *testing.T, o *schemas.Observation) {
				require.True(t, o.TimeAdjusted)
				require.Equal(t, noon, o.Time)
			},
		},
		"no time":              {json: `{"metadata":{"uid":"u","resourceVersion":"7"}}`, wantErr: "has no time"},
		"no uid":               {json: `{"metadata":{"resourceVersion":"7"}}`, wantErr: "metadata.uid"},
		"no resourceVersion":   {json: `{"metadata":{"uid":"u"}}`, wantErr: "metadata.resourceVersion"},
		"a uid with a slash":   {json: `{"metadata":{"uid":"a/b","resourceVersion":"7"}}`, wantErr: "metadata.uid"},
		"a very long uid":      {json: `{"metadata":{"uid":"` + strings.Repeat("u", 600) + `","resourceVersion":"7","creationTimestamp":"2026-11-20T11:00:00Z"}}`, wantErr: "at most 512"},
		"a wrong timestamp":    {json: `{"metadata":{"uid":"u","resourceVersion":"7"},"lastTimestamp":"yesterday"}`, wantErr: "decoding event"},
		"a count that is text": {json: `{"metadata":{"uid":"u","resourceVersion":"7"},"count":"3"}`, wantErr: "decoding event"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := FromJSON([]byte(c.json), testCluster, 0, c.arrived)
			if c.wantErr != "" {
				require.ErrorContains(t, err, c.wantErr)
				return
			}
			require.NoError(t, err)
			require.NoError(t, o.Validate())
			require.Equal(t, schemas.TypeEvent, o.Type)
			require.Equal(t, schemas.SourceEvents, o.Source)
			c.check(t, o)
		})
	}
}

// TestLiveAndRecordedEventsGiveTheSameObservation converts each Event of the shipped recording both ways.
func TestLiveAndRecordedEventsGiveTheSameObservation(t *testing.T) {
	t.Parallel()
	n := 0
	err := scanFile(shop, func(e entry) {
		found, _, err := revisions(e.raw)
		require.NoError(t, err)
		for _, r := range found {
			recorded, err := FromJSON(r.raw, testCluster, 3, noon)
			require.NoError(t, err)
			ev := new(corev1.Event)
			require.NoError(t, json.Unmarshal(r.raw, ev))
			live, err := FromEvent(ev, testCluster, 3, noon)
			require.NoError(t, err)
			require.JSONEq(t, string(recorded.Payload), string(live.Payload))
			recorded.Payload, live.Payload = nil, nil
			require.Equal(t, recorded, live)
			n++
		}
	})
	require.NoError(t, err)
	require.Equal(t, 591, n)
}

const shop = "../testdata/recordings/kwok-shop.ndjson"

func scanFile(path string, each func(entry)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return scan(f, func(e entry) bool { each(e); return true })
}

func TestAnEventThatIsTooLargeIsShortened(t *testing.T) {
	t.Parallel()
	nasty := strings.Repeat("\x01", 1<<19) // six bytes each in JSON
	for name, ev := range map[string]corev1.Event{
		"message":     {Message: strings.Repeat("m", 4<<20)},
		"annotations": {Message: "kept", ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": nasty}}},
		"every field": {
			Message: nasty, Reason: nasty, Type: nasty, Action: nasty, ReportingController: nasty, ReportingInstance: nasty,
			Source:         corev1.EventSource{Component: nasty, Host: nasty},
			InvolvedObject: corev1.ObjectReference{Kind: nasty, Name: nasty, Namespace: nasty, FieldPath: nasty, APIVersion: nasty},
			Related:        &corev1.ObjectReference{Name: nasty},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev.UID, ev.ResourceVersion, ev.CreationTimestamp, ev.Count = "u", "7", metav1.NewTime(noon), 4
			o, err := FromEvent(&ev, testCluster, 0, noon)
			require.NoError(t, err)
			id := o.ID
			r, shrunk, err := eventRecord("t", o)
			require.NoError(t, err)
			require.True(t, shrunk)
			require.Less(t, recordSize(r), 1<<20)
			back, err := schemas.DecodeObservation(r.Value)
			require.NoError(t, err)
			require.Equal(t, id, back.ID)
			small, err := decodeEvent(back.Payload)
			require.NoError(t, err)
			require.Contains(t, small.Message, "[shortened by kubescribe: the event had ")
			require.EqualValues(t, 4, small.Count)
		})
	}
}

func TestAnEventThatFitsIsLeftAlone(t *testing.T) {
	t.Parallel()
	ev := corev1.Event{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: "7", CreationTimestamp: metav1.NewTime(noon)}, Message: strings.Repeat("ü", 1<<20)}
	o, err := FromEvent(&ev, testCluster, 0, noon)
	require.NoError(t, err)
	r, shrunk, err := eventRecord("t", o)
	require.NoError(t, err)
	require.False(t, shrunk)
	require.Greater(t, recordSize(r), 2<<20)
}

func TestClipKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	require.Equal(t, "aü", clip("aüü", 4))
	require.Equal(t, "aü", clip("aü", 4))
	require.Empty(t, clip("日本", 2))
}

func FuzzFromJSON(f *testing.F) {
	n := 0
	if err := scanFile(shop, func(e entry) {
		if n++; n%100 == 0 {
			found, _, _ := revisions(e.raw)
			f.Add([]byte(found[0].raw))
		}
	}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"metadata":{"uid":"u","resourceVersion":"1","creationTimestamp":null},"eventTime":"2026-01-01T00:00:00.000000Z","series":null}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"metadata":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := FromJSON(raw, testCluster, 0, time.Time{})
		if err != nil {
			return
		}
		if err := o.Validate(); err != nil {
			t.Fatalf("an observation that is not valid: %v", err)
		}
		r, _, err := eventRecord("t", o)
		if err != nil {
			t.Fatal(err)
		}
		if recordSize(r) > maxRecordBytes {
			t.Fatalf("a record of %d bytes", recordSize(r))
		}
		if _, err := schemas.DecodeObservation(r.Value); err != nil {
			t.Fatal(err)
		}
	})
}
