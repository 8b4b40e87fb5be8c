package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
	"kubescribe/test/stack"
)

var alerterReplay = Case{
	Name:  "alerter-replay",
	About: "rules replay over the recorded topic gives the alerts that the live run gave, and leaves no trace",
	Run: func(ctx context.Context, env *Env) (Figures, error) {
		r := &replayRun{Env: env, topics: schemas.Topics{Prefix: schemas.DefaultTopicPrefix}}
		err := r.run(ctx)
		return r.figures(), err
	},
}

// replayClusters are the clusters whose documents are played; their decider is one process.
var replayClusters = []string{"c0", "c1", "c2"}

type replayRun struct {
	*Env
	topics schemas.Topics

	documents, live, replayed, missing, extra, resolved, muted int
	topicsBefore, topicsAfter                                  int64
}

func (r *replayRun) figures() Figures {
	return Figures{
		{"documents", r.documents},
		{"alerts_live", r.live},
		{"alerts_replayed", r.replayed},
		{"resolved", r.resolved},
		{"muted", r.muted},
		{"missing", r.missing},
		{"extra", r.extra},
		{"records_written", r.topicsAfter - r.topicsBefore},
	}
}

// Which alerts of a storm are sent before it is one depends on the order in which partitions are read; so there are no storms here.
const replayRules = `
groups:
  - name: e2e
    rules:
      - alert: CrashLoop
        expr: reason == "BackOff"
        group_by: [namespace, workload]
        count: {at_least: 3, within: 5m}
        dedup: 30m
        resolve: {after: 10m, when: 'reason == "Started"'}
        storm: none
      - alert: Killed
        expr: reason == "Killing"
        group_by: [namespace, workload]
        dedup: 1h
        resolve: {after: 5s}
        storm: none
      - alert: NodeNotReady
        expr: kind == "Node" and reason == "NodeNotReady"
        group_by: [node]
        dedup: 1h
        inhibit: [{alerts: [Killed], equal: [node]}]
        storm: none
`

func (r *replayRun) run(ctx context.Context) error {
	if err := r.start(ctx); err != nil {
		return err
	}
	began := time.Now()
	p, err := r.service("alerter")
	if err != nil {
		return err
	}
	if err := errors.Join(p.start(), p.waitReady(ctx)); err != nil {
		return err
	}
	if err := r.produce(ctx); err != nil {
		return errors.Join(err, errors.New(tail(p.logs)))
	}
	live, err := r.awaitLive(ctx)
	if err != nil {
		return errors.Join(err, errors.New(tail(p.logs)))
	}
	if err := p.stop(); err != nil {
		return err
	}
	r.live = len(live)
	if r.topicsBefore, err = r.written(ctx); err != nil {
		return err
	}
	replayed, err := r.replay(ctx, began)
	if err != nil {
		return err
	}
	r.replayed = len(replayed)
	if r.topicsAfter, err = r.written(ctx); err != nil {
		return err
	}
	return r.compare(live, replayed)
}

func (r *replayRun) start(ctx context.Context) (err error) {
	if r.kafka, err = stack.StartKafka(ctx, r.path("kafka")); err != nil {
		return err
	}
	r.onClose(func() { _ = r.kafka.Stop() })
	if r.broker, err = newBroker(r.kafka.Bootstrap); err != nil {
		return err
	}
	r.onClose(r.broker.close)
	r.configFile = r.path("kubescribe.yaml")
	return errors.Join(
		os.MkdirAll(r.path("rules"), 0o750),
		os.WriteFile(r.path("rules", "e2e.yaml"), []byte(replayRules), 0o600),
		os.WriteFile(r.configFile, fmt.Appendf(nil, `
cluster: %s
log: {level: info, format: text}
kafka: {brokers: [%q]}
topics: {partitions: 4, replication: 1}
alerter: {rules: %q, instance: e2e}
`, strings.Join(replayClusters, ","), r.kafka.Bootstrap, r.path("rules")), 0o600),
		r.command(ctx, "topics", "apply"),
	)
}

// produce writes a history as a cluster does, a step after the other, each in the order of time: pods that loop, are killed, start well
// and loop again, some records twice, over three hours of event time.
func (r *replayRun) produce(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Bootstrap))
	if err != nil {
		return err
	}
	defer cl.Close()
	h := &replayHistory{topics: r.topics, rng: rand.New(rand.NewPCG(7, 7)), start: time.Now().Add(-3 * time.Hour).UTC().Truncate(time.Second)} //nolint:gosec // the same each time
	for i := range replaySteps {
		records, err := h.step(i)
		if err != nil {
			return err
		}
		r.documents += len(records)
		if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		// What happens in one partition before it happens in another is read before it only if there is time between.
		if i%10 == 0 || i == downStep {
			if err := r.through(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// through waits until the alerter has matched and decided everything.
func (r *replayRun) through(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		n, err := r.unread(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the alerter is not through: %d unread: %w", n, err)
		}
	}
}

// alertKey is what must be the same of an alert.
type alertKey struct {
	cluster, fingerprint string
	status               schemas.AlertStatus
	starts, ends         int64
	muted                bool
}

func keyOf(a schemas.Alert) alertKey {
	return alertKey{a.Cluster, a.Fingerprint, a.Status, a.StartsAt.UnixNano(), a.EndsAt.UnixNano(), a.MutedBy != ""}
}

// awaitLive waits until the alerter has read everything and the short quiet time of one rule is over, and returns the alerts.
func (r *replayRun) awaitLive(ctx context.Context) ([]schemas.Alert, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	settled, last := time.Now(), -1
	for {
		alerts, err := r.alerts(ctx)
		if err != nil {
			return nil, err
		}
		if len(alerts) != last {
			settled, last = time.Now(), len(alerts)
		}
		unread, err := r.unread(ctx)
		if err != nil {
			return nil, err
		}
		// The killed ones resolve five seconds after they were read; all other quiet times are too long for this case.
		if last > 0 && unread == 0 && time.Since(settled) > 12*time.Second {
			return alerts, nil
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return nil, fmt.Errorf("the alerter is not through: %d alerts, %d unread: %w", last, unread, err)
		}
	}
}

func (r *replayRun) unread(ctx context.Context) (int64, error) {
	var topics []string
	for _, c := range replayClusters {
		topics = append(topics, r.topics.Enriched(c))
	}
	var n int64
	for group, of := range map[string][]string{"kubescribe-matcher": topics, "kubescribe-decider": {r.topics.Matches()}} {
		ends, err := r.broker.ends(ctx, of...)
		if err != nil {
			return 0, err
		}
		left, err := r.broker.unread(ctx, group, ends)
		if err != nil {
			return 0, err
		}
		n += left
	}
	return n, nil
}

func (r *replayRun) alerts(ctx context.Context) ([]schemas.Alert, error) {
	var all []schemas.Alert
	err := r.broker.read(ctx, func(rec *kgo.Record) error {
		a, err := schemas.DecodeAlert(rec.Value)
		if err == nil {
			all = append(all, *a)
		}
		return err
	}, r.topics.Alerts())
	return all, err
}

// written is how many records all topics hold: a replay adds none.
func (r *replayRun) written(ctx context.Context) (int64, error) {
	ends, err := r.broker.admin.ListEndOffsets(ctx)
	if err != nil {
		return 0, fmt.Errorf("listing ends: %w", err)
	}
	var n int64
	for topic, partitions := range ends {
		if strings.HasPrefix(topic, "__") {
			continue
		}
		for _, e := range partitions {
			n += e.Offset
		}
	}
	return n, nil
}

func (r *replayRun) replay(ctx context.Context, began time.Time) ([]schemas.Alert, error) {
	out, err := exec.CommandContext(ctx, r.binary, "rules", "replay", r.path("rules"), "--config", r.configFile, "--brokers", r.kafka.Bootstrap,
		"--since", began.Add(-time.Minute).UTC().Format(time.RFC3339), "-o", "json").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("rules replay: %w\n%s", err, exit.Stderr)
		}
		return nil, err
	}
	var report struct {
		Documents int             `json:"documents"`
		Alerts    []schemas.Alert `json:"alerts"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("decoding the report: %w", err)
	}
	if report.Documents != r.documents {
		return nil, fmt.Errorf("the replay read %d of %d documents", report.Documents, r.documents)
	}
	return report.Alerts, nil
}

func (r *replayRun) compare(live, replayed []schemas.Alert) error {
	left := map[alertKey]int{}
	for _, a := range live {
		left[keyOf(a)]++
		if a.Status == schemas.AlertResolved {
			r.resolved++
		}
		if a.MutedBy != "" {
			r.muted++
		}
	}
	var unknown []string
	for _, a := range replayed {
		if left[keyOf(a)]--; left[keyOf(a)] < 0 {
			r.extra++
			unknown = append(unknown, fmt.Sprintf("only replayed: %s %s %s %s to %s", a.Cluster, a.Rule, a.Status, a.StartsAt, a.EndsAt))
		}
	}
	for k, n := range left {
		if n > 0 {
			r.missing += n
			unknown = append(unknown, fmt.Sprintf("only live: %+v", k))
		}
	}
	slices.Sort(unknown)
	switch {
	case r.missing+r.extra > 0:
		return fmt.Errorf("the replay differs from the live run:\n%s", strings.Join(unknown[:min(len(unknown), 20)], "\n"))
	case r.topicsAfter != r.topicsBefore:
		return fmt.Errorf("the replay wrote %d records", r.topicsAfter-r.topicsBefore)
	case r.live == 0 || r.resolved == 0 || r.muted == 0:
		return fmt.Errorf("the history proves nothing: %d alerts, %d resolved, %d muted", r.live, r.resolved, r.muted)
	}
	return nil
}
