package enricher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/enricher/crashlog"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// said answers every want with its container's name, and remembers what was wanted and owned.
type said struct {
	Recorded
	mu    sync.Mutex
	wants []crashlog.Want
	owns  func(namespace, pod string) bool
}

func (s *said) Logs(_ context.Context, wants []crashlog.Want) []crashlog.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wants = append(s.wants, wants...)
	out := make([]crashlog.Log, len(wants))
	for i, w := range wants {
		out[i] = crashlog.Log{Text: "log of " + w.Container, Info: schemas.ContainerLog{Instance: "current", Lines: 1}}
	}
	return out
}

func (s *said) Own(owns func(namespace, pod string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owns = owns
}

func observationOf(t *testing.T, kind schemas.Type, fieldPath string, payload any) *schemas.Observation {
	t.Helper()
	b, err := json.Marshal(payload)
	require.NoError(t, err)
	o := &schemas.Observation{
		ID: "id", Type: kind, Cluster: testCluster, Source: schemas.SourceEvents, Payload: b,
		Subject: schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web-1", UID: "uid", FieldPath: fieldPath},
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o.SetTime(at, at)
	return o
}

// Which records get a log, and whose.
func TestWhichLogIsWanted(t *testing.T) {
	event := func(reason string) any {
		return map[string]any{"kind": "Event", "reason": reason, "message": `it says "BackOff"`}
	}
	l := newLogs(&said{}, []string{"BackOff", "Unhealthy"})
	const main = "spec.containers{main}"
	seen := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	base := crashlog.Want{Namespace: "shop", Pod: "web-1", PodUID: "uid", Container: "main", Seen: seen}
	running, ended := base, base
	running.Running, ended.ContainerID = true, "containerd://1"
	for name, c := range map[string]struct {
		o    *schemas.Observation
		want *crashlog.Want
	}{
		"a container's end": {
			observationOf(t, schemas.TypeContainer, main, schemas.ContainerTransition{Container: "main", State: schemas.StateTerminated, ContainerID: "containerd://1"}),
			&ended,
		},
		"a container that waits to start again": {
			observationOf(t, schemas.TypeContainer, main, schemas.ContainerTransition{Container: "main", State: schemas.StateWaiting, ContainerID: "containerd://1"}),
			&ended,
		},
		"a container that never ran": {observationOf(t, schemas.TypeContainer, main, schemas.ContainerTransition{Container: "main", State: schemas.StateWaiting}), nil},
		"BackOff":                    {observationOf(t, schemas.TypeEvent, main, event("BackOff")), &base},
		"Unhealthy":                  {observationOf(t, schemas.TypeEvent, main, event("Unhealthy")), &running},
		"another reason":             {observationOf(t, schemas.TypeEvent, main, event("Started")), nil},
		"an event of the pod":        {observationOf(t, schemas.TypeEvent, "", event("BackOff")), nil},
		"no transition":              {observationOf(t, schemas.TypeContainer, main, map[string]any{}), nil},
		"a gap":                      {observationOf(t, schemas.TypeGap, main, map[string]any{}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, ok := l.want(c.o)
			require.Equal(t, c.want != nil, ok)
			if ok {
				require.Equal(t, *c.want, w)
			}
		})
	}
}

// The log is part of the document, and nothing of it is in one that has none.
func TestTheDocumentHasTheLog(t *testing.T) {
	d := &schemas.Document{}
	addLog(d, nil)
	require.Equal(t, &schemas.Document{}, d)
	addLog(d, &crashlog.Log{Info: schemas.ContainerLog{Missing: crashlog.Budget}})
	require.Equal(t, &schemas.Document{Kubescribe: schemas.Kubescribe{Log: &schemas.ContainerLog{Missing: "budget"}}}, d)
	d = &schemas.Document{Error: &schemas.ErrorInfo{Code: "1"}}
	addLog(d, &crashlog.Log{Text: "panic", Truncated: true, Info: schemas.ContainerLog{Lines: 1}})
	require.Equal(t, &schemas.Document{
		Error:      &schemas.ErrorInfo{Code: "1", StackTrace: "panic"},
		Kubescribe: schemas.Kubescribe{Log: &schemas.ContainerLog{Lines: 1}, Truncated: []string{"error.stack_trace"}},
	}, d)
}

// A pod is this replica's exactly while the partition of its records is.
func TestOwnership(t *testing.T) {
	s := &said{}
	var o stream.TransformOptions
	counted, fails := 0, true
	newLogs(s, nil).follow(&o, "events", func(context.Context) (int, error) {
		counted++
		if fails {
			return 0, errors.New("Kafka is away")
		}
		return 6, nil
	})
	require.ErrorContains(t, o.Assigned(t.Context(), map[string][]int32{"events": {0}}), "Kafka is away")
	fails = false
	mine := map[int32]bool{}
	check := func() {
		t.Helper()
		some := 0
		for i := range 100 {
			pod := fmt.Sprint("web-", i)
			p := stream.PartitionOf([]byte("/Pod/shop/"+pod), 6)
			require.Equal(t, mine[p], s.owns("shop", pod), "%s in %d", pod, p)
			if mine[p] {
				some++
			}
		}
		require.Equal(t, len(mine) > 0, some > 0)
	}
	require.NoError(t, o.Assigned(t.Context(), map[string][]int32{"events": {0, 3}}))
	mine[0], mine[3] = true, true
	check()
	require.NoError(t, o.Assigned(t.Context(), map[string][]int32{"events": {5}}))
	mine[5] = true
	check()
	o.Lost(map[string][]int32{"events": {0, 3}})
	delete(mine, 0)
	delete(mine, 3)
	check()
	require.Equal(t, 2, counted)
	var none *logs
	o = stream.TransformOptions{}
	none.follow(&o, "events", nil)
	require.Nil(t, o.Assigned)
}

// Through a transaction: the documents of a crash have its log, and the source knows which pods are this replica's.
func TestLogsThroughKafka(t *testing.T) {
	onBrokers(t, func(t *testing.T, k kafka) {
		s := &said{}
		end := observationOf(t, schemas.TypeContainer, "spec.containers{main}", schemas.ContainerTransition{Container: "main", State: schemas.StateTerminated})
		k.produce(t, []*kgo.Record{k.record(t, end)})
		k.running(t, Default(), s)
		var docs []*kgo.Record
		require.Eventually(t, func() bool { docs = k.read(t, k.topics.Enriched(testCluster.Name)); return len(docs) > 0 }, time.Minute, 20*time.Millisecond)
		d, err := schemas.DecodeDocument(docs[0].Value)
		require.NoError(t, err)
		require.Equal(t, "log of main", d.Error.StackTrace)
		require.Equal(t, "current", d.Kubescribe.Log.Instance)
		s.mu.Lock()
		defer s.mu.Unlock()
		require.True(t, s.owns("shop", "web-1"), "one replica has every partition")
	})
}
