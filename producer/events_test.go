package producer

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// occurrences are those of each revision of an Event, in order; "?" is unknown.
func (r *rig) occurrences(name string) string {
	var all []string
	for _, o := range r.observations() {
		if o.Subject.Name != "pod-"+name {
			continue
		}
		if o.Occurrences == nil {
			all = append(all, "?")
		} else {
			all = append(all, fmt.Sprint(*o.Occurrences))
		}
	}
	return strings.Join(all, " ")
}

func TestOccurrencesAreThoseSinceThePreviousRevision(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	api.put("once")
	for range 3 {
		api.put("thrice")
	}
	stop := r.start()
	eventually(t, "the first list", r.has(2))
	eventually(t, "ready", r.health.ready)
	api.put("once")
	api.put("thrice")
	api.put("new")
	api.put("new")
	eventually(t, "the watch", r.has(6))
	require.NoError(t, stop())
	require.Equal(t, "1 1", r.occurrences("once"))
	require.Equal(t, "? 1", r.occurrences("thrice"), "nobody knows when the first three were")
	require.Equal(t, "1 1", r.occurrences("new"))

	// Counts are restored by a list at exactly the checkpoint, not by what the server holds by then.
	api.put("once")
	api.put("once")
	stop = r.start()
	eventually(t, "what happened meanwhile", r.has(8))
	require.NoError(t, stop())
	require.Equal(t, "1 1 1 1", r.occurrences("once"))

	// After an expiry nobody knows how often it happened since; then it is known again.
	api.put("once")
	api.put("once")
	api.put("young")
	api.compact()
	stop = r.start()
	eventually(t, "the expiry", r.has(10))
	eventually(t, "ready", r.health.ready)
	api.put("once")
	api.put("thrice")
	eventually(t, "the watch", r.has(12))
	require.NoError(t, stop())
	require.Equal(t, "1 1 1 1 ? 1", r.occurrences("once"))
	require.Equal(t, "?", r.occurrences("young"))
	require.Equal(t, "? 1 1", r.occurrences("thrice"), "what was not new in the expiry is counted too")
}

func TestOccurrencesAreKnownOverAnExpiryThatTheProducerLivedThrough(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	api.put("a")
	stop := r.start()
	eventually(t, "the first list", r.has(1))
	eventually(t, "ready", r.health.ready)
	api.set(func() {
		api.fail = func(*http.Request) *apierrors.StatusError { return apierrors.NewServiceUnavailable("away") }
	})
	api.endWatches()
	eventually(t, "it is noticed", func() bool { return !r.health.ready() })
	for range 4 {
		api.put("a")
	}
	api.put("b")
	api.compact()
	api.set(func() { api.fail = nil })
	eventually(t, "the expiry", r.has(3))
	require.NoError(t, stop())
	require.Equal(t, "1 4", r.occurrences("a"), "three revisions are lost, their occurrences are not")
	require.Equal(t, "1", r.occurrences("b"))
}

func (r *rig) deadLetters() (letters []stream.DeadLetter) {
	topic := schemas.Topics{Prefix: r.kafka.TopicPrefix}.DeadLetter(r.cluster)
	require.NoError(r.t, stream.ReadDeadLetters(r.t.Context(), r.kafka, stream.Deps{}, topic, func(l stream.DeadLetter) error {
		letters = append(letters, l)
		return nil
	}))
	return letters
}

func TestWhatNobodyCanReadGoesToTheDeadLetterAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	torn := append([]byte("k8s\x00"), mustMarshal(t, &runtime.Unknown{
		TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "Event"}, Raw: []byte{0x0a, 0x7f, 1, 2, 3},
	})...)
	odd := append([]byte("k8s\x00"), mustMarshal(t, &runtime.Unknown{
		TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "Event"},
		Raw:      mustMarshal(t, &corev1.Event{Reason: "no uid", ObjectMeta: oddMeta(api.now() + 4)}),
	})...)
	api.junk = map[uint64][]byte{api.now() + 2: []byte("no envelope"), api.now() + 3: torn, api.now() + 4: odd}
	r.cfg.From = FromNow
	stop := r.start()
	eventually(t, "ready", r.health.ready)
	api.puts("a-%d", 5)
	eventually(t, "those around them", r.has(2))
	require.NoError(t, stop())
	stop = r.start()
	api.put("later")
	eventually(t, "it goes on", r.has(3))
	require.NoError(t, stop())

	letters := r.deadLetters()
	require.Len(t, letters, 3, "each once")
	require.Contains(t, string(letters[0].Record.Value), "no envelope")
	require.Equal(t, []byte{0x0a, 0x7f, 1, 2, 3}, letters[1].Record.Value)
	require.Equal(t, "unreadable", letters[2].Reason)
	require.Contains(t, letters[2].Error, "is no UID")
	_, gaps := r.found()
	require.Empty(t, gaps)
}

func TestEveryKindOfServerIsUnderstood(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*apiServer){
		"without streaming lists": func(a *apiServer) { a.paged = true },
		"without protobuf":        func(a *apiServer) { a.json = true },
		"with neither":            func(a *apiServer) { a.paged, a.json = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newAPIServer(t)
			set(api)
			r := newRig(t, fakeKafka(t), api.config())
			api.puts("old-%04d", pageItems+20)
			stop := r.start()
			eventually(t, "the list", r.has(pageItems+20))
			eventually(t, "ready", r.health.ready)
			api.puts("live-%d", 5)
			api.delete("live-1")
			eventually(t, "the watch", r.has(pageItems+25))
			require.NoError(t, stop())
			api.put("away")
			stop = r.start()
			eventually(t, "the resume", r.has(pageItems+26))
			require.NoError(t, stop())
			got, gaps := r.found()
			require.Equal(t, sorted(api.revisions()), got)
			require.Empty(t, gaps)
		})
	}
}

func TestWatchesThatEndAtOnceAreNoGapWhileTheServerHasTheCheckpoint(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	r := newRig(t, fakeKafka(t), api.config())
	api.puts("old-%d", 3)
	stop := r.start()
	eventually(t, "the first list", r.has(3))
	eventually(t, "ready", r.health.ready)
	watches := func() int { api.mu.Lock(); defer api.mu.Unlock(); return api.watches }
	n := watches()
	api.set(func() { api.empty = true })
	api.endWatches()
	api.put("meanwhile")
	eventually(t, "some watches", func() bool { return watches() >= n+4 })
	api.set(func() { api.empty = false })
	eventually(t, "it goes on", r.has(4))
	require.NoError(t, stop())
	_, gaps := r.found()
	require.Empty(t, gaps)
}

func mustMarshal(t *testing.T, m interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.Marshal()
	require.NoError(t, err)
	return b
}

func oddMeta(rv uint64) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: "odd", UID: "", ResourceVersion: formatRV(rv)}
}
