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

// deliveries are those of one assignment of one partition.
type deliveries struct {
	*notifier
	partition int32
	reposts   *reposts // nil for a receiver that remembers
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

// handle sends the alerts of b, in order.
func (d *deliveries) handle(ctx context.Context, b stream.Batch) error {
	var poison []stream.Poison
	for _, r := range b.Records {
		a, err := schemas.DecodeAlert(r.Value)
		if err != nil {
			if d.outlet == nil { // one group buries it, not each receiver's
				poison = append(poison, stream.Poison{Record: r, Reason: "undecodable", Err: err})
			}
			continue
		}
		d.reposts.ended(a)
		refused, err := d.deliver(ctx, letter{a, r})
		if err != nil {
			return err
		}
		d.reposts.note(a)
		if refused != nil {
			poison = append(poison, stream.Poison{Record: r, Reason: "refused", Err: refused})
		}
	}
	d.tidy(d.deps.Now())
	if len(poison) > 0 {
		return &stream.PoisonError{Poison: poison}
	}
	return nil
}

// deliver sees to what an alert asks of this group: that of a receiver sends it, the common one refuses what names no receiver that
// there is.
func (d *deliveries) deliver(ctx context.Context, l letter) (refused, err error) {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(l.alert.Receivers))) {
		switch {
		case d.outlet != nil && name == d.outlet.Name():
			if d.outlet.Wants(l.alert.Status) {
				return d.settle(ctx, name, l, d.send)
			}
		case d.outlet == nil && !d.known(name):
			no, err := d.settle(ctx, name, l, d.refuse)
			if err != nil {
				return nil, err
			}
			refused = errors.Join(refused, no)
		}
	}
	return refused, nil
}

// settle sees to it that there is a verdict on one alert and one receiver, and that it is written down. refused says that the
// receiver never takes it.
func (d *deliveries) settle(ctx context.Context, name string, l letter, try func(context.Context, string, *schemas.Alert, *delivery) error) (refused, err error) {
	state := d.of(l.alert, name)
	if state.ended.IsZero() {
		if err := try(ctx, name, l.alert, state); err != nil {
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

// refuse is the verdict on an alert for a receiver that is not configured.
func (d *deliveries) refuse(_ context.Context, name string, _ *schemas.Alert, state *delivery) error {
	state.refused, state.ended = fmt.Errorf("receiver %s is not configured", name), d.deps.Now()
	return nil
}

// send tries once, and notes a verdict in state. An error means that there is none yet.
func (d *deliveries) send(ctx context.Context, _ string, a *schemas.Alert, state *delivery) error {
	out := d.outlet
	if err := out.wait(ctx, d.deps.Now()); err != nil {
		return err
	}
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
