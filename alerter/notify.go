package alerter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/alerter/receiver"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// notify sends alerts to their receivers.
func (a *alerter) notify(ctx context.Context) error {
	log, err := stream.OpenProducer(a.kafka, a.deps, NotifyGroup+"-log")
	if err != nil {
		return err
	}
	defer log.Close()
	n := &notifier{alerter: a, log: log, receivers: map[string]*outlet{}}
	for _, c := range a.cfg.Receivers {
		n.receivers[c.Name] = &outlet{Receiver: receiver.New(c)}
	}
	return stream.RunConsumer(ctx, a.kafka, a.deps, stream.ConsumerOptions{
		Group: NotifyGroup, Topics: []string{a.topics.Alerts()}, DeadLetter: a.deadLetter,
		MaxBatchRecords: 100, Assigned: n.assigned,
	}, nil)
}

// notifier is safe for concurrent use: partitions are handled at the same time.
type notifier struct {
	*alerter
	log       *stream.Producer
	receivers map[string]*outlet
}

// outlet is a receiver, and until when it asked to be left alone.
type outlet struct {
	receiver.Receiver
	mu    sync.Mutex
	until time.Time
}

// busy is how much longer the receiver wants to be left alone.
func (o *outlet) busy(now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.until.Sub(now)
}

func (o *outlet) rest(until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = until
}

// assigned reads what was sent of a partition before. Notifications of partition n of alerts are in partition n, so the log is
// complete: who sent before has ended, and wrote down what it sent.
func (n *notifier) assigned(ctx context.Context, _ string, partition int32) (stream.Handler, error) {
	d := &deliveries{notifier: n, partition: partition, done: map[string]*delivery{}}
	err := stream.ReadTable(ctx, n.kafka, n.deps, n.topics.Notifications(), partition, func(r *kgo.Record) error {
		if r.Value == nil {
			delete(d.done, string(r.Key))
			return nil
		}
		// What was refused is tried again: somebody may have sent it here anew, from the dead letter.
		if sent, err := schemas.DecodeNotification(r.Value); err == nil && sent.Delivery == schemas.DeliverySent {
			d.done[string(r.Key)] = &delivery{ended: sent.SentAt, logged: true}
		}
		return nil
	})
	return d.handle, err
}

// deliveries are those of one assignment of one partition.
type deliveries struct {
	*notifier
	partition int32
	mu        sync.Mutex
	done      map[string]*delivery
	// pruneAt is the size of done at which what is older than the log is dropped.
	pruneAt int
}

// delivery is how far one alert has come with one receiver.
type delivery struct {
	attempts int
	// ended is when there was a verdict; zero before.
	ended   time.Time
	refused error
	// logged says that the verdict is on the topic.
	logged bool
}

func (d *deliveries) of(a *schemas.Alert, name string) *delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := schemas.NotificationKey(a.ID, name)
	if d.done[key] == nil {
		d.done[key] = &delivery{}
	}
	return d.done[key]
}

// logKept is how long the topic notifications keeps what was sent.
const logKept = 30 * 24 * time.Hour

// tidy forgets refusals once their batch is done, so that somebody can send the alert here anew, and what the log has dropped.
func (d *deliveries) tidy(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := len(d.done) >= d.pruneAt
	for key, state := range d.done {
		if state.refused != nil || old && !state.ended.IsZero() && now.Sub(state.ended) > logKept {
			delete(d.done, key)
		}
	}
	if old {
		d.pruneAt = 1000 + 2*len(d.done)
	}
}

type letter struct {
	alert *schemas.Alert
	from  *kgo.Record
}

// handle sends the alerts of b. Receivers don't wait for each other within a batch; each gets its alerts in order.
func (d *deliveries) handle(ctx context.Context, b stream.Batch) error {
	var poison []stream.Poison
	outbox := map[string][]letter{}
	for _, r := range b.Records {
		a, err := schemas.DecodeAlert(r.Value)
		if err != nil {
			poison = append(poison, stream.Poison{Record: r, Reason: "undecodable", Err: err})
			continue
		}
		for _, name := range slices.Compact(slices.Sorted(slices.Values(a.Receivers))) {
			outbox[name] = append(outbox[name], letter{a, r})
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	refused := map[*kgo.Record]error{}
	var errs []error
	for name, letters := range outbox {
		wg.Go(func() {
			for _, l := range letters {
				no, err := d.deliver(ctx, name, l)
				mu.Lock()
				if no != nil {
					refused[l.from] = errors.Join(refused[l.from], no)
				}
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, r := range b.Records {
		if no := refused[r]; no != nil {
			poison = append(poison, stream.Poison{Record: r, Reason: "refused", Err: no})
		}
	}
	d.tidy(d.deps.Now())
	if len(poison) > 0 {
		return &stream.PoisonError{Poison: poison}
	}
	return nil
}

// deliver sends one alert to one receiver unless that is done, and writes it down. refused says that the receiver never takes it.
func (d *deliveries) deliver(ctx context.Context, name string, l letter) (refused, err error) {
	out, known := d.receivers[name]
	switch {
	case !known:
		return fmt.Errorf("receiver %s is not configured", name), nil
	case !out.Wants(l.alert.Status):
		return nil, nil
	}
	state := d.of(l.alert, name)
	if state.ended.IsZero() {
		if wait := out.busy(d.deps.Now()); wait > 0 {
			return nil, fmt.Errorf("receiver %s asked to wait %s longer", name, wait.Round(time.Second))
		}
		if err := d.send(ctx, out, l.alert, state); err != nil {
			return nil, err
		}
	} else if state.logged {
		d.metrics.notifications.WithLabelValues(name, "known").Inc()
	}
	if !state.logged {
		if err := d.write(ctx, name, l, state); err != nil {
			return nil, err
		}
		state.logged = true
	}
	return state.refused, nil
}

// send tries once, and notes a verdict in state. An error means that there is none yet.
func (d *deliveries) send(ctx context.Context, out *outlet, a *schemas.Alert, state *delivery) error {
	ctx, cancel := linger(ctx, lastTry)
	defer cancel()
	begin := time.Now()
	err := out.Send(ctx, a, d.deps.Now())
	d.metrics.seconds.WithLabelValues(out.Name()).Observe(time.Since(begin).Seconds())
	state.attempts++
	result := d.metrics.notifications.MustCurryWith(map[string]string{"receiver": out.Name()})
	var busy *receiver.BusyError
	switch {
	case err == nil:
		result.WithLabelValues("sent").Inc()
	case errors.As(err, new(*receiver.RefusedError)):
		result.WithLabelValues("refused").Inc()
		state.refused = err
	default:
		result.WithLabelValues("failed").Inc()
		if errors.As(err, &busy) {
			out.rest(d.deps.Now().Add(busy.After))
		}
		return err
	}
	state.ended = d.deps.Now()
	return nil
}

// write notes in the log what became of l.
func (d *deliveries) write(ctx context.Context, name string, l letter, state *delivery) error {
	n := schemas.Notification{AlertID: l.alert.ID, Receiver: name, Delivery: schemas.DeliverySent, SentAt: state.ended.UTC(), Attempts: state.attempts}
	if state.refused != nil {
		n.Delivery, n.Error = schemas.DeliveryRefused, state.refused.Error()
	}
	value, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encoding notification: %w", err)
	}
	key := schemas.NotificationKey(l.alert.ID, name)
	r := record(d.topics.Notifications(), key, value, event("notification", key, l.alert.Cluster, l.alert.Rule, n.SentAt), l.from)
	ctx, cancel := linger(ctx, lastWrite)
	defer cancel()
	if err := d.log.Produce(ctx, stream.ToPartition(r, d.partition)); err != nil {
		return fmt.Errorf("writing the notification log: %w", err)
	}
	return nil
}

// When the partition is revoked, a try and its note in the log may still end, so that the next owner does not send again what
// has arrived. Both together are below the time that a revoke waits for a handler (15 s).
const (
	lastTry   = 6 * time.Second
	lastWrite = 5 * time.Second
)

// linger is a context that ends d after ctx does.
func linger(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}
