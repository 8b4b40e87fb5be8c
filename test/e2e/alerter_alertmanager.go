package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"kubescribe/schemas"
	"kubescribe/test/stack"
)

var alerterAlertmanager = Case{
	Name:  "alerter-alertmanager",
	About: "a real Alertmanager shows an alert, keeps it through a kill of the alerter for longer than it would by itself, and resolves it",
	Run: func(ctx context.Context, env *Env) (Figures, error) {
		r := &alertmanagerRun{Env: env, topics: schemas.Topics{Prefix: schemas.DefaultTopicPrefix}}
		err := r.run(ctx)
		return r.figures(), err
	},
}

const (
	// Alertmanager is told every amRepost, and forgets what it hears nothing of for five times that.
	amRepost = 5 * time.Second
	amHold   = 5 * amRepost
	// amKeep is how long the case looks; amQuiet is the rule's resolve time, longer than that.
	amKeep  = 2 * amHold
	amQuiet = 90 * time.Second
)

const alertmanagerRules = `
groups:
  - name: e2e
    rules:
      - alert: CrashLoop
        expr: reason == "BackOff"
        group_by: [namespace, workload]
        count: {at_least: 3, within: 5m}
        dedup: 1h
        resolve: {after: 90s}
        labels: {severity: page}
        annotations: {summary: "{{ .Workload }} crashes", runbook: "look"}
`

// amConfig makes Alertmanager tell at once, so that what it tells can be counted.
const amConfig = `
route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: %q, send_resolved: true}]}]
`

type alertmanagerRun struct {
	*Env
	topics schemas.Topics
	am     *stack.Alertmanager
	told   amHook
	first  time.Time // event time of the first document

	shownAfter, keptFor, resolvedAfter time.Duration
	looks, kills                       int
}

func (r *alertmanagerRun) figures() Figures {
	firing, resolved := r.told.count()
	return Figures{
		{"shown_after_s", r.shownAfter.Seconds()},
		{"kept_s", r.keptFor.Seconds()},
		{"forgets_after_s", amHold.Seconds()},
		{"looks", r.looks},
		{"kills", r.kills},
		{"told_firing", firing},
		{"told_resolved", resolved},
		{"resolved_after_s", r.resolvedAfter.Seconds()},
	}
}

func (r *alertmanagerRun) run(ctx context.Context) error {
	if err := r.start(ctx); err != nil {
		return err
	}
	p, err := r.service("alerter")
	if err != nil {
		return err
	}
	if err := errors.Join(p.start(), p.waitReady(ctx)); err != nil {
		return err
	}
	r.first = time.Now().Add(-10 * time.Second).UTC().Truncate(time.Second)
	produced := time.Now()
	if err := r.produce(ctx, 3); err != nil {
		return err
	}
	shown, err := r.awaitShown(ctx)
	if err != nil {
		return err
	}
	r.shownAfter = time.Since(produced)
	r.logf("Alertmanager shows the alert after %.1f s", r.shownAfter.Seconds())
	if err := r.check(shown); err != nil {
		return err
	}
	if err := r.keep(ctx, p); err != nil {
		return err
	}
	return r.resolve(ctx, p)
}

func (r *alertmanagerRun) start(ctx context.Context) error {
	if err := stack.Prepare(ctx, stack.PartKafka, stack.PartAlertmanager); err != nil {
		return err
	}
	hook, err := r.told.serve()
	if err != nil {
		return err
	}
	r.onClose(r.told.close)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if r.kafka, err = stack.StartKafka(gctx, r.path("kafka")); err == nil {
			r.onClose(func() { _ = r.kafka.Stop() })
		}
		return err
	})
	g.Go(func() (err error) {
		if r.am, err = stack.StartAlertmanager(gctx, r.path("alertmanager"), fmt.Sprintf(amConfig, hook)); err == nil {
			r.onClose(func() { _ = r.am.Stop() })
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	r.logf("kafka %s, alertmanager %s", r.kafka.Bootstrap, r.am.URL)
	r.configFile = r.path("kubescribe.yaml")
	return errors.Join(
		os.MkdirAll(r.path("rules"), 0o750),
		os.WriteFile(r.path("rules", "e2e.yaml"), []byte(alertmanagerRules), 0o600),
		os.WriteFile(r.configFile, fmt.Appendf(nil, `
cluster: %s
log: {level: info, format: text}
kafka: {brokers: [%q]}
topics: {partitions: 3, replication: 1}
alerter:
  rules: %q
  instance: e2e
  default_receivers: [am]
  links: {explorer: "http://explorer.example"}
  receivers:
  - {name: am, type: alertmanager, url: %q, repost_interval: %s}
`, cluster, r.kafka.Bootstrap, r.path("rules"), r.am.URL, amRepost), 0o600),
		r.command(ctx, "topics", "apply"),
	)
}

// produce writes n back-offs of one pod, a second apart.
func (r *alertmanagerRun) produce(ctx context.Context, n int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Bootstrap), kgo.DefaultProduceTopic(r.topics.Enriched(cluster)))
	if err != nil {
		return err
	}
	defer cl.Close()
	var records []*kgo.Record
	for i := range n {
		d := &schemas.Document{Timestamp: r.first.Add(time.Duration(i) * time.Second), Message: "Back-off restarting failed container main in pod web-1"}
		d.Event.ID, d.Event.Action, d.Event.Created = fmt.Sprintf("uid/0/web/%d", i), "BackOff", time.Now().UTC()
		d.Orchestrator.Cluster.Name, d.Kubernetes.Namespace = cluster, "shop"
		d.Kubernetes.Event = &schemas.KubernetesEvent{
			Type: "Warning", Reason: "BackOff", InvolvedObject: schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web-1"},
		}
		d.Kubescribe.Type, d.Kubescribe.Class = schemas.TypeEvent, schemas.ClassWarning
		d.Kubescribe.Workload = &schemas.Owner{Kind: "Deployment", Name: "web"}
		d.Error = &schemas.ErrorInfo{Code: "1", StackTrace: "panic: no database\n"}
		value, err := d.Encode()
		if err != nil {
			return err
		}
		rec := &kgo.Record{Key: []byte(d.Kubernetes.Event.InvolvedObject.Key()), Value: value}
		for _, h := range d.Headers() {
			rec.Headers = append(rec.Headers, kgo.RecordHeader(h))
		}
		records = append(records, rec)
	}
	return cl.ProduceSync(ctx, records...).FirstErr()
}

func (r *alertmanagerRun) awaitShown(ctx context.Context) (amAlert, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		all, err := r.shown(ctx)
		if err == nil && len(all) == 1 {
			return all[0], nil
		}
		if perr := pause(ctx, 100*time.Millisecond); perr != nil {
			return amAlert{}, errors.Join(fmt.Errorf("alertmanager shows %d alerts, not one", len(all)), err, perr, errors.New(r.am.Log(10)))
		}
	}
}

// check compares what Alertmanager shows with what was written.
func (r *alertmanagerRun) check(a amAlert) error {
	var errs []error
	bad := func(what string, got, want any) { errs = append(errs, fmt.Errorf("%s is %v, not %v", what, got, want)) }
	for k, want := range map[string]string{
		"alertname": "CrashLoop", "cluster": cluster, "namespace": "shop", "workload": "Deployment/web", "severity": "page",
	} {
		if a.Labels[k] != want {
			bad("label "+k, a.Labels[k], want)
		}
	}
	for k, want := range map[string]string{
		"summary": "Deployment/web crashes", "runbook": "look", "log": "panic: no database", "owner": "Deployment/web", "exit_code": "1",
	} {
		if a.Annotations[k] != want {
			bad("annotation "+k, a.Annotations[k], want)
		}
	}
	if !a.StartsAt.Equal(r.first) {
		bad("startsAt", a.StartsAt, r.first)
	}
	if left := time.Until(a.EndsAt); left <= 0 || left > amHold {
		bad("endsAt is in", left, "0 to "+amHold.String())
	}
	return errors.Join(errs...)
}

// keep looks, for twice as long as Alertmanager would keep the alert by itself, that it fires all the time. In the midst the alerter is
// killed, and started again.
func (r *alertmanagerRun) keep(ctx context.Context, p *process) error {
	begin := time.Now()
	for time.Since(begin) < amKeep {
		if r.kills == 0 && time.Since(begin) > amRepost {
			if err := errors.Join(p.kill(), p.start()); err != nil {
				return err
			}
			r.kills++
			r.logf("the alerter was killed and started again")
		}
		all, err := r.shown(ctx)
		if err != nil {
			return err
		}
		if r.looks++; len(all) != 1 {
			return fmt.Errorf("after %.1f s alertmanager shows %d alerts: it did not keep the alert", time.Since(begin).Seconds(), len(all))
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	r.keptFor = time.Since(begin)
	if firing, resolved := r.told.count(); firing != 1 || resolved != 0 {
		return fmt.Errorf("alertmanager told its own receiver %d times of the alert and %d times of its end, not once and never", firing, resolved)
	}
	r.logf("Alertmanager kept it for %.0f s", r.keptFor.Seconds())
	return nil
}

// resolve waits until the rule's quiet time is over, and looks that Alertmanager resolves the alert with the right end, once.
func (r *alertmanagerRun) resolve(ctx context.Context, p *process) error {
	wait, cancel := context.WithTimeout(ctx, 2*amQuiet)
	defer cancel()
	for {
		all, err := r.shown(wait)
		if err == nil && len(all) == 0 {
			break
		}
		if perr := pause(wait, 100*time.Millisecond); perr != nil {
			return errors.Join(errors.New("alertmanager does not resolve the alert"), err, perr)
		}
	}
	r.resolvedAfter = time.Since(r.first)
	// For as long as it would take to be told again, nothing comes back.
	end := time.Now().Add(2 * amRepost)
	for time.Now().Before(end) {
		all, err := r.shown(ctx)
		if err != nil {
			return err
		}
		if len(all) != 0 {
			return errors.New("the alert fires again after its end")
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	firing, resolved := r.told.count()
	if firing != 1 || resolved != 1 {
		return fmt.Errorf("alertmanager told its own receiver %d times of the alert and %d times of its end, not once each", firing, resolved)
	}
	if want, got := r.first.Add(2*time.Second), r.told.end(); !got.Equal(want) {
		return fmt.Errorf("the alert ended at %s, not at its last event, %s", got, want)
	}
	return p.stop()
}
