package enricher

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"k8s.io/client-go/rest"

	"kubescribe/enricher/crashlog"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// collectLogs has l read logs through rc. It is called before the first look-up.
func (l *Live) collectLogs(ctx context.Context, cfg crashlog.Config, rc *rest.Config, d stream.Deps) error {
	if !cfg.Enabled {
		return nil
	}
	c, err := crashlog.New(ctx, cfg, rc, crashlog.Options{Ready: l.podsUnknown, Log: d.Log, Metrics: d.Metrics, Now: d.Now})
	if err != nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	l.logs = c
	l.OnPod(c.See, c.Forget)
	return nil
}

// podsUnknown says why the watch may not know a pod, "" when it knows all.
func (l *Live) podsUnknown() string { return l.watches.of(podResource).state() }

// Logs implements Logs.
func (l *Live) Logs(ctx context.Context, wants []crashlog.Want) []crashlog.Log {
	if l.logs == nil {
		return nil
	}
	return l.logs.Get(ctx, wants)
}

// Own implements Logs.
func (l *Live) Own(owns func(namespace, pod string) bool) {
	if l.logs != nil {
		l.logs.Own(owns)
	}
}

// ownership follows which partitions of a topic this replica has. It is safe for concurrent use.
type ownership struct {
	topic      string
	partitions func(ctx context.Context) (int, error) // of the topic
	tell       func(owns func(namespace, pod string) bool)

	mu    sync.Mutex
	n     int
	owned map[int32]bool
}

// follow has o's callbacks keep l's source up to date.
func (l *logs) follow(o *stream.TransformOptions, topic string, partitions func(ctx context.Context) (int, error)) {
	if l == nil {
		return
	}
	own := &ownership{topic: topic, partitions: partitions, tell: l.source.Own, owned: map[int32]bool{}}
	o.Assigned, o.Lost = own.assigned, own.lost
}

func (o *ownership) assigned(ctx context.Context, got map[string][]int32) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == 0 {
		n, err := o.partitions(ctx)
		if err != nil {
			return fmt.Errorf("counting the partitions of %s: %w", o.topic, err)
		}
		o.n = n
	}
	for _, p := range got[o.topic] {
		o.owned[p] = true
	}
	o.change()
	return nil
}

func (o *ownership) lost(gone map[string][]int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range gone[o.topic] {
		delete(o.owned, p)
	}
	o.change()
}

// change tells what is owned now. The caller holds mu.
func (o *ownership) change() {
	n, owned := o.n, maps.Clone(o.owned)
	o.tell(func(namespace, pod string) bool {
		if n == 0 {
			return false
		}
		key := schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: pod}.Key()
		return owned[stream.PartitionOf([]byte(key), n)]
	})
}
