package producer

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

// podRecording is one of those of the table of package container.
func podRecording(name string) Recording {
	return File(filepath.Join("container", "testdata", name+".ndjson"))
}

func newPodRig(t *testing.T) *rig {
	r := newRig(t, fakeKafka(t), nil)
	r.cfg.Containers.Enabled = true
	return r
}

// transitions are those in the topic, in its order.
func (r *rig) transitions() (all []string) {
	r.t.Helper()
	for _, o := range r.observations() {
		if o.Type != schemas.TypeContainer {
			continue
		}
		c, err := schemas.DecodeContainerTransition(o.Payload)
		require.NoError(r.t, err)
		all = append(all, c.Container+" "+string(c.State)+" "+c.Reason)
	}
	return all
}

func TestReplayOfPods(t *testing.T) {
	t.Parallel()
	r := newPodRig(t)
	in := []Recording{podRecording("oomkilled"), podRecording("job-completes"), podRecording("old")}
	sum := r.replay(ReplayOptions{}, in...)
	require.Equal(t, int64(3), sum.Emitted)
	want := []string{"main terminated OOMKilled", "main waiting CrashLoopBackOff", "main terminated Error"}
	require.ElementsMatch(t, want, r.transitions(), "no end is too old for a recording")

	again := r.replay(ReplayOptions{}, in...)
	require.Zero(t, again.Emitted)
	require.Equal(t, sum.Observed, again.Observed)
	require.Len(t, r.transitions(), 3)
}

// TestReplayOfPodsAbortedAtEachTransaction: a replay that begins anew comes to the same facts, whatever it had written.
func TestReplayOfPodsAbortedAtEachTransaction(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for at := range 6 {
			r := newPodRig(t)
			r.cfg.Batch.MaxRecords = 1
			r.faults.arm(at, after)
			r.replay(ReplayOptions{}, podRecording("crashloop"))
			require.Len(t, r.transitions(), 6, "at %d, after %t", at, after)
		}
	}
}

func TestReplayWaitsForTheGrace(t *testing.T) {
	t.Parallel()
	r := newPodRig(t)
	r.cfg.Containers.WaitingGrace = 2 * time.Minute
	sum := r.replay(ReplayOptions{}, podRecording("config-error"), podRecording("config-error-mended"))
	require.Equal(t, int64(1), sum.Emitted)
}

func TestReplayReadsWhatIsCompressed(t *testing.T) {
	t.Parallel()
	plain, err := os.ReadFile("container/testdata/crashloop.ndjson")
	require.NoError(t, err)
	var zipped, packed bytes.Buffer
	g := gzip.NewWriter(&zipped)
	_, _ = g.Write(plain)
	require.NoError(t, g.Close())
	z, err := zstd.NewWriter(&packed)
	require.NoError(t, err)
	for _, part := range [][]byte{plain[:1000], plain[1000:]} { // two frames
		z.Reset(&packed)
		_, _ = z.Write(part)
		require.NoError(t, z.Close())
	}
	for name, b := range map[string][]byte{"gzip": zipped.Bytes(), "zstd": packed.Bytes()} {
		r := newPodRig(t)
		r.replay(ReplayOptions{}, write(t, name, string(b)))
		require.Len(t, r.transitions(), 6, name)
	}

	r := newPodRig(t)
	cut := write(t, "cut", packed.String()[:packed.Len()-20])
	_, err = Replay(t.Context(), r.cfg, r.cluster, r.kafka, r.deps(), []Recording{cut}, ReplayOptions{})
	var bad *BadLineError
	require.ErrorAs(t, err, &bad)
	require.ErrorContains(t, err, "damaged")
	require.Empty(t, r.transitions())
	_, err = Replay(t.Context(), r.cfg, r.cluster, r.kafka, r.deps(), []Recording{cut}, ReplayOptions{SkipBad: true})
	require.NoError(t, err, "what was there before the damage is played")
}

// TestReplayOfTheShippedCapture: a cluster with KWOK's kubelets and with pods whose statuses were written by hand, recorded by
// `kubescribe capture` during `make e2e T=producer-containers`.
func TestReplayOfTheShippedCapture(t *testing.T) {
	t.Parallel()
	r := newPodRig(t)
	sum := r.replay(ReplayOptions{}, File("../testdata/recordings/crashing-pods.ndjson.zst"))
	require.Zero(t, sum.Bad)
	require.EqualValues(t, 83, sum.Observed)
	counts := map[string]int{}
	for _, x := range r.transitions() {
		counts[x]++
	}
	require.Equal(t, map[string]int{
		"main terminated Error": 25, "main terminated OOMKilled": 4, "main waiting CrashLoopBackOff": 12, "main waiting ErrImagePull": 1,
		"main waiting ImagePullBackOff": 2, "second terminated OOMKilled": 1, "setup terminated Error": 1, "setup waiting CrashLoopBackOff": 1,
	}, counts)
}
