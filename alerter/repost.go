package alerter

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// reposts are the alerts of one partition that fire as far as its receiver knows. They are for receivers that forget an alert
// which is not sent again from time to time. The nil value keeps nothing.
type reposts struct {
	*notifier
	mu     sync.Mutex
	firing map[string]*schemas.Alert // by cluster and fingerprint
}

// openReposts reads what fires from the topic, and sends it again until ctx, which is that of the assignment, ends. What of it has
// not been sent at all yet is sent all the same in its turn, under the same key.
func (n *notifier) openReposts(ctx context.Context, partition int32) (*reposts, error) {
	p := &reposts{notifier: n, firing: map[string]*schemas.Alert{}}
	err := stream.ReadTable(ctx, n.kafka, n.deps, n.topics.Alerts(), partition, func(r *kgo.Record) error {
		if a, err := schemas.DecodeAlert(r.Value); err == nil {
			p.note(a)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	go p.run(ctx)
	return p, nil
}

// note takes an alert into account that the receiver knows of by now.
func (p *reposts) note(a *schemas.Alert) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := schemas.AlertStateKey(a.Cluster, a.Fingerprint)
	switch {
	case a.Status == schemas.AlertResolved:
		delete(p.firing, key)
	case slices.Contains(a.Receivers, p.outlet.Name()):
		p.firing[key] = a
	}
}

// ended is called before the end of an alert is sent: from then on it must not be sent as firing.
func (p *reposts) ended(a *schemas.Alert) {
	if a.Status == schemas.AlertResolved {
		p.note(a)
	}
}

func (p *reposts) run(ctx context.Context) {
	tick := time.NewTicker(p.outlet.Repost())
	defer tick.Stop()
	for {
		// At once, because whoever had the partition before may have been away for most of the time that the receiver remembers.
		p.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round sends everything that fires.
func (p *reposts) round(ctx context.Context) {
	p.mu.Lock()
	firing := maps.Clone(p.firing)
	p.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(firing)) {
		if ctx.Err() != nil {
			return
		}
		p.post(ctx, key, firing[key])
	}
}

// post sends an alert again, unless it was resolved meanwhile. A failure is made good by the next time.
func (p *reposts) post(ctx context.Context, key string, a *schemas.Alert) {
	p.mu.Lock()
	defer p.mu.Unlock() // so that a resolve can't be overtaken
	if p.firing[key] != a {
		return
	}
	result := "reposted"
	if err := p.outlet.Send(ctx, a, p.deps.Now()); err != nil {
		result = "failed"
		p.deps.Log.Debug("reposting an alert failed; it comes again", "receiver", p.outlet.Name(), "rule", a.Rule, "err", err)
	}
	p.metrics.notifications.WithLabelValues(p.outlet.Name(), result).Inc()
}
