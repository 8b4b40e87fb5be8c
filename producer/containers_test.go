package producer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// newContainersRig is a rig whose source containers is on, and finds nothing too old: the recordings have fixed times.
func newContainersRig(t *testing.T) (*rig, *podServer) {
	s := newPodServer(t)
	r := newRig(t, fakeKafka(t), s.config())
	r.cfg.Containers.Enabled = true
	r.cfg.Containers.IgnoreOlderThan = 0
	return r, s
}

var crashLoop = []string{
	"main terminated Error", "main waiting CrashLoopBackOff", "main terminated Error", "main waiting CrashLoopBackOff",
	"main terminated Error", "main waiting CrashLoopBackOff",
}

// seen waits until the source's committed checkpoint has reached the server.
func (r *rig) seen(s *podServer) {
	r.t.Helper()
	eventually(r.t, "the checkpoint of containers", func() bool {
		cp := r.checkpoint(schemas.CheckpointKey(schemas.SourceContainers))
		return cp != nil && cp.List == nil && cp.RV != "" && mustRV(r.t, cp.RV) >= s.podRevision()
	})
}

func mustRV(t testing.TB, s string) uint64 {
	rv, err := parseRV(s)
	require.NoError(t, err)
	return rv
}

// remembered are the pods whose state is in the table.
func (r *rig) remembered() map[string]*schemas.ObjectState {
	r.t.Helper()
	states := map[string]*schemas.ObjectState{}
	topic := schemas.Topics{Prefix: r.kafka.TopicPrefix}.Checkpoints(r.cluster)
	err := stream.ReadTable(r.t.Context(), r.kafka, stream.Deps{}, topic, 0, func(rec *kgo.Record) (err error) {
		uid, ok := strings.CutPrefix(string(rec.Key), "containers/")
		if delete(states, uid); ok && rec.Value != nil {
			states[uid], err = schemas.DecodeObjectState(rec.Value)
		}
		return err
	})
	require.NoError(r.t, err)
	return states
}

func TestContainersAreObservedThroughRestarts(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	r.cfg.Batch.MaxAge = time.Millisecond
	said := []int{0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6}
	for i, c := range podRevisions(t, "crashloop") {
		stop := r.start()
		s.change(c)
		eventually(t, "what this revision shows", func() bool { return len(r.transitions()) >= said[i] })
		require.NoError(t, stop())
	}
	require.Equal(t, crashLoop, r.transitions())
	_, gaps := r.found()
	require.Empty(t, gaps)
	require.Len(t, r.remembered(), 1)

	stop := r.start()
	s.change(podChange{kind: "DELETED", pod: podRevisions(t, "crashloop")[0].pod})
	eventually(t, "the tombstone", func() bool { return len(r.remembered()) == 0 })
	require.NoError(t, stop())
}

func TestContainersAbortAtEachTransaction(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for at := range 8 {
			t.Run(fmt.Sprintf("%d %t", at, after), func(t *testing.T) {
				t.Parallel()
				r, s := newContainersRig(t)
				r.cfg.Batch.MaxRecords = 1
				r.faults.arm(at, after)
				revisions := podRevisions(t, "crashloop")
				s.change(revisions[0])
				stop := r.start()
				r.seen(s)
				s.change(revisions[1:]...)
				eventually(t, "all transitions", func() bool { return len(r.transitions()) >= len(crashLoop) })
				require.NoError(t, stop())
				require.Equal(t, crashLoop, r.transitions())
			})
		}
	}
}

// TestContainersRelist: the watch can't be resumed; what the pods still show is said, what was said is not said again, pods that are
// gone are forgotten, and one gap says that something may be missing.
func TestContainersRelist(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	crash, pull := podRevisions(t, "crashloop"), podRevisions(t, "imagepull")
	for i := range pull {
		pull[i].pod.Name, pull[i].pod.UID = "pull", "pull"
	}
	s.change(crash[:3]...)
	s.change(pull[:3]...)
	stop := r.start()
	eventually(t, "what was there at the start", func() bool { return len(r.transitions()) == 2 })
	r.seen(s)
	require.Len(t, r.remembered(), 2)
	require.NoError(t, stop())

	s.change(crash[3:7]...) // backs off, runs again, ends again, backs off again
	s.change(podChange{kind: "DELETED", pod: pull[0].pod})
	s.forget()
	stop = r.start()
	r.seen(s)
	require.ElementsMatch(t, []string{
		"main terminated Error", "main waiting ImagePullBackOff", "main terminated Error", "main waiting CrashLoopBackOff",
	}, r.transitions())
	_, gaps := r.found()
	require.Len(t, gaps, 1)
	require.Equal(t, schemas.SourceContainers, gaps[0].Source)
	require.Equal(t, schemas.GapExpired, gaps[0].Cause)
	require.Equal(t, schemas.GapPossible, gaps[0].Certainty)
	require.Len(t, r.remembered(), 1)

	for range 3 { // while it runs, too
		s.forget()
		r.seen(s)
	}
	require.NoError(t, stop())
	require.Len(t, r.transitions(), 4)
}

// shifted moves the ends of a recording so that the first is a moment ago, and the others are still to come.
func shifted(revisions []podChange) []podChange {
	var by time.Duration
	for i := range revisions {
		c := &revisions[i].pod.Status.ContainerStatuses[0]
		for _, end := range []*corev1.ContainerStateTerminated{c.LastTerminationState.Terminated, c.State.Terminated} {
			if end == nil {
				continue
			}
			if by == 0 {
				by = time.Since(end.FinishedAt.Time) - 2*time.Second
			}
			end.FinishedAt = metav1.NewTime(end.FinishedAt.Add(by))
		}
	}
	return revisions
}

func TestContainersRegression(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	crash := shifted(podRevisions(t, "crashloop"))
	s.change(crash[:4]...)
	backup := s.podRevision()
	stop := r.start()
	eventually(t, "the first round", func() bool { return len(r.transitions()) == 2 })
	s.change(crash[4:7]...)
	eventually(t, "the second round", func() bool { return len(r.transitions()) == 4 })
	r.seen(s)
	require.NoError(t, stop())
	s.restorePods(backup)
	stop = r.start()
	eventually(t, "the new epoch", func() bool {
		cp := r.checkpoint("containers")
		return cp.Epoch == 1 && cp.List == nil
	})
	for i := range crash[7:9] { // in the restored cluster, the second round never was
		crash[7+i].pod.Status.ContainerStatuses[0].LastTerminationState = corev1.ContainerState{}
	}
	s.change(crash[7:]...)
	r.seen(s)
	require.NoError(t, stop())
	require.Equal(t, crashLoop, r.transitions(), "what came back with the backup is not said again")
	_, gaps := r.found()
	require.Len(t, gaps, 1)
	require.Equal(t, schemas.GapRegression, gaps[0].Cause)
}

// TestContainersGraceOutlivesARestart: what waits for its grace period is in the table, and is said when it ends, by whichever
// producer there is then.
func TestContainersGraceOutlivesARestart(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	r.cfg.Containers.WaitingGrace = 3 * time.Second
	waiting := func(name, uid string) podChange {
		c := podRevisions(t, "config-error")[1]
		c.pod.Name, c.pod.UID, c.pod.CreationTimestamp = name, typesUID("00000000-0000-4000-8000-00000000000"+uid), metav1.Now()
		return c
	}
	s.change(waiting("stays", "1"), waiting("mended", "2"))
	stop := r.start()
	eventually(t, "both pending", func() bool {
		n := 0
		for _, state := range r.remembered() {
			n += len(state.Pending)
		}
		return n == 2
	})
	require.NoError(t, stop())
	require.Empty(t, r.transitions())

	mended := waiting("mended", "2")
	mended.pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	s.change(mended)
	stop = r.start()
	eventually(t, "the end of the grace", func() bool { return len(r.transitions()) > 0 })
	r.seen(s)
	require.NoError(t, stop())
	require.Equal(t, []string{"main waiting CreateContainerConfigError"}, r.transitions())
	states := r.remembered()
	require.Len(t, states, 1)
	for _, state := range states {
		require.Empty(t, state.Pending)
		require.Len(t, state.Emitted, 1)
	}
}

func TestContainersFromNow(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	r.cfg.From = FromNow
	crash := podRevisions(t, "crashloop")
	s.change(crash[:4]...) // ended, and backs off
	stop := r.start()
	r.seen(s)
	require.Empty(t, r.transitions(), "what stands is nothing new")
	for i := range crash { // ends from now on
		if end := crash[i].pod.Status.ContainerStatuses[0].State.Terminated; end != nil {
			end.FinishedAt = metav1.NewTime(time.Now().Add(time.Minute))
		}
	}
	s.change(crash[5])
	eventually(t, "what comes now", func() bool { return len(r.transitions()) > 0 })
	require.NoError(t, stop())
	require.Equal(t, []string{"main terminated Error"}, r.transitions())
}

func TestContainersIgnoreWhatIsOld(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	r.cfg.Containers.IgnoreOlderThan = time.Hour
	ended := func(name string, ago time.Duration) podChange {
		c := podRevisions(t, "error")[2]
		c.pod.Name, c.pod.UID = name, typesUID("uid-"+name)
		c.pod.Status.ContainerStatuses[0].State.Terminated.FinishedAt = metav1.NewTime(time.Now().Add(-ago))
		return c
	}
	s.change(ended("old", 2*time.Hour), ended("recent", time.Minute))
	stop := r.start()
	r.seen(s)
	require.NoError(t, stop())
	require.Len(t, r.transitions(), 1)
	// An outage does not make old what it hid: what counts is when the source last saw the cluster.
	r.now = func() time.Time { return time.Now().Add(100 * time.Hour) }
	s.change(ended("meanwhile", -time.Hour))
	stop = r.start()
	eventually(t, "what ended in the outage", func() bool { return len(r.transitions()) == 2 })
	require.NoError(t, stop())
}

func TestContainersNeedPods(t *testing.T) {
	t.Parallel()
	r, s := newContainersRig(t)
	s.set(func() { s.denied["watch pods"] = true })
	err := r.producer().run(t.Context())
	var access *AccessError
	require.ErrorAs(t, err, &access)
	require.ErrorContains(t, err, `{apiGroups: [""], resources: ["pods"], verbs: ["watch"]}`)
}
