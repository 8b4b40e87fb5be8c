package producer

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

// recorded is a line of a recording.
func recorded(kind, uid string, rv int, seconds int) string {
	return fmt.Sprintf(`{"type":%q,"object":{"kind":"Event","apiVersion":"v1","metadata":{"name":"e","namespace":"default","uid":%q,"resourceVersion":"%d","creationTimestamp":"2026-11-20T12:00:00Z"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p","apiVersion":"v1"},"lastTimestamp":%q}}`,
		kind, uid, rv, at(seconds).Format(time.RFC3339)) + "\n"
}

func recordedN(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(recorded("ADDED", fmt.Sprintf("u%d", i), i+1, i))
	}
	return b.String()
}

func write(t testing.TB, name, content string) Recording {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return File(path)
}

func (r *rig) player(in []Recording, o ReplayOptions) *player {
	p, err := newPlayer(r.cfg, r.cluster, r.faulty(), r.deps(), in, o)
	require.NoError(r.t, err)
	p.pace = hasty
	return p
}

func (r *rig) replay(o ReplayOptions, in ...Recording) ReplaySummary {
	r.t.Helper()
	sum, err := r.player(in, o).run(r.t.Context())
	require.NoError(r.t, err)
	return sum
}

func TestReplayOfTheShippedRecording(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakeKafka(t), nil)
	sum, err := Replay(t.Context(), r.cfg, r.cluster, r.kafka, r.deps(), []Recording{File(shop)}, ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, ReplaySummary{Observed: 591, Emitted: 591, Lines: 591}, sum)
	first := r.observations()
	require.Len(t, first, 591)
	for _, o := range first {
		require.Equal(t, schemas.RecordingClusterUID(r.cluster), o.Cluster.UID)
		require.Equal(t, o.Time, o.ObservedAt)
	}
	require.EqualValues(t, 591, r.checkpoint(schemas.RecordingKey(sha(t, shop))).Recording.Lines)

	sum = r.replay(ReplayOptions{}, File(shop))
	require.Equal(t, ReplaySummary{Observed: 591, Lines: 591}, sum, "a second run emits nothing")
	require.Len(t, r.observations(), 591)

	// The same recording gives the same bytes whenever it is played.
	again := newRig(t, fakeKafka(t), nil)
	again.replay(ReplayOptions{ClusterUID: schemas.RecordingClusterUID(r.cluster)}, File(shop))
	for i, o := range again.observations() {
		require.Equal(t, first[i].Time, o.Time)
		require.Equal(t, first[i].ID, o.ID)
		require.Equal(t, string(first[i].Payload), string(o.Payload))
	}
}

func sha(t testing.TB, path string) string {
	p := &player{opts: ReplayOptions{SkipBad: true}}
	sum, err := p.look(t.Context(), File(path))
	require.NoError(t, err)
	return sum
}

func TestReplayCountsDistinctRevisions(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakeKafka(t), nil)
	in := recorded("ADDED", "a", 1, 1) + recorded("MODIFIED", "a", 2, 2) + recorded("MODIFIED", "a", 2, 2) + recorded("DELETED", "a", 3, 2) +
		`{"type":"BOOKMARK","object":{"kind":"Event","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}` + "\n" +
		`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","code":410}}` + "\n\n" +
		`{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"uid":"p","resourceVersion":"4"}}}` + "\n" +
		`{"kind":"Event","apiVersion":"v1","metadata":{"uid":"b","resourceVersion":"5","creationTimestamp":"2026-11-20T12:00:00Z"}}` + "\n" +
		`{"kind":"Event","apiVersion":"events.k8s.io/v1","metadata":{"uid":"c","resourceVersion":"6","creationTimestamp":"2026-11-20T12:00:00Z"},"regarding":{"kind":"Node","name":"n"},"note":"hello","deprecatedCount":3,"deprecatedLastTimestamp":"2026-11-20T12:00:09Z"}` + "\n"
	other := `{"apiVersion":"v1","kind":"List","items":[{"kind":"Event","apiVersion":"v1","metadata":{"uid":"b","resourceVersion":"5","creationTimestamp":"2026-11-20T12:00:00Z"}},
		{"kind":"Event","apiVersion":"v1","metadata":{"uid":"d","resourceVersion":"7","creationTimestamp":"2026-11-20T12:00:00Z"}}]}`
	empty := `{"apiVersion":"v1","items":null,"kind":"List","metadata":{}}`
	sum := r.replay(ReplayOptions{}, write(t, "a", in), write(t, "b", other), write(t, "c", empty))
	require.Equal(t, ReplaySummary{Observed: 5, Emitted: 5, Ignored: 1, Lines: 11}, sum)
	got, _ := r.found()
	require.Equal(t, []string{"a/1", "a/2", "b/5", "c/6", "d/7"}, got)
	for _, o := range r.observations() {
		if uid, _ := idParts(o.ID); uid == "c" {
			require.Equal(t, "Node", o.Subject.Kind)
			require.Equal(t, at(9), o.Time)
			require.Contains(t, string(o.Payload), `"message":"hello"`)
			require.Contains(t, string(o.Payload), `"count":3`)
			require.Contains(t, string(o.Payload), `"apiVersion":"v1"`)
		}
	}
}

func TestReplayKeepsArrivalTimes(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakeKafka(t), nil)
	line := strings.Replace(recorded("ADDED", "a", 1, 0), `{"type"`, `{"observedAt":"2026-11-20T12:00:07.5Z","type"`, 1)
	r.replay(ReplayOptions{}, write(t, "a", line))
	o := r.observations()[0]
	require.Equal(t, at(7).Add(500*time.Millisecond), o.ObservedAt)
	require.Equal(t, at(0), o.Time)
}

func TestReplayOfABrokenLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakeKafka(t), nil)
	in := write(t, "broken.ndjson", recorded("ADDED", "a", 1, 1)+`{"type":"ADDED","object":{"metadata":`+"\n"+recorded("ADDED", "b", 2, 1)+`{"type":"SIDEWAYS","object":{}}`+"\n")
	_, err := r.player([]Recording{in}, ReplayOptions{}).run(t.Context())
	var bad *BadLineError
	require.ErrorAs(t, err, &bad)
	require.EqualValues(t, 2, bad.Line)
	require.EqualError(t, err, in.Name+":2: decoding JSON: unexpected end of JSON input")
	require.Empty(t, r.observations(), "nothing of a broken file is written")

	sum := r.replay(ReplayOptions{SkipBad: true}, in)
	require.Equal(t, ReplaySummary{Observed: 2, Emitted: 2, Bad: 2, Lines: 4}, sum)
	got, _ := r.found()
	require.Equal(t, []string{"a/1", "b/2"}, got)

	_, err = r.player([]Recording{File(in.Name + ".not-there")}, ReplayOptions{}).run(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotErrorAs(t, err, &bad)
}

func TestReplayReadsStdinAndGzip(t *testing.T) {
	t.Parallel()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err := io.WriteString(w, recordedN(5))
	require.NoError(t, err)
	require.NoError(t, w.Close())

	r := newRig(t, fakeKafka(t), nil)
	sum := r.replay(ReplayOptions{}, write(t, "no-suffix", z.String()))
	require.EqualValues(t, 5, sum.Emitted)

	r = newRig(t, fakeKafka(t), nil)
	for range 2 {
		sum = r.replay(ReplayOptions{}, Stdin(bytes.NewReader(z.Bytes())))
		require.EqualValues(t, 5, sum.Emitted, "what comes through a pipe can't be recognised")
	}
	_, err = r.player([]Recording{Stdin(strings.NewReader("{\n"))}, ReplayOptions{}).run(t.Context())
	require.EqualError(t, err, "stdin:1: decoding JSON: unexpected end of JSON input")
}

// TestReplayWritesWhatAPipeGives: lines of a pipe that stays open are in Kafka before its end.
func TestReplayWritesWhatAPipeGives(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakeKafka(t), nil)
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := r.player([]Recording{Stdin(out)}, ReplayOptions{}).run(ctx)
		result <- err
	}()
	for i := range 3 {
		_, err := io.WriteString(in, recorded("ADDED", fmt.Sprint("u", i), i+1, 0))
		require.NoError(t, err)
		eventually(t, "the line is in Kafka", r.has(i+1))
	}
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	require.NoError(t, in.Close())
}

// TestReplayAbortedAtEachTransaction also ends the whole process after some transactions: the second run finds the rest.
func TestReplayAbortedAtEachTransaction(t *testing.T) {
	t.Parallel()
	list := struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}{Kind: "List"}
	for i := range 10 {
		list.Items = append(list.Items, json.RawMessage(fmt.Sprintf(`{"kind":"Event","apiVersion":"v1","metadata":{"uid":"l%d","resourceVersion":"%d","creationTimestamp":"2026-11-20T12:00:00Z"}}`, i, i+100)))
	}
	oneLine, err := json.Marshal(list)
	require.NoError(t, err)
	// The list in mid-file is one entry with many revisions, more than a transaction takes.
	in := []Recording{write(t, "a", recordedN(7)+string(oneLine)+"\n"+recorded("DELETED", "u1", 99, 0)+recordedN(3)), write(t, "b", recordedN(9))}
	for _, after := range []bool{false, true} {
		for at := 0; ; at++ {
			r := newRig(t, fakeKafka(t), nil)
			r.cfg.Batch.MaxRecords = 3
			r.cfg.Batch.MaxAge = time.Minute
			r.faults.arm(at, after)
			sum := r.replay(ReplayOptions{}, in...)
			require.EqualValues(t, 19, sum.Observed)
			got, _ := r.found()
			require.Len(t, got, 19, "at %d, after %t", at, after)

			// The process dies instead: a fresh one begins with what Kafka has.
			r2 := newRig(t, fakeKafka(t), nil)
			r2.cfg.Batch = r.cfg.Batch
			r2.faults.arm(at, after)
			p := r2.player(in, ReplayOptions{})
			p.pace = pacing{first: time.Hour, longest: time.Hour, refused: time.Hour}
			ctx, cancel := context.WithCancel(t.Context())
			p.ready.to = onReason{func(reason string) {
				if strings.Contains(reason, "killed") {
					cancel()
				}
			}}
			_, _ = p.run(ctx)
			cancel()
			r2.faults.arm(-1, false)
			sum = r2.replay(ReplayOptions{}, in...)
			require.EqualValues(t, 19, sum.Observed)
			got, _ = r2.found()
			require.Len(t, got, 19, "killed at %d, after %t", at, after)
			if !r.faults.wasHit() {
				require.Greater(t, at, 6)
				break
			}
		}
	}
}

type onReason struct{ do func(string) }

func (h onReason) Set(_, reason string) { h.do(reason) }

func TestReplayAtThePaceOfTheRecording(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakeKafka(t), nil)
	in := write(t, "a", recorded("ADDED", "a", 1, 0)+recorded("ADDED", "b", 2, 0)+recorded("ADDED", "c", 3, 1))
	began := time.Now()
	done := make(chan ReplaySummary, 1)
	go func() {
		sum, _ := r.player([]Recording{in}, ReplayOptions{Pace: PaceReal}).run(t.Context())
		done <- sum
	}()
	eventually(t, "the first two", r.has(2))
	require.EqualValues(t, 3, (<-done).Emitted)
	require.GreaterOrEqual(t, time.Since(began), time.Second)
}

func TestReplayRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakeKafka(t), nil)
	_, err := Replay(t.Context(), r.cfg, "Shop!", r.kafka, r.deps(), nil, ReplayOptions{Pace: "slow", ClusterUID: "a/b"})
	for _, want := range []string{`for example "shop"`, `pace: "slow"`, `cluster uid "a/b"`} {
		require.ErrorContains(t, err, want)
	}
	in := write(t, "a", recordedN(2))
	r.replay(ReplayOptions{ClusterUID: "one"}, in)
	_, err = r.player([]Recording{in}, ReplayOptions{ClusterUID: "two"}).run(t.Context())
	var mismatch *ClusterMismatchError
	require.ErrorAs(t, err, &mismatch)
}

func TestReplayReportsProgress(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakeKafka(t), nil)
	r.cfg.Batch.MaxRecords = 2
	var seen []ReplaySummary
	sum := r.replay(ReplayOptions{Progress: func(s ReplaySummary) { seen = append(seen, s) }}, write(t, "a", recordedN(9)))
	require.NotEmpty(t, seen)
	require.Equal(t, sum, seen[len(seen)-1])
}
