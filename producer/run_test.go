package producer

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubescribe/schemas"
)

func idParts(id string) (uid, rv string) {
	parts := strings.Split(id, "/")
	return parts[2], parts[3]
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

func TestRunStartsWithWhatTheServerHoldsAndResumesWithoutAGap(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	api.puts("old-%04d", pageItems+20) // two pages
	stop := r.start()
	eventually(t, "the list is in Kafka", r.has(pageItems+20))
	eventually(t, "ready", r.health.ready)
	api.puts("live-%d", 5)
	api.put("live-0")
	api.delete("live-1")
	eventually(t, "the watched revisions are in Kafka", r.has(pageItems+26))
	require.NoError(t, stop())

	// While it is away: new ones, a count, a deletion.
	api.puts("away-%d", 3)
	api.put("live-2")
	api.put("live-2")
	api.delete("live-3")
	stop = r.start()
	eventually(t, "what happened meanwhile is in Kafka", r.has(pageItems+31))
	require.NoError(t, stop())
	got, gaps := r.found()
	require.Equal(t, sorted(api.revisions()), got)
	require.Empty(t, gaps, "an unbroken resume has no gap")
	require.Contains(t, api.accepted[0], runtime.ContentTypeProtobuf)
	for _, o := range r.observations() {
		require.NotContains(t, string(o.Payload), "managedFields")
		require.Contains(t, string(o.Payload), `"kind":"Event","apiVersion":"v1"`)
	}
}

func TestRunKeepsTheOrderOfAnInvolvedObject(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	r.cfg.Batch.MaxRecords = 3
	stop := r.start()
	eventually(t, "ready", r.health.ready)
	for range 20 {
		api.puts("e-%d", 4)
	}
	eventually(t, "all", r.has(80))
	require.NoError(t, stop())
	last := map[string]string{}
	for _, o := range r.observations() {
		uid, rv := idParts(o.ID)
		require.Less(t, last[uid], rv, "revisions have three digits here, so their text is ordered as they are")
		last[uid] = rv
	}
}

func TestRunFromNowLeavesOutWhatWasThere(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	r.cfg.From = FromNow
	api.puts("old-%d", 3)
	stop := r.start()
	eventually(t, "ready", r.health.ready)
	api.puts("new-%d", 2)
	eventually(t, "the new ones", r.has(2))
	require.NoError(t, stop())
	got, gaps := r.found()
	require.Equal(t, sorted(api.revisions()[3:]), got)
	require.Empty(t, gaps)
}

func TestRunWritesOneGapAfterAnExpiry(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]expiryStyle{"error event": expiryEvent, "status 410": expiryStatus, "closes empty": expiryEmpty} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newAPIServer(t)
			api.expiry = style
			r := newRig(t, fakeKafka(t), api.config())
			r.cfg.ListBufferBytes = 1 << 10 // several passes
			r.cfg.Batch.MaxRecords = 2
			api.puts("old-%d", 10)
			stop := r.start()
			eventually(t, "the first list", r.has(10))
			require.NoError(t, stop())
			before := r.checkpoint("events")

			api.put("old-3") // superseded by the next: this is what a gap means
			api.put("old-3")
			api.puts("away-%02d", 30)
			api.compact()
			lost := api.revisions()[10]
			stop = r.start()
			eventually(t, "what is newer", r.has(41))
			eventually(t, "the list is through", func() bool { return r.rv() >= api.now() })
			api.put("live")
			eventually(t, "the watch goes on", r.has(42))
			require.NoError(t, stop())

			want := slices.DeleteFunc(api.revisions(), func(id string) bool { return id == lost })
			got, gaps := r.found()
			require.Equal(t, sorted(want), got)
			require.Len(t, gaps, 1)
			g := gaps[0]
			require.Equal(t, schemas.GapExpired, g.Cause)
			require.Equal(t, schemas.GapPossible, g.Certainty)
			require.Equal(t, before.RV, g.CheckpointRV)
			require.True(t, g.From.Equal(before.ObservedAt), "from %s, checkpoint %s", g.From, before.ObservedAt)
			require.True(t, g.To.After(g.From))
			require.EqualValues(t, 31, g.ListedNewer)
			require.EqualValues(t, 0, g.Epoch)
		})
	}
}

func TestRunCallsAGapCertainWhenTheOutageOutlivedTheTTL(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	api.put("a")
	stop := r.start()
	eventually(t, "the first list", r.has(1))
	require.NoError(t, stop())
	api.delete("a")
	api.compact()
	r.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	stop = r.start()
	eventually(t, "the gap", func() bool { _, gaps := r.found(); return len(gaps) == 1 })
	require.NoError(t, stop())
	_, gaps := r.found()
	require.Equal(t, schemas.GapCertain, gaps[0].Certainty)
	require.Zero(t, gaps[0].ListedNewer)
	require.InDelta(t, 7200, gaps[0].OutageSeconds, 60)
}

func TestRunBeginsAnEpochWhenTheResourceVersionWentBack(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	api.clock = func() time.Time { return time.Now().Add(-10 * time.Second) }
	api.puts("old-%d", 5)
	backup := api.now()
	api.puts("later-%d", 5)
	stop := r.start()
	eventually(t, "the first list", r.has(10))
	eventually(t, "the list is through", func() bool { return r.rv() >= api.now() })

	// The restore happens under the running producer; what comes afterwards has numbers that were given before.
	api.set(func() {
		api.fail = func(*http.Request) *apierrors.StatusError { return apierrors.NewServiceUnavailable("restoring") }
	})
	api.restore(backup)
	api.set(func() { api.clock = time.Now })
	api.puts("after-%d", 2)
	api.set(func() { api.fail = nil })
	eventually(t, "the gap", func() bool { _, gaps := r.found(); return len(gaps) == 1 })
	eventually(t, "the new events", r.has(12))
	api.put("live")
	eventually(t, "the watch goes on", r.has(13))
	require.NoError(t, stop())

	_, gaps := r.found()
	require.Equal(t, schemas.GapRegression, gaps[0].Cause)
	require.EqualValues(t, 1, gaps[0].Epoch)
	ids := map[string]bool{}
	for _, o := range r.observations() {
		require.False(t, ids[o.ID], "%s is there twice", o.ID)
		ids[o.ID] = true
	}
	require.Len(t, ids, 14, "10 + 3 revisions and a gap; none of the restored ones again")
	require.EqualValues(t, 1, r.checkpoint("events").Epoch)
}

func TestSilenceWritesNoGapAndKeepsTheCheckpointFresh(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	r.cfg.Silence = 60 * time.Millisecond
	api.puts("old-%d", 3)
	stop := r.start()
	eventually(t, "the first list", r.has(3))
	for round := range 8 {
		api.elsewhere()
		at := api.now()
		if round == 5 {
			api.endWatches()
		} else {
			api.compact()
		}
		eventually(t, "the checkpoint follows", func() bool { return r.rv() >= at })
	}
	api.put("late")
	eventually(t, "an event after the silence", r.has(4))
	require.NoError(t, stop())
	got, gaps := r.found()
	require.Equal(t, sorted(api.revisions()), got)
	require.Empty(t, gaps)
}

func TestSilenceFindsAStalledWatchAndLosesNothing(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	r.cfg.Silence = 100 * time.Millisecond
	api.put("a")
	stop := r.start()
	eventually(t, "the first list", r.has(1))
	eventually(t, "ready", r.health.ready)
	api.set(func() { api.stall = true })
	for range 5 {
		api.put("a") // four of them will be superseded when the list is taken
	}
	api.put("gone")
	api.delete("gone") // and this one no list shows
	watches := func() int { api.mu.Lock(); defer api.mu.Unlock(); return api.watches }
	n := watches()
	eventually(t, "a new watch", func() bool { return watches() > n })
	api.set(func() { api.stall = false })
	eventually(t, "every revision", r.has(7))
	require.NoError(t, stop())
	got, gaps := r.found()
	require.Equal(t, sorted(api.revisions()), got)
	require.Empty(t, gaps)
}

func TestRunRetriesForEverAndSaysWhy(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	events := schema.GroupResource{Resource: "events"}
	for _, step := range []struct {
		err  *apierrors.StatusError
		want string
	}{
		{apierrors.NewServiceUnavailable("etcd is away"), "etcd is away"},
		{apierrors.NewUnauthorized("token expired"), "401"},
		{apierrors.NewForbidden(events, "", errors.New("no")), "allow get on namespaces, list and watch on events and pods"},
	} {
		api.set(func() { api.fail = func(*http.Request) *apierrors.StatusError { return step.err } })
		if step.want == "etcd is away" {
			r.start()
		}
		eventually(t, step.want, func() bool { return strings.Contains(r.health.last(), step.want) })
	}
	api.put("a")
	api.set(func() { api.fail = nil })
	eventually(t, "it goes on", r.has(1))
	eventually(t, "ready", r.health.ready)

	// And the same in the middle of a watch.
	api.set(func() {
		api.fail = func(*http.Request) *apierrors.StatusError { return apierrors.NewUnauthorized("token expired") }
	})
	api.endWatches()
	eventually(t, "not ready", func() bool { return strings.Contains(r.health.last(), "401") })
	api.put("b")
	api.set(func() { api.fail = nil })
	eventually(t, "it goes on", r.has(2))
	_, gaps := r.found()
	require.Empty(t, gaps)
}

func TestRunNamesAMissingPermissionBeforeItWritesAnything(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	api.denied["watch events"] = true
	r := newRig(t, fakeKafka(t), api.config())
	err := Run(t.Context(), r.cfg, r.cluster, r.kafka, r.deps(), r.rest)
	var access *AccessError
	require.ErrorAs(t, err, &access)
	require.EqualError(t, err, `the API server does not let this account watch events in all namespaces: add to its role the rules {apiGroups: [""], resources: ["events"], verbs: ["watch"]}`)
	require.Nil(t, r.checkpoint("events"))
}

func TestRunRefusesTheCheckpointOfAnotherCluster(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	api.put("a")
	stop := r.start()
	eventually(t, "the first list", r.has(1))
	require.NoError(t, stop())
	other := newAPIServer(t)
	other.uid = "another"
	other.put("b")
	r.rest = other.config()
	err := Run(t.Context(), r.cfg, r.cluster, r.kafka, r.deps(), r.rest)
	var mismatch *ClusterMismatchError
	require.ErrorAs(t, err, &mismatch)
	require.ErrorContains(t, err, "give this cluster a name of its own")
	got, _ := r.found()
	require.Len(t, got, 1)
}

func TestRunSurvivesContinueTokensThatExpire(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	api.paged = true
	api.puts("old-%04d", pageItems*5)
	pages := 0
	api.fail = func(req *http.Request) *apierrors.StatusError {
		if req.URL.Query().Get("continue") == "" {
			return nil
		}
		if pages++; pages <= 3 {
			return gone
		}
		return nil
	}
	stop := r.start()
	eventually(t, "the whole list", r.has(pageItems*5))
	require.NoError(t, stop())
	got, gaps := r.found()
	require.Equal(t, sorted(api.revisions()), got)
	require.Empty(t, gaps)
}

// TestAbortAtEachTransaction ends the session before, and after, each transaction of a producer's life: the first list, the watch,
// an expiry with its list in several passes, the gap, and the watch after it. Nothing may be lost or twice.
func TestAbortAtEachTransaction(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%t", after), func(t *testing.T) {
			t.Parallel()
			for at := 0; ; at++ {
				if hit := abortAt(t, at, after); !hit {
					require.Greater(t, at, 15, "the life of a producer has many transactions")
					return
				}
			}
		})
	}
}

func abortAt(t *testing.T, at int, after bool) (hit bool) {
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	r.cfg.Batch.MaxRecords = 2
	r.cfg.ListBufferBytes = 1 << 10
	r.faults.arm(at, after)
	api.puts("old-%d", 11)
	stop := r.start()
	eventually(t, "the first list", r.has(11))
	eventually(t, "the first list is through", func() bool { return r.rv() >= api.now() })
	for range 4 {
		api.puts("live-%d", 3)
	}
	eventually(t, "the watch", r.has(23))
	require.NoError(t, stop())
	api.puts("away-%02d", 14)
	api.compact()
	stop = r.start()
	eventually(t, "the expiry", r.has(37))
	eventually(t, "the list is through", func() bool { return r.rv() >= api.now() })
	api.puts("last-%d", 4)
	eventually(t, "the watch after it", r.has(41))
	require.NoError(t, stop())
	got, gaps := r.found()
	require.Equal(t, sorted(api.revisions()), got, "transaction %d", at)
	require.Len(t, gaps, 1, "transaction %d", at)
	require.EqualValues(t, 14, gaps[0].ListedNewer, "transaction %d", at)
	return r.faults.wasHit()
}

// TestAListThatIsForgottenInMidEmission dies in the middle of a list, and finds a server that can't give that list again.
func TestAListThatIsForgottenInMidEmission(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"the first list": true, "the list of an expiry": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newAPIServer(t)
			r := newRig(t, fakeKafka(t), api.config())
			r.cfg.Batch.MaxRecords = 2
			written := 0
			if !first {
				api.put("z")
				stop := r.start()
				eventually(t, "the first list", r.has(1))
				require.NoError(t, stop())
				written = 1
			}
			api.puts("a-%d", 10)
			api.compact()
			r.faults.arm(2, false)
			p := r.producer()
			p.pace = pacing{first: time.Hour, longest: time.Hour, refused: time.Hour}
			stop := r.run(p)
			eventually(t, "it died", func() bool { return strings.Contains(r.health.last(), "killed") })
			require.NoError(t, stop())
			cp := r.checkpoint("events")
			require.NotNil(t, cp.List)
			require.EqualValues(t, 4, cp.List.Emitted)
			r.faults.arm(-1, false)

			lost := api.revisions()[written+8]
			api.put("a-8") // what was not emitted yet is superseded
			api.put("a-1") // what was emitted has a new revision
			api.compact()
			stop = r.start()
			eventually(t, "the rest", r.has(written+11))
			eventually(t, "the list is through", func() bool { return r.rv() >= api.now() })
			require.NoError(t, stop())
			got, gaps := r.found()
			require.Equal(t, sorted(slices.DeleteFunc(api.revisions(), func(id string) bool { return id == lost })), got)
			require.Len(t, gaps, 1)
			require.Equal(t, schemas.GapExpired, gaps[0].Cause)
			require.False(t, gaps[0].From.After(cp.List.AskedAt))
			require.True(t, gaps[0].To.After(cp.List.Until))
			require.EqualValues(t, 11, gaps[0].ListedNewer)
		})
	}
}
