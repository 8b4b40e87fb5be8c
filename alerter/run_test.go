package alerter_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/alerter"
	"kubescribe/alerter/receiver"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

const backoffRules = `
groups:
- name: test
  rules:
  - alert: CrashLoop
    expr: reason == "BackOff"
    group_by: [namespace, name]
    count: {at_least: 3, within: 5m}
    dedup: 1h
    resolve: {after: 2s}
    labels: {severity: page}
    annotations: {summary: "{{ .Name }} in {{ .Namespace }}"}
`

func TestOneWay(t *testing.T) {
	onBrokers(t, []string{"prod", "test"}, func(t *testing.T, w world) {
		hook := newWebhook(t)
		w.produce(t,
			document("prod", "a1", "BackOff", "a", epoch), document("prod", "a2", "BackOff", "a", epoch.Add(time.Minute)),
			document("prod", "b1", "BackOff", "b", epoch), document("prod", "b2", "Started", "b", epoch), document("test", "a9", "BackOff", "a", epoch),
			document("prod", "a3", "BackOff", "a", epoch.Add(2*time.Minute)), document("prod", "a3", "BackOff", "a", epoch.Add(2*time.Minute)),
		)
		bad := &kgo.Record{Topic: w.topics.Enriched("prod"), Value: []byte("{")}
		require.NoError(t, stream.Produce(t.Context(), w.kafka, stream.Deps{}, bad))
		cfg := config(t, backoffRules, hook)
		reg := prometheus.NewRegistry()
		d := testDeps(t)
		d.Metrics = reg
		w.start(t, cfg, d)
		eventually(t, "a page and its resolve", func() bool { n, _ := hook.got(); return n == 2 })

		alerts := w.alerts(t)
		require.Len(t, alerts, 2, dump(alerts))
		firing, resolved := alerts[0], alerts[1]
		assert.Equal(t, schemas.AlertFiring, firing.Status)
		assert.Equal(t, map[string]string{"alertname": "CrashLoop", "cluster": "prod", "namespace": "shop", "name": "a", "severity": "page"}, firing.Labels)
		assert.Equal(t, "a in shop", firing.Annotations["summary"])
		assert.Equal(t, epoch, firing.StartsAt)
		assert.EqualValues(t, 3, firing.Count)
		assert.Len(t, firing.Evidence, 3)
		assert.Equal(t, schemas.AlertResolved, resolved.Status)
		assert.Equal(t, epoch.Add(2*time.Minute), resolved.EndsAt)
		assert.Equal(t, firing.Fingerprint, resolved.Fingerprint)
		assert.Equal(t, []string{"firing", "resolved"}, hook.statuses())
		_, repeats := hook.got()
		assert.Zero(t, repeats)

		states := w.states(t)
		require.Len(t, states, 4, "a and b in prod, a in test, and what the page of a counts for a storm")
		assert.Equal(t, schemas.AlertResolved, states[schemas.AlertStateKey("prod", firing.Fingerprint)].Status)
		eventually(t, "the dead letter", func() bool { return len(w.read(t, w.topics.DeadLetter("prod"))) == 1 })
		eventually(t, "the notification log", func() bool { return len(w.read(t, w.topics.Notifications())) == 2 })
		for _, r := range w.read(t, w.topics.Notifications()) {
			n, err := schemas.DecodeNotification(r.Value)
			require.NoError(t, err)
			assert.Equal(t, schemas.DeliverySent, n.Delivery)
		}
		samePartitions(t, w.read(t, w.topics.Matches()), w.read(t, w.topics.AlertState()))
		samePartitions(t, w.read(t, w.topics.Alerts()), w.read(t, w.topics.Notifications()))
	})
}

// samePartitions checks that what is restored by partition lies where its origin lies: keys differ, partitions must not.
func samePartitions(t *testing.T, from, to []*kgo.Record) {
	t.Helper()
	has := map[int32]bool{}
	for _, r := range from {
		has[r.Partition] = true
	}
	require.NotEmpty(t, to)
	for _, r := range to {
		assert.True(t, has[r.Partition], "%s/%d", r.Topic, r.Partition)
	}
}

func TestRestartsInMidWindow(t *testing.T) {
	onBrokers(t, []string{"prod"}, func(t *testing.T, w world) {
		hook := newWebhook(t)
		cfg := config(t, backoffRules, hook)
		cfg.Instance = w.topics.Prefix + "0"
		for i := range 3 {
			w.produce(t, document("prod", fmt.Sprint("a", i), "BackOff", "a", epoch.Add(time.Duration(i)*time.Minute)))
			stop := w.start(t, cfg, testDeps(t))
			if i < 2 {
				eventually(t, "the state of the match", func() bool {
					for _, s := range w.states(t) {
						return len(s.Window) == i+1
					}
					return false
				})
			} else {
				eventually(t, "the page", func() bool { n, _ := hook.got(); return n >= 1 })
			}
			require.NoError(t, stop())
		}
		w.start(t, cfg, testDeps(t))
		eventually(t, "the resolve", func() bool { n, _ := hook.got(); return n == 2 })
		assert.Len(t, w.alerts(t), 2)
		_, repeats := hook.got()
		assert.Zero(t, repeats)
	})
}

func TestReceiverIsAwayForAWhile(t *testing.T) {
	onBrokers(t, []string{"prod"}, func(t *testing.T, w world) {
		hook, other := newWebhook(t), newWebhook(t)
		var tries atomic.Int32
		hook.set(func(schemas.Alert) int { tries.Add(1); return http.StatusInternalServerError })
		cfg := config(t, oneShotRules, hook)
		second := cfg.Receivers[0]
		second.Name, second.URL = "other", stream.Secret(other.URL)
		cfg.Receivers, cfg.DefaultReceivers = append(cfg.Receivers, second), []string{"hook", "other"}
		w.start(t, cfg, testDeps(t))
		const pods = 20
		for i := range pods {
			w.produce(t, document("prod", fmt.Sprint("e", i), "BackOff", fmt.Sprint("pod-", i), epoch))
		}
		eventually(t, "several tries", func() bool { return tries.Load() > 3 })
		for i := range pods {
			w.produce(t, document("prod", fmt.Sprint("late", i), "BackOff", fmt.Sprint("late-", i), epoch))
		}
		eventually(t, "every page at the other, also of what came later", func() bool { n, _ := other.got(); return n == 2*pods })
		assert.Empty(t, hook.statuses())
		hook.set(nil)
		eventually(t, "every page at both", func() bool { n, _ := hook.got(); return n == 2*pods })
		for _, h := range []*webhook{hook, other} {
			_, repeats := h.got()
			assert.Zero(t, repeats)
		}
	})
}

// TestANewReceiverBeginsWhereTheOthersAre adds a receiver that alerts have named before: their pages are old news.
func TestANewReceiverBeginsWhereTheOthersAre(t *testing.T) {
	onBrokers(t, []string{"prod"}, func(t *testing.T, w world) {
		hook, late := newWebhook(t), newWebhook(t)
		cfg := config(t, oneShotRules, hook)
		cfg.Receivers = append(cfg.Receivers, receiver.Config{Name: "unused", Type: "webhook", URL: stream.Secret(hook.URL)})
		cfg.DefaultReceivers = []string{"hook", "late"}
		both := cfg
		cfg.DefaultReceivers = []string{"hook"}
		w.produce(t, document("prod", "e1", "BackOff", "old", epoch))
		stop := w.start(t, cfg, testDeps(t))
		eventually(t, "the old page", func() bool { n, _ := hook.got(); return n == 1 })
		eventually(t, "the commit", func() bool {
			done, err := stream.Drained(t.Context(), w.kafka, stream.Deps{}, alerter.NotifyGroup, w.topics.Alerts())
			return err == nil && done
		})
		require.NoError(t, stop())
		old := w.read(t, w.topics.Alerts())[0]
		a, err := schemas.DecodeAlert(old.Value)
		require.NoError(t, err)
		a.ID, a.Receivers = a.ID+"0", []string{"late"}
		value, err := schemas.Encode(a)
		require.NoError(t, err)
		named := stream.ToPartition(&kgo.Record{Topic: old.Topic, Key: old.Key, Value: value}, old.Partition)
		require.NoError(t, stream.Produce(t.Context(), w.kafka, stream.Deps{}, named))
		stop = w.start(t, cfg, testDeps(t))
		eventually(t, "the refusal of a name that nobody has", func() bool { return len(w.read(t, w.topics.DeadLetter(""))) == 1 })
		require.NoError(t, stop())

		both.Receivers = append(both.Receivers, receiver.Config{Name: "late", Type: "webhook", URL: stream.Secret(late.URL)})
		w.start(t, both, testDeps(t))
		w.produce(t, document("prod", "e2", "BackOff", "new", epoch))
		eventually(t, "the new page at both", func() bool { n, _ := hook.got(); m, _ := late.got(); return n == 2 && m == 1 })
		late.mu.Lock()
		defer late.mu.Unlock()
		assert.Equal(t, "new", late.seen[0].Labels["name"])
	})
}

const oneShotRules = `
groups:
- name: test
  rules:
  - alert: Once
    expr: reason == "BackOff"
    group_by: [namespace, name]
    dedup: 1h
`

func TestReceiverRefuses(t *testing.T) {
	onBrokers(t, []string{"prod"}, func(t *testing.T, w world) {
		hook := newWebhook(t)
		hook.set(func(a schemas.Alert) int {
			if a.Labels["name"] == "bad" {
				return http.StatusUnprocessableEntity
			}
			return 0
		})
		cfg := config(t, oneShotRules, hook)
		stop := w.start(t, cfg, testDeps(t))
		w.produce(t, document("prod", "e1", "BackOff", "bad", epoch), document("prod", "e2", "BackOff", "good", epoch))
		eventually(t, "the good page", func() bool { n, _ := hook.got(); return n == 1 })
		eventually(t, "the dead letter", func() bool { return len(w.read(t, w.topics.DeadLetter(""))) == 1 })
		deliveries := map[schemas.Delivery]int{}
		for _, r := range w.read(t, w.topics.Notifications()) {
			n, err := schemas.DecodeNotification(r.Value)
			require.NoError(t, err)
			deliveries[n.Delivery]++
		}
		assert.Equal(t, map[schemas.Delivery]int{schemas.DeliverySent: 1, schemas.DeliveryRefused: 1}, deliveries)

		// From the dead letter it can be sent anew, also while the process lives that was refused.
		hook.set(nil)
		letter := w.read(t, w.topics.DeadLetter(""))[0]
		again := &kgo.Record{Topic: w.topics.Alerts(), Key: letter.Key, Value: letter.Value}
		require.NoError(t, stream.Produce(t.Context(), w.kafka, stream.Deps{}, again))
		eventually(t, "the page sent anew", func() bool { n, _ := hook.got(); return n == 2 })
		require.NoError(t, stop())
	})
}

// TestTimersWaitForUnreadMatches has a decider start on old state with evidence unread: the quiet time is over by the clock, but
// the evidence says that it goes on.
func TestTimersWaitForUnreadMatches(t *testing.T) {
	onBrokers(t, []string{"prod"}, func(t *testing.T, w world) {
		hook := newWebhook(t)
		cfg := config(t, backoffRules, hook)
		stop := w.start(t, cfg, testDeps(t))
		w.produce(t, document("prod", "a1", "BackOff", "a", epoch), document("prod", "a2", "BackOff", "a", epoch), document("prod", "a3", "BackOff", "a", epoch))
		eventually(t, "the page", func() bool { n, _ := hook.got(); return n == 1 })
		require.NoError(t, stop())

		later := testDeps(t)
		later.Now = func() time.Time { return time.Now().Add(time.Hour) } // long after the quiet time
		matchOnly := cfg
		matchOnly.Decide, matchOnly.Notify = false, false
		w.produce(t, document("prod", "a4", "BackOff", "a", epoch.Add(time.Second)))
		stop = w.start(t, matchOnly, testDeps(t))
		eventually(t, "the match", func() bool { return len(w.read(t, w.topics.Matches())) == 4 })
		require.NoError(t, stop())
		w.start(t, cfg, later)
		eventually(t, "the evidence", func() bool {
			for _, s := range w.states(t) {
				return s.LastAt.Equal(epoch.Add(time.Second))
			}
			return false
		})
		eventually(t, "the resolve", func() bool { n, _ := hook.got(); return n == 2 })
		alerts := w.alerts(t)
		require.Len(t, alerts, 2, dump(alerts))
		assert.EqualValues(t, 4, alerts[1].Count, "the resolve came after the evidence was read")
	})
}

func TestTwoInstancesRebalance(t *testing.T) {
	clusters := []string{"c0", "c1", "c2", "c3", "c4", "c5"}
	onBrokers(t, clusters, func(t *testing.T, w world) {
		hook := newWebhook(t)
		cfg := config(t, backoffRules, hook)
		send := func(i int) {
			for _, c := range clusters {
				w.produce(t, document(c, fmt.Sprint(c, "-", i), "BackOff", "a", epoch.Add(time.Duration(i)*time.Second)))
			}
		}
		first := w.start(t, cfg, testDeps(t))
		send(0)
		eventually(t, "the first states", func() bool { return len(w.states(t)) == len(clusters) })
		second := w.start(t, cfg, testDeps(t))
		send(1)
		eventually(t, "the second matches", func() bool { return len(w.read(t, w.topics.Matches())) == 2*len(clusters) })
		require.NoError(t, first())
		send(2)
		eventually(t, "all pages and resolves", func() bool { n, _ := hook.got(); return n == 2*len(clusters) })
		require.NoError(t, second())
		alerts := w.alerts(t)
		assert.Len(t, alerts, 2*len(clusters), dump(alerts))
		_, repeats := hook.got()
		assert.Zero(t, repeats)
	})
}

// TestTheLogKeepsPagesSingle takes the notifier's offsets back, as a crash between the log and the commit does: what is in the log is
// not sent again, what is not in it is.
func TestTheLogKeepsPagesSingle(t *testing.T) {
	onBrokers(t, []string{"prod"}, func(t *testing.T, w world) {
		hook := newWebhook(t)
		cfg := config(t, oneShotRules, hook)
		const pods = 30
		for i := range pods {
			w.produce(t, document("prod", fmt.Sprint("e", i), "BackOff", fmt.Sprint("pod-", i), epoch))
		}
		stop := w.start(t, cfg, testDeps(t))
		eventually(t, "the pages", func() bool { n, _ := hook.got(); return n == pods })
		require.NoError(t, stop())

		cl, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Brokers...))
		require.NoError(t, err)
		defer cl.Close()
		back := kadm.Offsets{}
		for p := range int32(partitions) {
			back.AddOffset(w.topics.Alerts(), p, 0, -1)
		}
		require.NoError(t, kadm.NewClient(cl).CommitAllOffsets(t.Context(), w.kafka.Scoped(alerter.ReceiverGroup("hook")), back))
		log := w.read(t, w.topics.Notifications())
		require.Len(t, log, pods)
		lost := stream.ToPartition(&kgo.Record{Topic: w.topics.Notifications(), Key: log[0].Key}, log[0].Partition) // a tombstone
		require.NoError(t, stream.Produce(t.Context(), w.kafka, stream.Deps{}, lost))

		stop = w.start(t, cfg, testDeps(t))
		eventually(t, "the one page that the log does not know", func() bool { _, repeats := hook.got(); return repeats == 1 })
		eventually(t, "the commit", func() bool {
			done, err := stream.Drained(t.Context(), w.kafka, stream.Deps{}, alerter.ReceiverGroup("hook"), w.topics.Alerts())
			return err == nil && done
		})
		require.NoError(t, stop())
		pages, repeats := hook.got()
		assert.Equal(t, pods, pages)
		assert.Equal(t, 1, repeats)
	})
}
