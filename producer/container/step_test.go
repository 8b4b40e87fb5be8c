package container_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/producer/container"
	"kubescribe/schemas"
)

var cluster = schemas.Cluster{Name: "shop", UID: "4c1b6a52-6f0f-4c57-9a37-6a1d2f0c9b3e"}

// floor is a day before the recordings begin.
var floor = time.Date(2026, 11, 19, 10, 0, 0, 0, time.UTC)

func options() container.Options {
	return container.Options{
		OrdinaryWaits: []string{"ContainerCreating", "PodInitializing"}, BatchKinds: []string{"Job", "PodGroup"},
		SkipDeleted: true, SkipEphemeral: true,
	}
}

// revision is a line of a recording.
type revision struct {
	Type       string     `json:"type"`
	ObservedAt time.Time  `json:"observedAt"`
	Object     corev1.Pod `json:"object"`
}

func recording(t testing.TB, name string) []revision {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".ndjson"))
	require.NoError(t, err)
	var all []revision
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var r revision
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		all = append(all, r)
	}
	require.NotEmpty(t, all)
	return all
}

// told plays revisions of one pod. Between two of them, the state goes through its encoding, as it does over a restart.
func told(t testing.TB, o container.Options, revisions []revision) []*schemas.Observation {
	t.Helper()
	var state *schemas.ObjectState
	var all []*schemas.Observation
	keep := func(say []*schemas.Observation, is *schemas.ObjectState, err error) {
		require.NoError(t, err)
		all, state = append(all, say...), is
		if state != nil {
			b, err := schemas.Encode(state)
			require.NoError(t, err)
			state, err = schemas.DecodeObjectState(b)
			require.NoError(t, err)
		}
	}
	for _, r := range revisions {
		if state != nil {
			if due := container.Due(state); !due.IsZero() && !due.After(r.ObservedAt) {
				keep(container.Expire(state, due))
			}
		}
		if r.Type == "DELETED" {
			state = nil
			continue
		}
		before := r.Object.DeepCopy()
		say, is, changed, err := o.Step(state, &r.Object, container.Scene{Cluster: cluster, At: r.ObservedAt, Floor: floor})
		require.Equal(t, before, &r.Object, "the pod is left alone")
		if !changed {
			require.Empty(t, say)
			require.Equal(t, state, is, "unchanged")
		}
		keep(say, is, err)
	}
	return all
}

// short is a transition as the tables have it: container, number of the restart that the id's instance has in the recording, …
func short(t testing.TB, o *schemas.Observation) string {
	t.Helper()
	require.NoError(t, o.Validate())
	c, err := schemas.DecodeContainerTransition(o.Payload)
	require.NoError(t, err)
	parts := []string{c.Container, string(c.State), c.Reason}
	if c.Previous {
		parts = append(parts, "previous")
	}
	return strings.Join(parts, " ")
}

var table = []struct {
	recording string
	set       func(*container.Options)
	want      []string
}{
	{recording: "oomkilled", want: []string{"main terminated OOMKilled", "main waiting CrashLoopBackOff"}},
	{recording: "error", want: []string{"main terminated Error"}},
	{recording: "crashloop", want: []string{
		"main terminated Error", "main waiting CrashLoopBackOff", "main terminated Error", "main waiting CrashLoopBackOff",
		"main terminated Error", "main waiting CrashLoopBackOff",
	}},
	{recording: "imagepull", want: []string{"main waiting ErrImagePull", "main waiting ImagePullBackOff"}},
	{recording: "imagepull", set: func(o *container.Options) { o.OrdinaryWaits = append(o.OrdinaryWaits, "ErrImagePull") }, want: []string{"main waiting ImagePullBackOff"}},
	{recording: "job-completes"},
	{recording: "job-fails", want: []string{"main terminated Error"}},
	{recording: "job-with-sidecar"},
	{recording: "podgroup-completes"},
	{recording: "podgroup-completes", set: func(o *container.Options) { o.BatchKinds = nil }, want: []string{"main terminated Completed"}},
	{recording: "server-exits-0", want: []string{"main terminated Completed", "main waiting CrashLoopBackOff"}},
	{recording: "deletion"},
	{recording: "deletion", set: func(o *container.Options) { o.SkipDeleted = false }, want: []string{"main terminated Error"}},
	{recording: "crash-then-deletion", want: []string{"main terminated OOMKilled"}},
	{recording: "init", want: []string{"setup terminated Error", "setup waiting CrashLoopBackOff"}},
	{recording: "sidecar", want: []string{"proxy terminated Error"}},
	{recording: "two-at-once", want: []string{"main terminated Error", "worker terminated OOMKilled"}},
	{recording: "two-at-once", set: func(o *container.Options) { o.Containers = []string{"work*"} }, want: []string{"main terminated Error"}},
	{recording: "two-at-once", set: func(o *container.Options) { o.Pods = []string{"shop/crashy-*"} }},
	{recording: "two-at-once", set: func(o *container.Options) { o.Pods = []string{"crashy-*"} }},
	{recording: "quick-restarts", want: []string{"main terminated Error previous", "main terminated Error previous", "main terminated Error"}},
	{recording: "lost-container", want: []string{"main terminated ContainerStatusUnknown previous"}},
	{recording: "old"},
	{recording: "ephemeral"},
	{recording: "ephemeral", set: func(o *container.Options) { o.SkipEphemeral = false }, want: []string{"debugger-x2x terminated Error"}},
	{recording: "evicted", want: []string{"main terminated Error"}},
	{recording: "config-error", want: []string{"main waiting CreateContainerConfigError"}},
	{recording: "config-error", set: func(o *container.Options) { o.WaitingGrace = 2 * time.Minute }, want: []string{"main waiting CreateContainerConfigError"}},
	{recording: "config-error-mended", want: []string{"main waiting CreateContainerConfigError"}},
	{recording: "config-error-mended", set: func(o *container.Options) { o.WaitingGrace = 2 * time.Minute }},
}

func TestTransitions(t *testing.T) {
	for _, c := range table {
		t.Run(c.recording, func(t *testing.T) {
			o := options()
			if c.set != nil {
				c.set(&o)
			}
			revisions := recording(t, c.recording)
			var got []string
			ids := map[string]bool{}
			for _, o := range told(t, o, revisions) {
				got = append(got, short(t, o))
				require.False(t, ids[o.ID], "%s is said twice", o.ID)
				ids[o.ID] = true
			}
			require.Equal(t, c.want, got)

			t.Run("relisted after each revision", func(t *testing.T) {
				var doubled []revision
				for _, r := range revisions {
					doubled = append(doubled, r, r, r)
				}
				require.Equal(t, c.want, each(t, told(t, o, doubled)))
			})
		})
	}
}

func each(t testing.TB, observations []*schemas.Observation) (all []string) {
	for _, o := range observations {
		all = append(all, short(t, o))
	}
	return all
}

// TestTransitionsSeenThroughGaps leaves out every subset of up to three revisions before the last: what is said is a part of what
// a whole watch says, with the same ids, and what the last revision still shows is never lost.
func TestTransitionsSeenThroughGaps(t *testing.T) {
	for _, name := range []string{"oomkilled", "error", "crashloop", "init", "quick-restarts", "sidecar", "crash-then-deletion"} {
		t.Run(name, func(t *testing.T) {
			all := recording(t, name)
			revisions := slices.DeleteFunc(slices.Clone(all), func(r revision) bool { return r.Type == "DELETED" })
			whole := map[string]bool{}
			for _, o := range told(t, options(), revisions) {
				whole[o.ID] = true
			}
			last := told(t, options(), revisions[len(revisions)-1:])
			for i := range revisions {
				for j := i + 1; j < len(revisions); j++ {
					some := slices.Concat(revisions[:i], revisions[j:])
					seen := map[string]bool{}
					for _, o := range told(t, options(), some) {
						require.False(t, seen[o.ID], "%s is said twice without %d to %d", o.ID, i, j)
						seen[o.ID] = true
						require.True(t, whole[o.ID], "%s is said without %d to %d only", o.ID, i, j)
					}
					for _, o := range last {
						require.True(t, seen[o.ID], "%s is lost without %d to %d", o.ID, i, j)
					}
				}
			}
		})
	}
}

func TestObservation(t *testing.T) {
	all := told(t, options(), recording(t, "oomkilled"))
	end, wait := all[0], all[1]
	require.Equal(t, "Pod/shop/crashy-798479d4f6-4gm85", strings.TrimPrefix(end.Subject.Key(), "/"))
	require.Equal(t, "spec.containers{main}", end.Subject.FieldPath)
	require.Equal(t, "2026-11-20T10:01:00Z", end.Time.Format(time.RFC3339), "when it ended, not when it was seen")
	require.Equal(t, end.Time, wait.Time, "the back-off follows the end")
	require.False(t, wait.TimeAdjusted)

	c, err := schemas.DecodeContainerTransition(end.Payload)
	require.NoError(t, err)
	require.Equal(t, int32(137), *c.ExitCode)
	require.Equal(t, int32(9), c.Signal, "137 stands for SIGKILL")
	require.Equal(t, "256Mi", c.Limits["memory"])
	require.Equal(t, "node-2", c.Node)
	require.Equal(t, "ReplicaSet", c.Owner.Kind)
	require.Equal(t, "crashy", c.Labels["app"])
	require.Equal(t, "registry.example.com/shop/main:1.4.2", c.Image)
	require.NotEmpty(t, c.ImageID)
	require.Equal(t, cluster.UID+"/"+end.Subject.UID+"/main/"+c.ContainerID+"/terminated/OOMKilled", end.ID)

	w, err := schemas.DecodeContainerTransition(wait.Payload)
	require.NoError(t, err)
	require.Nil(t, w.ExitCode)
	require.Equal(t, "OOMKilled", w.Last.Reason, "a waiting container says why")
	require.Equal(t, c.ContainerID, w.ContainerID, "whose logs to read")
}

// TestGraceOutlivesARestart: the fact that is said in the end is the one that was seen first.
func TestGraceOutlivesARestart(t *testing.T) {
	o := options()
	o.WaitingGrace = 2 * time.Minute
	revisions := recording(t, "config-error")
	all := told(t, o, revisions)
	require.Len(t, all, 1)
	require.Equal(t, revisions[1].ObservedAt, all[0].ObservedAt)
	require.Equal(t, revisions[1].ObservedAt, all[0].Time)
}

func TestSilentSaysNothingOfWhatStands(t *testing.T) {
	o := options()
	revisions := recording(t, "crashloop")
	scene := container.Scene{Cluster: cluster, At: revisions[5].ObservedAt, Floor: floor, Silent: true}
	say, state, changed, err := o.Step(nil, &revisions[5].Object, scene)
	require.NoError(t, err)
	require.Empty(t, say)
	require.True(t, changed)
	scene.Silent = false
	var later []string
	for _, r := range revisions[5:] {
		say, is, _, err := o.Step(state, &r.Object, scene)
		require.NoError(t, err)
		state, later = is, append(later, each(t, say)...)
	}
	require.Equal(t, []string{"main waiting CrashLoopBackOff", "main terminated Error", "main waiting CrashLoopBackOff"}, later)
}

// TestStateIsBounded: a container that crashes for ever leaves no more behind than what can be seen of it.
func TestStateIsBounded(t *testing.T) {
	o := options()
	pod := recording(t, "error")[0].Object
	var state *schemas.ObjectState
	for n := range int32(200) {
		end := &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: metav1.NewTime(floor.Add(48 * time.Hour))}
		pod.Status.ContainerStatuses[0].RestartCount = n
		pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: end}
		say, is, _, err := o.Step(state, &pod, container.Scene{Cluster: cluster, At: floor, Floor: floor})
		require.NoError(t, err)
		require.Len(t, say, 1)
		state = is
	}
	require.Len(t, state.Emitted, 1)
}

// TestHostileStatus: whoever may write a status must not be able to block the source.
func TestHostileStatus(t *testing.T) {
	o := options()
	long := strings.Repeat("ä", 1<<20)
	pod := recording(t, "error")[0].Object
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 1, Reason: long, Message: long, ContainerID: long,
	}}
	say, _, _, err := o.Step(nil, &pod, container.Scene{Cluster: cluster, At: floor, Floor: floor})
	require.NoError(t, err)
	require.Len(t, say, 1)
	require.NoError(t, say[0].Validate())
	require.Less(t, len(say[0].Payload), 100<<10)
	require.True(t, say[0].TimeAdjusted, "it has no time")

	pod.UID = ""
	_, _, _, err = o.Step(nil, &pod, container.Scene{Cluster: cluster, At: floor, Floor: floor})
	require.ErrorContains(t, err, "metadata.uid")
}

func TestCheckPattern(t *testing.T) {
	for _, good := range []string{"istio-*", "shop/*", "a?c", "[ab]"} {
		require.NoError(t, container.CheckPattern(good), good)
	}
	for _, bad := range []string{"", "[", `\`} {
		require.Error(t, container.CheckPattern(bad), bad)
	}
}

func FuzzStep(f *testing.F) {
	for _, name := range []string{"oomkilled", "init", "evicted", "config-error"} {
		for _, r := range recording(f, name) {
			b, err := json.Marshal(&r.Object)
			require.NoError(f, err)
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var pod corev1.Pod
		if json.Unmarshal(b, &pod) != nil {
			return
		}
		o := options()
		scene := container.Scene{Cluster: cluster, At: floor.Add(48 * time.Hour), Floor: floor}
		say, state, _, err := o.Step(nil, &pod, scene)
		if err != nil {
			return
		}
		for _, s := range say {
			require.NoError(t, s.Validate())
			_, err := schemas.DecodeContainerTransition(s.Payload)
			require.NoError(t, err)
		}
		again, _, changed, err := o.Step(state, &pod, scene)
		require.NoError(t, err)
		require.Empty(t, again, "the same revision again says nothing")
		require.False(t, changed)
	})
}

var update = flag.Bool("update", false, "write the golden file anew")

// TestGolden: the very bytes of the values on the topic, for the readers outside this project.
func TestGolden(t *testing.T) {
	var got bytes.Buffer
	for _, name := range []string{"oomkilled", "init", "imagepull", "evicted"} {
		for _, o := range told(t, options(), recording(t, name)) {
			b, err := schemas.Encode(o)
			require.NoError(t, err)
			got.Write(append(b, '\n'))
		}
	}
	file := filepath.Join("testdata", "golden", "values.ndjson")
	if *update {
		require.NoError(t, os.WriteFile(file, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "the bytes on the topic changed; if that is meant and compatible, run go test ./producer/container -update")
}
