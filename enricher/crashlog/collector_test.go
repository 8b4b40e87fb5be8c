package crashlog

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

func millis(n int64) *int64 { return &n }

// The log is asked for when the status shows the end, and is there when the record comes, asked for once.
func TestTheFetchBeginsWithTheEnd(t *testing.T) {
	r := newRig(t, says(epoch, "panic: password=hunter2"))
	s := (&status{}).runs("web-1", 1)
	r.See(podOf("web-1", s))
	require.Empty(t, r.server.seen())
	r.pass(time.Second)
	r.See(podOf("web-1", s.ends(epoch, 1)))
	require.Eventually(t, func() bool { return len(r.server.seen()) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, asked{pod: "web-1", container: "main", lines: "100", timestamps: "true", limit: fmt.Sprint(maxRead)}, r.server.seen()[0])

	want := Log{Text: "panic: password=[REDACTED]", Info: schemas.ContainerLog{
		Instance: "current", ContainerID: id("web-1", 1), Lines: 1, Redactions: 1, FetchedAt: epoch.Add(time.Second), DelayMillis: millis(1000),
	}}
	require.Equal(t, want, r.get(t, r.want("web-1", 1)))
	// The record comes again, the pod waits, starts again, and is deleted: the log stays.
	r.See(podOf("web-1", s.waits()))
	require.Equal(t, want, r.get(t, r.want("web-1", 0)), "the log of a BackOff is that of the instance that ended")
	r.See(podOf("web-1", s.runs("web-1", 2)))
	r.Forget("uid-web-1")
	require.Equal(t, want, r.get(t, r.want("web-1", 1)))
	require.Len(t, r.server.seen(), 1)
	require.InDelta(t, 1, testutil.ToFloat64(newMetrics(r.metrics).redactions.WithLabelValues("named")), 0)
}

// What nobody saw in time is asked for when the record comes: of the previous instance, once the next has been created.
func TestTheLogOfThePreviousInstance(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request, q asked) {
		says(epoch.Add(-time.Hour), fmt.Sprint("previous=", q.previous))(w, req, q)
	})
	s := (&status{}).runs("web-1", 1).ends(epoch.Add(-time.Hour), 1).waits()
	r.See(podOf("web-1", s))
	require.Empty(t, r.server.seen(), "a list shows old ends, which are asked for only if a record comes")
	for _, w := range []Want{r.want("web-1", 1), r.want("web-1", 0)} {
		log := r.get(t, w)
		require.Equal(t, "previous=true", log.Text)
		require.Equal(t, "previous", log.Info.Instance)
		require.Equal(t, millis(3600_000), log.Info.DelayMillis)
	}
	require.Len(t, r.server.seen(), 1)
	require.Equal(t, Gone, r.get(t, Want{Namespace: "shop", Pod: "web-1", PodUID: "uid-web-1", Container: "main", ContainerID: "containerd://other"}).Info.Missing)
	require.Equal(t, Gone, r.get(t, Want{Namespace: "shop", Pod: "web-1", PodUID: "uid-web-1", Container: "none"}).Info.Missing)
	require.Equal(t, Gone, r.get(t, Want{Namespace: "shop", Pod: "web-1", PodUID: "another pod of that name", Container: "main"}).Info.Missing)
}

// A running container's log is that of the moment: it is no last word, and an hour later it says nothing.
func TestTheLogOfARunningContainer(t *testing.T) {
	r := newRig(t, says(epoch, "GET /healthz 503"))
	s := (&status{}).runs("web-1", 1)
	r.See(podOf("web-1", s))
	w := r.want("web-1", 0)
	w.Running = true
	log := r.get(t, w)
	require.Equal(t, "GET /healthz 503", log.Text)
	require.Nil(t, log.Info.DelayMillis)
	require.Equal(t, "current", log.Info.Instance)
	r.pass(time.Second)
	r.See(podOf("web-1", s.ends(r.now(), 1)))
	require.NotNil(t, r.get(t, r.want("web-1", 1)).Info.DelayMillis)
	require.Len(t, r.server.seen(), 2)

	r.See(podOf("web-2", (&status{}).runs("web-2", 1)))
	w = r.want("web-2", 0)
	w.Running, w.Seen = true, r.now().Add(-time.Hour)
	require.Equal(t, Gone, r.get(t, w).Info.Missing)
	r.See(podOf("web-3", (&status{}).waits()))
	require.Equal(t, NotStarted, r.get(t, r.want("web-3", 0)).Info.Missing)
}

// A container that was started again before its log was read must not get the next one's lines.
func TestARestartDuringTheFetch(t *testing.T) {
	t.Run("that the status shows", func(t *testing.T) {
		var r *rig
		s := (&status{}).runs("web-1", 1)
		r = newRig(t, func(w http.ResponseWriter, req *http.Request, q asked) {
			if !q.previous {
				r.See(podOf("web-1", s.runs("web-1", 2)))
			}
			says(epoch, fmt.Sprint("previous=", q.previous))(w, req, q)
		})
		r.See(podOf("web-1", s.ends(epoch, 1)))
		log := r.get(t, r.want("web-1", 1))
		require.Equal(t, "previous=true", log.Text)
		require.Equal(t, "previous", log.Info.Instance)
	})
	t.Run("that only the lines' times show", func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request, q asked) {
			at := epoch
			if !q.previous {
				at = epoch.Add(2 * time.Second)
			}
			says(at, fmt.Sprint("previous=", q.previous))(w, req, q)
		})
		r.See(podOf("web-1", (&status{}).runs("web-1", 1).ends(epoch, 1)))
		require.Equal(t, "previous=true", r.get(t, r.want("web-1", 1)).Text)
	})
	t.Run("twice", func(t *testing.T) {
		r := newRig(t, says(epoch.Add(time.Minute), "another instance's"))
		r.See(podOf("web-1", (&status{}).runs("web-1", 1).ends(epoch, 1)))
		log := r.get(t, r.want("web-1", 1))
		require.Equal(t, Gone, log.Info.Missing)
		require.Empty(t, log.Text)
		require.Len(t, r.server.seen(), 2)
	})
}

// Fifty restarts are not fifty fetches, and what was not asked for says so.
func TestTheBudget(t *testing.T) {
	r := newRig(t, says(epoch, "x"), func(c *Config, _ *Options) { c.WorkloadRequestsPerMinute, c.RequestsPerMinute = 10, 25 })
	crash := func(pod string, owner string) Log {
		p := podOf(pod, (&status{}).runs(pod, 1).ends(r.now(), 1))
		p.OwnerReferences[0].UID = "rs-" + "0"
		if owner != "" {
			p.OwnerReferences[0].UID = "rs-1"
		}
		r.See(p)
		return r.get(t, r.want(pod, 1))
	}
	spent := 0
	for i := range 50 {
		if crash(fmt.Sprint("web-", i), "").Info.Missing == Budget {
			spent++
		}
	}
	require.Equal(t, 40, spent)
	require.Len(t, r.server.seen(), 10)
	require.Empty(t, crash("other", "another workload").Info.Missing, "one workload can't spend the others' share")
	r.pass(30 * time.Second)
	for i := range 50 {
		crash(fmt.Sprint("late-", i), "")
	}
	require.Len(t, r.server.seen(), 16, "half a minute later half of it is there again")

	// The bytes of a minute.
	big := strings.Repeat("2026-03-01T11:00:00Z "+strings.Repeat("x", 1000)+"\n", 60)
	r = newRig(t, func(w http.ResponseWriter, _ *http.Request, _ asked) { fmt.Fprint(w, big) },
		func(c *Config, _ *Options) { c.BytesPerMinute, c.WorkloadRequestsPerMinute = 100_000, 100 })
	for i := range 10 {
		crash(fmt.Sprint("web-", i), "")
	}
	require.Len(t, r.server.seen(), 2)
}

// No more requests at once than configured, and half of them to one node.
func TestConcurrency(t *testing.T) {
	var web, all atomic.Int64
	r := newRig(t, func(_ http.ResponseWriter, req *http.Request, q asked) {
		all.Add(1)
		if strings.HasPrefix(q.pod, "web") {
			web.Add(1)
		}
		<-req.Context().Done()
	}, func(c *Config, _ *Options) {
		c.Timeout, c.Concurrency, c.WorkloadRequestsPerMinute = time.Minute, 4, 100
	})
	for i := range 20 {
		for _, node := range []string{"web", "api", "etl"} {
			p := podOf(fmt.Sprint(node, "-", i), (&status{}).runs("x", 1).ends(epoch, 1))
			p.Spec.NodeName = node
			r.See(p)
		}
	}
	require.Eventually(t, func() bool { return all.Load() == 4 }, 10*time.Second, time.Millisecond)
	require.LessOrEqual(t, web.Load(), int64(2))
	require.Len(t, r.slots, 4)
	require.EqualValues(t, 4, all.Load())
}

// A batch waits no longer than its deadline for a kubelet that does not answer, and after a few requests the node is left alone. The others' logs are read meanwhile.
func TestAStuckKubelet(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request, q asked) {
		if away.Load() && strings.HasPrefix(q.pod, "web") {
			<-req.Context().Done()
			return
		}
		says(epoch, "here")(w, req, q)
	}, func(c *Config, _ *Options) {
		c.Wait, c.Timeout, c.Concurrency, c.WorkloadRequestsPerMinute = 50*time.Millisecond, 200*time.Millisecond, 4, 100
	})
	crash := func(pod, node string) Want {
		p := podOf(pod, (&status{}).runs(pod, 1).ends(r.now(), 1))
		p.Spec.NodeName = node
		r.See(p)
		return r.want(pod, 1)
	}
	var wants []Want
	for i := range 8 {
		wants = append(wants, crash(fmt.Sprint("web-", i), "node-1"))
	}
	other := crash("other", "node-2")
	start := time.Now()
	for _, log := range r.Get(t.Context(), wants) {
		require.Equal(t, Timeout, log.Info.Missing)
	}
	require.Less(t, time.Since(start), 2*time.Second, "all together wait once")
	require.Eventually(t, func() bool { return r.get(t, other).Text == "here" }, 10*time.Second, time.Millisecond)
	n := 8
	require.Eventually(t, func() bool {
		n++
		return r.get(t, crash(fmt.Sprint("web-", n), "node-1")).Info.Missing == Unreachable
	}, 10*time.Second, 5*time.Millisecond)

	require.Equal(t, Unreachable, r.get(t, crash("web-x", "node-1")).Info.Missing)
	for _, q := range r.server.seen() { // earlier requests may still be on their way
		require.NotEqual(t, "web-x", q.pod)
	}
	away.Store(false)
	for range 2 {
		require.Eventually(t, func() bool {
			n++
			r.pass(breakFor) // what was on its way may still end badly, and keep the node alone for that long again
			return r.get(t, crash(fmt.Sprint("web-", n), "node-1")).Text == "here"
		}, 10*time.Second, 5*time.Millisecond)
	}
}

// A missing permission is reported once, with its rule, and asked for again after a while.
func TestForbidden(t *testing.T) {
	var granted atomic.Bool
	r := newRig(t, func(w http.ResponseWriter, req *http.Request, q asked) {
		if granted.Load() {
			says(epoch, "x")(w, req, q)
			return
		}
		refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, `pods "web" is forbidden: User "x" cannot get resource "pods/log"`)
	})
	crash := func(i int) Log {
		pod := fmt.Sprint("web-", i)
		r.See(podOf(pod, (&status{}).runs(pod, 1).ends(r.now(), 1)))
		return r.get(t, r.want(pod, 1))
	}
	for i := range 5 {
		require.Equal(t, Forbidden, crash(i).Info.Missing)
	}
	require.Len(t, r.server.seen(), 1)
	require.Equal(t, 1, strings.Count(r.log.String(), `{apiGroups: [\"\"], resources: [\"pods/log\"], verbs: [\"get\"]}`), r.log.String())
	r.pass(time.Minute)
	require.Equal(t, Forbidden, crash(5).Info.Missing)
	require.Equal(t, 1, strings.Count(r.log.String(), "pods/log"))
	granted.Store(true)
	r.pass(time.Minute)
	require.Equal(t, "x", crash(6).Text)
}

// Pods of other replicas, containers that did their work, and pods that are being deleted cost nothing before somebody asks.
func TestWhatIsNotFetchedAhead(t *testing.T) {
	r := newRig(t, says(epoch, "x"))
	job := podOf("job", (&status{}).runs("job", 1).ends(epoch, 0))
	job.Spec.RestartPolicy = "Never"
	r.See(job)
	deleted := podOf("deleted", (&status{}).runs("deleted", 1).ends(epoch, 143))
	deleted.DeletionTimestamp, deleted.DeletionGracePeriodSeconds = &metav1.Time{Time: epoch.Add(29 * time.Second)}, millis(30)
	r.See(deleted)
	r.Own(func(_, pod string) bool { return pod == "mine" })
	r.See(podOf("theirs", (&status{}).runs("theirs", 1).ends(epoch, 1)))
	require.Empty(t, r.memory.byKey)
	for _, pod := range []string{"job", "deleted", "theirs"} {
		require.Equal(t, "x", r.get(t, r.want(pod, 1)).Text)
	}
	// A container of a pod that is deleted later had crashed before.
	r.See(podOf("mine", (&status{}).runs("mine", 1).ends(epoch, 1)))
	require.Len(t, r.memory.byKey, 4)
}

// A record may be ahead of the watch, and at the start the watch knows nothing: both are waited for, but not for ever.
func TestARecordAheadOfTheWatch(t *testing.T) {
	ready := atomic.Pointer[string]{}
	set := func(s string) { ready.Store(&s) }
	set(Timeout)
	r := newRig(t, says(epoch, "x"), func(c *Config, o *Options) {
		c.Wait = 100 * time.Millisecond
		o.Ready = func() string { return *ready.Load() }
	})
	require.Equal(t, Timeout, r.get(t, r.want("web-1", 1)).Info.Missing)
	set(Forbidden)
	require.Equal(t, Forbidden, r.get(t, r.want("web-1", 1)).Info.Missing)
	set("")
	require.Equal(t, Gone, r.get(t, r.want("web-1", 1)).Info.Missing)
	require.Empty(t, r.server.seen())

	r = newRig(t, says(epoch, "x"))
	got := make(chan Log)
	go func() { got <- r.Get(t.Context(), []Want{r.want("web-1", 1)})[0] }()
	require.Eventually(t, func() bool { r.pods.mu.RLock(); defer r.pods.mu.RUnlock(); return r.pods.waiting == 1 }, 10*time.Second, time.Microsecond)
	r.See(podOf("web-1", (&status{}).runs("web-1", 1).ends(epoch, 1)))
	require.Contains(t, []string{"x", ""}, (<-got).Text) // a busy machine may be later than catchUp
	require.Equal(t, "x", r.get(t, r.want("web-1", 1)).Text)
}

// The lines that a limit cuts are the first ones, whatever it takes.
func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request, q asked) {
		n := map[string]int{"100": 100, "10": 10}[q.lines]
		for i := range n {
			fmt.Fprintf(w, "2026-03-01T11:00:00Z %s %d\n", long, 100-n+i)
		}
	})
	r.See(podOf("web-1", (&status{}).runs("web-1", 1).ends(epoch, 1)))
	log := r.get(t, r.want("web-1", 1))
	require.True(t, strings.HasSuffix(log.Text, " 99"), log.Text[max(0, len(log.Text)-10):])
	require.True(t, log.Truncated)
	require.LessOrEqual(t, len(log.Text), MaxBytes)
	require.EqualValues(t, 3, log.Info.Lines)
	require.Len(t, r.server.seen(), 2)
}

func TestTheMemoryIsBounded(t *testing.T) {
	at := epoch
	m := newMemory(func() time.Time { return at })
	big := Log{Text: strings.Repeat("x", MaxBytes)}
	for i := range 2000 {
		m.finish(m.add(fmt.Sprint(i)), big, keep)
	}
	require.LessOrEqual(t, m.bytes, maxMemory)
	require.Less(t, len(m.byKey), maxMemory/MaxBytes+1)
	require.Nil(t, m.get("0"))
	require.NotNil(t, m.get("1999"))
	at = at.Add(keep)
	require.Nil(t, m.get("1999"))
	m.finish(m.add("last"), Log{}, keep)
	require.Len(t, m.byKey, 1)
	require.Equal(t, entryBytes, m.bytes)
}
