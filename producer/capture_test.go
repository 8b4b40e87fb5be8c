package producer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/producer/capture"
)

// TestCaptureReplays: what a producer says of a cluster, a replay says of the cluster's capture, in the same order; an expired watch
// in between is bridged by a list.
func TestCaptureReplays(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	s.puts("before-%d", 3)
	s.change(podRevisions(t, "crashloop")[:3]...)

	name := filepath.Join(t.TempDir(), "c.ndjson.zst")
	file, err := os.Create(name)
	require.NoError(t, err)
	out, err := capture.NewRecorder(file, name, time.Now)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	type result struct {
		sum capture.Summary
		err error
	}
	done := make(chan result, 1)
	go func() {
		sum, err := capture.Run(ctx, s.config(), out, capture.Options{Annotations: capture.DefaultAnnotations(), Log: r.deps().Log, Retry: time.Millisecond})
		done <- result{sum, err}
	}()
	stop := r.start()
	lines := func(resource string, n int64) func() bool {
		return func() bool { found, _, _ := out.Counts(); return found[resource] >= n }
	}
	eventually(t, "the lists", func() bool { return lines("events", 3)() && lines("pods", 1)() && len(r.transitions()) == 1 })
	s.puts("before-%d", 2)
	s.change(podRevisions(t, "crashloop")[3:6]...)
	eventually(t, "the watches", func() bool { return lines("events", 5)() && lines("pods", 4)() && len(r.transitions()) == 3 })
	s.forget()
	eventually(t, "both lists after the expiry", func() bool {
		n := 0
		for _, q := range s.asked() {
			if strings.HasPrefix(q, "/api/v1/pods?limit=250") || strings.HasPrefix(q, "/api/v1/pods?limit=500") {
				n++
			}
		}
		return n == 4
	})
	s.change(podRevisions(t, "crashloop")[6:]...)
	eventually(t, "what came after the expiry", func() bool { return lines("pods", 10)() && len(r.transitions()) == 6 })
	require.NoError(t, stop())
	cancel(errors.New("received terminated")) // as main does at a signal
	got := <-done
	require.NoError(t, got.err)
	require.NoError(t, out.Close())
	require.NoError(t, file.Close())
	require.EqualValues(t, 1, got.sum.Expired)
	require.Contains(t, got.sum.Skipped, "deployments", "the double has none")
	require.NotEmpty(t, got.sum.ClusterUID)

	replayed := newRig(t, fakeKafka(t), nil)
	replayed.cfg.Containers = r.cfg.Containers
	sum := replayed.replay(ReplayOptions{ClusterUID: got.sum.ClusterUID}, File(name))
	require.Zero(t, sum.Bad)
	live, played := map[string]bool{}, map[string]bool{}
	for _, o := range r.observations() {
		if o.Type != "gap" {
			live[o.ID] = true
		}
	}
	for _, o := range replayed.observations() {
		played[o.ID] = true
	}
	require.Equal(t, live, played)
	require.Equal(t, r.transitions(), replayed.transitions())
}
