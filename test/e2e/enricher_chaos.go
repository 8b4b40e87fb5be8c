package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

// What the chaos of the enrichers is made of.
const (
	enricherReplicas = 3
	enricherKills    = 10
	enricherRate     = 500 // observations a second
	enricherGone     = 20  // objects that no API server knows
)

var enricherChaos = Case{
	Name:  "enricher-chaos",
	About: "three enrichers under 500 events/s are killed in mid-transaction ten times and rebalanced: each document once, in order",
	Run:   runEnricherChaos,
}

// enricherChaosRun is the state of one run of the case.
type enricherChaosRun struct {
	*enriching
	feed     *feed
	replicas []*process
	kills    int
}

func runEnricherChaos(ctx context.Context, env *Env) (Figures, error) {
	e, err := startEnriching(ctx, env)
	if err != nil {
		return nil, err
	}
	r := &enricherChaosRun{enriching: e}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if err := r.drive(ctx); err != nil {
		return nil, err
	}
	return r.check(ctx)
}

// prepare makes the pods that the observations are about, and starts the replicas.
func (r *enricherChaosRun) prepare(ctx context.Context) error {
	err := errors.Join(
		r.apply(ctx, "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"),
		r.apply(ctx, deployment("web", "ok")+service("web", "web")+"---"+deployment("api", "ok")+"---"+deployment("cart", "crash")),
	)
	if err != nil {
		return err
	}
	if r.feed, err = r.newFeed(ctx, 6); err != nil {
		return err
	}
	for i := range enricherReplicas {
		p, err := r.enricher(fmt.Sprint("r", i+1))
		if err != nil {
			return err
		}
		r.replicas = append(r.replicas, p)
	}
	if err := r.command(ctx, "topics", "apply"); err != nil {
		return err
	}
	return started(ctx, r.replicas...)
}

// enricher prepares a replica with a name that it keeps; its transactional id ends in the process' name.
func (r *enricherChaosRun) enricher(instance string) (*process, error) {
	file, err := r.configureAs("enricher", "{instance: "+instance+"}")
	if err != nil {
		return nil, err
	}
	r.configFile = file
	own := r.path(instance + ".yaml")
	if err := copyFile(file, own); err != nil {
		return nil, err
	}
	return r.replica("enricher", "enricher-"+cluster+"-"+instance, own)
}

// drive kills the replicas in turn, each in the middle of a transaction, and has one more come and go.
func (r *enricherChaosRun) drive(ctx context.Context) error {
	feeding, stop := context.WithCancel(ctx)
	fed := make(chan error, 1)
	go func() { fed <- r.feed.run(feeding, enricherRate) }()
	err := r.blows(ctx)
	stop()
	if err := errors.Join(err, <-fed); err != nil {
		return err
	}
	r.logf("%d observations written", r.feed.count())
	return r.caughtUp(ctx, r.feed.count())
}

func (r *enricherChaosRun) blows(ctx context.Context) error {
	if err := r.caughtUp(ctx, enricherRate); err != nil {
		return err
	}
	var guest *process
	for i := range enricherKills {
		v := r.replicas[i%len(r.replicas)]
		// In flight is what is in an open transaction of this very replica.
		err := r.killInFlight(ctx, victim{
			process: v,
			mark:    func(context.Context) (any, error) { return nil, nil },
			backlog: func(context.Context, any) (int64, error) { return 0, nil },
		})
		if err != nil {
			return err
		}
		r.kills++
		written := r.feed.count()
		if err := started(ctx, v); err != nil {
			return err
		}
		switch i {
		case 3:
			if guest, err = r.enricher("guest"); err != nil {
				return err
			}
			err = started(ctx, guest)
			r.logf("a fourth enricher joins")
		case 6:
			r.logf("the fourth enricher leaves")
			err = guest.stop()
		}
		if err != nil {
			return err
		}
		killed := time.Now()
		if err := r.caughtUp(ctx, written); err != nil {
			return fmt.Errorf("after killing %s: %w", v.name, err)
		}
		r.logf("kill %d: caught up after %.1f s", i+1, time.Since(killed).Seconds())
	}
	return nil
}

// caughtUp waits until at least n documents can be read; markers of transactions make more offsets, so it counts records.
func (r *enricherChaosRun) caughtUp(ctx context.Context, n int) error {
	wait, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		ends, err := r.broker.ends(wait, r.topics.Events(cluster))
		if err != nil {
			return err
		}
		left, err := r.broker.unread(wait, "kubescribe-enricher-"+cluster, ends)
		if err != nil {
			return err
		}
		if r.feed.count()-int(left) >= n {
			return nil
		}
		if err := pause(wait, 200*time.Millisecond); err != nil {
			return fmt.Errorf("%d observations are not enriched: %w\n%s", left, err, tail(r.replicas[0].logs))
		}
	}
}

// check reads what is committed and compares it with what was written, per key in order.
func (r *enricherChaosRun) check(ctx context.Context) (Figures, error) {
	var errs []error
	for _, p := range r.replicas {
		errs = append(errs, p.stop())
	}
	written := r.feed.written()
	got := map[string][]string{} // key → ids in the order of the partition
	complete := 0
	err := r.broker.read(ctx, func(rec *kgo.Record) error {
		d, err := schemas.DecodeDocument(rec.Value)
		if err != nil {
			return err
		}
		if d.Kubescribe.Enrichment.Status == schemas.EnrichmentComplete {
			complete++
		}
		got[string(rec.Key)] = append(got[string(rec.Key)], d.Event.ID)
		return nil
	}, r.topics.Enriched(cluster))
	if err != nil {
		return nil, err
	}
	letters, err := r.broker.ids(ctx, r.topics.DeadLetter(cluster))
	if err != nil {
		return nil, err
	}
	records, lost, duplicated, disordered := 0, 0, 0, 0
	for key, want := range written {
		l, d, o := compareOrder(want, got[key])
		records, lost, duplicated, disordered = records+len(want), lost+l, duplicated+d, disordered+o
		delete(got, key)
	}
	for _, ids := range got {
		duplicated += len(ids) // of keys that nobody wrote
	}
	figures := Figures{
		{"records", records},
		{"kills_in_flight", r.kills},
		{"lost", lost},
		{"duplicated", duplicated},
		{"disordered", disordered},
		{"rate", r.feed.rate()},
		{"complete", complete},
	}
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(r.kills == enricherKills, "%d kills in flight, want %d", r.kills, enricherKills)
	must(lost+duplicated+disordered == 0, "lost %d, duplicated %d, disordered %d", lost, duplicated, disordered)
	must(len(letters) == 0, "%d observations are in the dead letter", len(letters))
	must(r.feed.rate() >= 0.95*enricherRate, "only %.0f observations a second, want %d", r.feed.rate(), enricherRate)
	must(complete > 0, "no document has its context")
	return figures, errors.Join(errs...)
}

// compareOrder counts, of one key, what is missing from got, what is in it too often, and where an earlier one follows a later one.
func compareOrder(want, got []string) (lost, duplicated, disordered int) {
	place := make(map[string]int, len(want))
	for i, id := range want {
		place[id] = i
	}
	seen := map[string]bool{}
	last := -1
	for _, id := range got {
		i, wanted := place[id]
		if !wanted || seen[id] {
			duplicated++
			continue
		}
		seen[id] = true
		if i < last {
			disordered++
		}
		last = max(last, i)
	}
	return len(want) - len(seen), duplicated, disordered
}

// feed writes observations about the pods of a namespace, and about objects that no API server knows.
type feed struct {
	client   *kgo.Client
	topic    string
	cluster  schemas.Cluster
	subjects []schemas.Subject

	mu    sync.Mutex
	ids   map[string][]string // by key, in the order of writing
	n     int
	began time.Time
	ended time.Time
}

// newFeed waits for n pods with a node.
func (r *enricherChaosRun) newFeed(ctx context.Context, n int) (*feed, error) {
	f := &feed{
		topic: r.topics.Events(cluster), cluster: schemas.Cluster{Name: cluster, UID: schemas.RecordingClusterUID(cluster)}, ids: map[string][]string{},
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for len(f.subjects) < n {
		pods, err := r.client.CoreV1().Pods("shop").List(wait, metav1.ListOptions{FieldSelector: "spec.nodeName!="})
		if err != nil {
			return nil, err
		}
		f.subjects = nil
		for i := range pods.Items {
			f.subjects = append(f.subjects, podSubject(&pods.Items[i]))
		}
		if err := pause(wait, 100*time.Millisecond); err != nil {
			return nil, fmt.Errorf("there are %d pods, want %d: %w", len(f.subjects), n, err)
		}
	}
	for i := range enricherGone {
		name := fmt.Sprint("gone-", i)
		f.subjects = append(f.subjects, schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: name, UID: name})
	}
	var err error
	f.client, err = kgo.NewClient(kgo.SeedBrokers(r.kafka.Bootstrap))
	if err == nil {
		r.onClose(f.client.Close)
	}
	return f, err
}

func podSubject(p *corev1.Pod) schemas.Subject {
	return schemas.Subject{
		APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), ResourceVersion: p.ResourceVersion,
		FieldPath: "spec.containers{main}",
	}
}

// run writes rate observations a second until ctx ends.
func (f *feed) run(ctx context.Context, rate int) error {
	f.began = time.Now()
	for {
		// What is due by now, so that a slow machine does not make it fewer.
		due := int(time.Since(f.began).Seconds() * float64(rate))
		var batch []*kgo.Record
		var keys, ids []string
		for n := f.count(); n+len(batch) < due; {
			rec, key, id, err := f.record(n + len(batch))
			if err != nil {
				return err
			}
			batch, keys, ids = append(batch, rec), append(keys, key), append(ids, id)
		}
		if err := f.client.ProduceSync(context.WithoutCancel(ctx), batch...).FirstErr(); err != nil {
			return fmt.Errorf("writing observations: %w", err)
		}
		f.mu.Lock()
		for i, key := range keys {
			f.ids[key] = append(f.ids[key], ids[i])
		}
		f.n += len(ids)
		f.ended = time.Now()
		f.mu.Unlock()
		if pause(ctx, 50*time.Millisecond) != nil {
			return nil //nolint:nilerr // told to stop
		}
	}
}

// record is the nth observation.
func (f *feed) record(n int) (rec *kgo.Record, key, id string, err error) {
	s := f.subjects[n%len(f.subjects)]
	payload, err := json.Marshal(map[string]any{
		"metadata":       map[string]any{"name": fmt.Sprint("chaos.", n), "namespace": "shop", "uid": fmt.Sprint("chaos-", n), "resourceVersion": fmt.Sprint(n + 1)},
		"involvedObject": s, "reason": "Chaos", "message": fmt.Sprintf("observation %d of the end-to-end test", n), "type": "Normal", "count": 1,
	})
	if err != nil {
		return nil, "", "", err
	}
	o := schemas.Observation{
		ID: schemas.EventID(f.cluster.UID, 0, fmt.Sprint("chaos-", n), fmt.Sprint(n+1)), Type: schemas.TypeEvent, Cluster: f.cluster,
		Source: schemas.SourceEvents, Subject: s, Payload: payload,
	}
	now := time.Now()
	o.SetTime(now, now)
	value, err := json.Marshal(&o)
	if err != nil {
		return nil, "", "", err
	}
	rec = &kgo.Record{Topic: f.topic, Key: []byte(s.Key()), Value: value}
	for _, h := range o.Event().Headers() {
		rec.Headers = append(rec.Headers, kgo.RecordHeader(h))
	}
	return rec, s.Key(), o.ID, nil
}

func (f *feed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *feed) written() map[string][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ids
}

func (f *feed) rate() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return float64(f.n) / f.ended.Sub(f.began).Seconds()
}
