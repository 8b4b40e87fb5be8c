package e2e

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
	"kubescribe/test/stack"
)

const (
	gapsTTL      = 10 * time.Second // of Events
	gapsSilences = 60               // of a second each
)

var producerGaps = Case{
	Name:  "producer-gaps",
	About: "silence and compaction make no gap; an outage longer than the events' TTL makes a certain one; a restored etcd makes one and a new epoch",
	Run:   runGaps,
}

// gapsRun is the state of one run of the case.
type gapsRun struct {
	*watched
	producer *process
	start    uint64 // the committed resourceVersion at the start
	errs     []error
}

func (g *gapsRun) must(ok bool, format string, args ...any) {
	if !ok {
		g.errs = append(g.errs, fmt.Errorf(format, args...))
	}
}

func runGaps(ctx context.Context, env *Env) (Figures, error) {
	w, err := startWatched(ctx, env, 1, stack.WithEventTTL(gapsTTL))
	if err != nil {
		return nil, err
	}
	g := &gapsRun{watched: w}
	for _, c := range []string{"kwok", "kube-scheduler", "kube-controller-manager"} { // nobody else may write Events
		if err := g.kube.Kill(c); err != nil {
			return nil, err
		}
	}
	section := fmt.Sprintf("{event_ttl: %s, silence: 1s, lease: {enabled: false}, containers: {enabled: false}}", gapsTTL)
	if err := g.configureProducer(ctx, section); err != nil {
		return nil, err
	}
	if err := g.startProducers(ctx, 1); err != nil {
		return nil, err
	}
	g.producer = g.producers[0]
	if g.start, err = g.checkpoint(ctx, g.topics); err != nil {
		return nil, err
	}
	silences, err := g.silence(ctx)
	if err != nil {
		return nil, err
	}
	certain, err := g.outage(ctx)
	if err != nil {
		return nil, err
	}
	epoch, err := g.restore(ctx)
	if err != nil {
		return nil, err
	}
	_, gaps, err := g.rawTopic(ctx)
	if err != nil {
		return nil, err
	}
	g.must(len(gaps) == 2, "%d gaps in all, want one of the outage and one of the restore", len(gaps))
	return Figures{{"silences", silences}, {"gaps_of_silence", 0}, {"certain_gaps", certain}, {"regressions", epoch}, {"gaps", len(gaps)}},
		errors.Join(append(g.errs, g.producer.stop())...)
}

// silence lets the producer hear nothing for many intervals, with etcd compacted in each.
func (g *gapsRun) silence(ctx context.Context) (int, error) {
	g.logf("silence: %d intervals with a compaction each", gapsSilences)
	wait, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	first, err := gauge(wait, g.producer, silenceLists)
	if err != nil {
		first = 0 // none yet
	}
	heard, compactions := 0, 0
	for heard < gapsSilences {
		at, err := gauge(wait, g.producer, silenceLists)
		if err == nil && int(at-first) > heard || compactions == 0 {
			heard = int(max(0, at-first))
			if err := g.elsewhere(wait); err != nil {
				return heard, err
			}
			if _, err := stack.CompactEtcd(wait, g.kube.EtcdEndpoint); err != nil {
				return heard, err
			}
			compactions++
		}
		if err := pause(wait, 20*time.Millisecond); err != nil {
			return heard, fmt.Errorf("only %d silences: %w\n%s", heard, err, tail(g.producer.logs))
		}
	}
	if err := g.eventSeen(ctx, "after-silence"); err != nil {
		return heard, err
	}
	_, gaps, err := g.rawTopic(ctx)
	g.must(len(gaps) == 0, "%d gaps after %d silences, want none", len(gaps), heard)
	g.must(compactions >= gapsSilences, "only %d compactions", compactions)
	return heard, err
}

const silenceLists = `kubescribe_producer_lists_total{cause="silence",source="events"}`

// elsewhere writes something that is no Event, so that etcd has a new revision.
func (g *gapsRun) elsewhere(ctx context.Context) error {
	_, err := g.client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "elsewhere-"}}, metav1.CreateOptions{})
	return err
}

// eventSeen writes an Event and returns when the committed checkpoint covers it.
func (g *gapsRun) eventSeen(ctx context.Context, name string) error {
	rv, err := g.write(ctx, name)
	if err == nil {
		_, err = g.reached(ctx, rv)
	}
	return err
}

// write writes an Event and returns its resourceVersion.
func (g *gapsRun) write(ctx context.Context, name string) (uint64, error) {
	now := metav1.Now()
	e, err := g.client.CoreV1().Events("default").Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: name, Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "pod"},
		Type:           corev1.EventTypeNormal, Reason: "Gaps", Message: name, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: "e2e"},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("writing an Event: %w", err)
	}
	return strconv.ParseUint(e.ResourceVersion, 10, 64)
}

func (g *gapsRun) events(ctx context.Context, prefix string, n int) error {
	for i := range n {
		if _, err := g.write(ctx, fmt.Sprintf("%s-%d", prefix, i)); err != nil {
			return err
		}
	}
	return nil
}

// outage keeps the producer away for longer than Events live, and looks at the gap that it writes down.
func (g *gapsRun) outage(ctx context.Context) (int, error) {
	g.logf("outage: %s and more", gapsTTL)
	if err := g.producer.kill(); err != nil {
		return 0, err
	}
	before, err := g.lastCheckpoint(ctx)
	if err != nil {
		return 0, err
	}
	stopped := time.Now()
	if err := g.events(ctx, "vanished", 19); err != nil {
		return 0, err
	}
	vanished, err := g.write(ctx, "vanished-last")
	if err != nil {
		return 0, err
	}
	if err := g.gone(ctx, vanished); err != nil {
		return 0, err
	}
	if err := pause(ctx, time.Until(stopped.Add(gapsTTL+2*time.Second))); err != nil {
		return 0, err
	}
	if err := g.events(ctx, "still-there", 5); err != nil {
		return 0, err
	}
	if _, err := stack.CompactEtcd(ctx, g.kube.EtcdEndpoint); err != nil {
		return 0, err
	}
	started := time.Now()
	if err := g.restart(ctx); err != nil {
		return 0, err
	}
	if err := g.eventSeen(ctx, "after-outage"); err != nil {
		return 0, err
	}
	v, err := g.compareWithEtcd(ctx, g.start)
	if err != nil {
		return 0, err
	}
	g.must(len(v.gaps) == 1, "%d gaps after the outage, want one", len(v.gaps))
	g.must(v.duplicated == 0, "%d revisions twice", v.duplicated)
	g.must(len(v.superseded) >= 20, "%d revisions went in the gap, want the 20 that vanished", len(v.superseded))
	g.must(len(v.lost) == 0, "lost: %q", v.lost)
	for _, b := range v.gaps {
		gap := b.gap
		g.must(gap.Certainty == schemas.GapCertain && gap.Cause == schemas.GapExpired, "the gap is %s and %s", gap.Certainty, gap.Cause)
		g.must(gap.From.Equal(before.ObservedAt), "the gap is from %s, the checkpoint of %s", gap.From, before.ObservedAt)
		g.must(!gap.From.After(stopped), "the gap is from %s, the producer was stopped at %s", gap.From, stopped)
		g.must(gap.To.After(started) && gap.To.Before(time.Now()), "the gap is to %s, the producer came back at %s", gap.To, started)
		g.must(gap.CheckpointRV == before.RV, "the gap is after %s, the checkpoint at %s", gap.CheckpointRV, before.RV)
		g.must(gap.ListedNewer == 5, "%d were listed, want the 5 that are still there", gap.ListedNewer)
	}
	return len(v.gaps), nil
}

// gone returns when every Event up to rv has expired.
func (g *gapsRun) gone(ctx context.Context, rv uint64) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		happened, err := g.ref.chronicle()
		if err != nil {
			return err
		}
		alive := map[string]bool{}
		complete := false
		for _, c := range happened {
			complete = complete || c.rv >= rv
			if c.deleted {
				delete(alive, c.uid)
			} else if c.rv <= rv {
				alive[c.uid] = true
			}
		}
		if complete && len(alive) == 0 {
			return nil
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%d Events do not expire: %w", len(alive), err)
		}
	}
}

func (g *gapsRun) restart(ctx context.Context) error {
	if err := g.producer.start(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return g.producer.waitReady(wait)
}

func (g *gapsRun) lastCheckpoint(ctx context.Context) (*schemas.Checkpoint, error) {
	var last *schemas.Checkpoint
	err := g.broker.read(ctx, func(r *kgo.Record) (err error) {
		if string(r.Key) == schemas.CheckpointKey(schemas.SourceEvents) {
			last, err = schemas.DecodeCheckpoint(r.Value)
		}
		return err
	}, g.topics.Checkpoints(cluster))
	if err == nil && last == nil {
		err = errors.New("there is no checkpoint")
	}
	return last, err
}

// restore brings back an older etcd under the running producer.
func (g *gapsRun) restore(ctx context.Context) (int, error) {
	g.logf("restore: an older etcd under the running producer")
	if err := g.events(ctx, "backed-up", 10); err != nil {
		return 0, err
	}
	restore, err := g.kube.BackupEtcd(ctx)
	if err != nil {
		return 0, err
	}
	if err := g.events(ctx, "forgotten", 400); err != nil {
		return 0, err
	}
	if err := g.seen(ctx, "forgotten", 400); err != nil {
		return 0, err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // Events' times are whole seconds
		return 0, err
	}
	if err := restore(ctx); err != nil {
		return 0, err
	}
	if err := g.events(ctx, "new", 20); err != nil {
		return 0, err
	}
	if err := g.seen(ctx, "new", 20); err != nil {
		return 0, err
	}
	cp, err := g.lastCheckpoint(ctx)
	if err != nil {
		return 0, err
	}
	g.must(cp.Epoch == 1, "the epoch is %d, want 1", cp.Epoch)
	found, gaps, err := g.rawTopic(ctx)
	if err != nil {
		return 0, err
	}
	regressions, twice, epochs := 0, map[string]int{}, map[int64]int{}
	for _, b := range gaps {
		if b.gap.Cause == schemas.GapRegression {
			regressions++
			g.must(b.gap.Epoch == 1 && b.gap.From.Before(b.gap.To), "the gap is of epoch %d, from %s to %s", b.gap.Epoch, b.gap.From, b.gap.To)
		}
	}
	for _, o := range found {
		id := fmt.Sprint(o.epoch, "/", o.revisionID)
		twice[id]++
		g.must(twice[id] < 2, "%s is there twice", id)
		epochs[o.epoch]++
	}
	g.must(regressions == 1, "%d gaps of a regression, want one", regressions)
	g.must(epochs[1] == 20, "%d revisions in the new epoch, want the 20 new ones and none of the restored", epochs[1])
	return regressions, nil
}

// seen returns when n Events whose names begin with prefix are in the topic.
func (g *gapsRun) seen(ctx context.Context, prefix string, n int) error {
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		names := map[string]bool{}
		err := g.broker.read(wait, func(r *kgo.Record) error {
			if i := strings.Index(string(r.Value), `"message":"`+prefix+"-"); i >= 0 {
				name, _, _ := strings.Cut(string(r.Value)[i+len(`"message":"`):], `"`)
				names[name] = true
			}
			return nil
		}, g.topics.Events(cluster))
		if err == nil && len(names) >= n {
			return nil
		}
		if p := pause(wait, 200*time.Millisecond); p != nil {
			return fmt.Errorf("%d of %d Events %s are in the topic: %w\n%s", len(names), n, prefix, errors.Join(err, p), tail(g.producer.logs))
		}
	}
}
