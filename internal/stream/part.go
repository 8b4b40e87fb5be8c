package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// part is one assignment of a partition: its queue and its worker. A partition that comes back gets a new one.
type part struct {
	c      *consumer
	tp     topicPartition
	ctx    context.Context
	cancel context.CancelFunc
	signal chan struct{}
	ended  chan struct{}
	brake  brake
	// handler is that of this assignment.
	handler Handler

	// Under c.mu. bytes includes the batch in hand.
	queue  []*kgo.Record
	bytes  int
	paused bool
}

func newPart(c *consumer, tp topicPartition) *part {
	p := &part{c: c, tp: tp, signal: make(chan struct{}, 1), ended: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(c.work)
	return p
}

func (p *part) wake() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *part) run() {
	defer close(p.ended)
	defer p.cancel()
	if !p.restore() {
		return
	}
	for {
		batch, bytes := p.take()
		if batch == nil || !p.finish(batch) {
			return
		}
		last := batch[len(batch)-1]
		p.c.commits.add(p, kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}, len(batch))
		p.release(bytes)
	}
}

// restore gets the handler of this assignment; false means that the worker must end.
func (p *part) restore() bool {
	p.handler = p.c.handler
	if p.c.o.Assigned == nil {
		return true
	}
	for retry := newBackoff(); ; {
		h, err := p.c.o.Assigned(p.ctx, p.tp.topic, p.tp.partition)
		switch {
		case p.ctx.Err() != nil:
			return false
		case err == nil:
			p.c.health.set(p.tp.String(), "")
			p.handler = h
			return true
		}
		p.c.health.set(p.tp.String(), "restoring: "+err.Error())
		p.c.m.retries.WithLabelValues(p.c.o.Group, "restore").Inc()
		wait := retry.next(err)
		p.c.d.Log.Warn("restoring state failed; tried again", "group", p.c.o.Group, "topic", p.tp.topic, "partition", p.tp.partition,
			"wait", wait, "err", err)
		if !p.sleep(wait) {
			return false
		}
	}
}

// take waits for the next batch; nil means that the worker must end.
func (p *part) take() ([]*kgo.Record, int) {
	for {
		select {
		case <-p.ctx.Done():
			return nil, 0
		case <-p.c.stopping:
			return nil, 0
		default:
		}
		if batch, bytes := p.cut(); batch != nil {
			return batch, bytes
		}
		select {
		case <-p.signal:
		case <-p.ctx.Done():
		case <-p.c.stopping:
		}
	}
}

func (p *part) cut() (batch []*kgo.Record, bytes int) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	n := 0
	for n < len(p.queue) && n < p.c.o.MaxBatchRecords {
		size := recordBytes(p.queue[n])
		if n > 0 && bytes+size > p.c.o.MaxBatchBytes {
			break
		}
		bytes += size
		n++
	}
	if n == 0 {
		return nil, 0
	}
	batch = p.queue[:n:n]
	if p.queue = p.queue[n:]; len(p.queue) == 0 {
		p.queue = nil
	}
	p.resume()
	return batch, bytes
}

// resume fetches again, under c.mu, when nothing waits but at most a batch in hand. While too much is buffered altogether, only
// a partition that holds nothing goes on.
func (p *part) resume() {
	if p.paused && len(p.queue) == 0 && (p.bytes == 0 || p.c.buffered < p.c.o.MaxBufferedBytes) {
		p.paused = false
		p.c.cl.ResumeFetchPartitions(p.tp.asMap())
	}
}

// release gives back the room of a batch.
func (p *part) release(bytes int) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.parts[p.tp] != p {
		return // gone: drop has released everything
	}
	p.bytes -= bytes
	p.c.addBuffered(-bytes)
	p.resume()
}

// finish brings a batch to its end: handled, its poison dead-lettered. false means that it was dropped, for a revoke or a
// shutdown.
func (p *part) finish(batch []*kgo.Record) bool {
	p.c.m.batches.WithLabelValues(p.c.o.Group).Inc()
	for {
		poison, ok := p.handle(batch)
		if !ok {
			return false
		}
		if next, passes := p.passes(batch, poison); passes {
			if !p.bury(batch, poison) {
				return false
			}
			p.brake.window = next
			return true
		}
		if again := p.wait(batch, poison); !again {
			return false
		}
	}
}

// handle calls the handler until it has a verdict on every record.
func (p *part) handle(batch []*kgo.Record) (map[*kgo.Record]Poison, bool) {
	retry := newBackoff()
	for {
		err, ran := p.call(batch)
		if !ran {
			return nil, false
		}
		var poisoned *PoisonError
		switch {
		case err == nil:
			p.c.health.set(p.tp.String(), "")
			return nil, true
		case p.ctx.Err() != nil:
			return nil, false
		case errors.As(err, &poisoned):
			poison, wrong := byRecord(poisoned.Poison, batch)
			if wrong == nil {
				p.c.health.set(p.tp.String(), "")
				return poison, true
			}
			err = wrong
		}
		kind := "transient"
		var refused *RefusedError
		if errors.As(err, &refused) {
			kind = "refused"
		}
		p.c.m.retries.WithLabelValues(p.c.o.Group, kind).Inc()
		p.c.health.set(p.tp.String(), err.Error())
		wait := retry.next(err)
		p.c.d.Log.Warn("handler failed; the batch is kept and tried again", "group", p.c.o.Group, "topic", p.tp.topic,
			"partition", p.tp.partition, "offset", batch[0].Offset, "records", len(batch), "kind", kind, "wait", wait, "err", err)
		if !p.sleep(wait) {
			return nil, false
		}
	}
}

// call runs the handler once, when one of the slots is free.
func (p *part) call(batch []*kgo.Record) (err error, ran bool) {
	select {
	case p.c.slots <- struct{}{}:
	case <-p.ctx.Done():
		return nil, false
	case <-p.c.stopping:
		return nil, false
	}
	defer func() { <-p.c.slots }()
	begin := time.Now()
	err = p.handler(p.ctx, Batch{Topic: p.tp.topic, Partition: p.tp.partition, Records: batch})
	p.c.m.seconds.WithLabelValues(p.c.o.Group).Observe(time.Since(begin).Seconds())
	return err, true
}

func (p *part) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
	case <-p.c.stopping:
	}
	return false
}

// passes asks the brake, and before it says no, whether somebody accepted the poison.
func (p *part) passes(batch []*kgo.Record, poison map[*kgo.Record]Poison) (window, bool) {
	if next, ok := p.brake.try(batch, poison); ok {
		return next, true
	}
	if accepted, err := acceptedOffset(p.ctx, p.c.cl, p.c.o.Group, p.tp); err == nil {
		p.brake.accepted = max(p.brake.accepted, accepted)
	}
	return p.brake.try(batch, poison)
}

const (
	acceptedEvery = 3 * time.Second
	// handleAgainEvery is how often a stopped partition's batch goes to the handler again: the cause may have been mended.
	handleAgainEvery = 30 * time.Second
)

// wait holds a partition that the brake has stopped. It ends when the poison was accepted or the handler should look at the batch
// again; false means revoked or shutting down.
func (p *part) wait(batch []*kgo.Record, poison map[*kgo.Record]Poison) bool {
	gauge := p.c.m.stopped.WithLabelValues(p.c.o.Group, p.tp.topic, fmt.Sprint(p.tp.partition))
	gauge.Set(1)
	reason := stoppedReason(p.c.o.Group, p.tp)
	p.c.health.set(p.tp.String(), reason)
	p.c.d.Log.Error("partition stopped", "group", p.c.o.Group, "topic", p.tp.topic, "partition", p.tp.partition,
		"offset", batch[0].Offset, "poison", len(poison), "err", reason)
	for until := time.Now().Add(handleAgainEvery); time.Now().Before(until); {
		if !p.sleep(acceptedEvery) {
			return false
		}
		accepted, err := acceptedOffset(p.ctx, p.c.cl, p.c.o.Group, p.tp)
		if err == nil && accepted > p.brake.accepted {
			p.brake.accepted = accepted
			break
		}
	}
	gauge.Set(0)
	return true
}

// bury produces the dead letters of a batch; it returns when all are acknowledged by all in-sync replicas.
func (p *part) bury(batch []*kgo.Record, poison map[*kgo.Record]Poison) bool {
	if len(poison) == 0 {
		return true
	}
	var letters []*kgo.Record
	for _, r := range batch {
		if bad, ok := poison[r]; ok {
			letters = append(letters, deadLetter(bad, p.c.o.DeadLetter(r), p.c.o.Group, p.c.d.Now()))
		}
	}
	for retry := newBackoff(); ; {
		err := p.c.cl.ProduceSync(p.ctx, letters...).FirstErr()
		if err == nil {
			break
		}
		if p.ctx.Err() != nil {
			return false
		}
		err = fmt.Errorf("producing dead letters: %w", explain("topic "+letters[0].Topic, err))
		p.c.health.set(p.tp.String(), err.Error())
		p.c.d.Log.Warn("dead letters not written; tried again", "group", p.c.o.Group, "topic", p.tp.topic, "partition", p.tp.partition, "err", err)
		if !p.sleep(retry.next(nil)) {
			return false
		}
	}
	p.c.health.set(p.tp.String(), "")
	for _, bad := range poison {
		p.c.m.poison.WithLabelValues(p.c.o.Group, clip(bad.Reason, deadReasonBytes)).Inc()
	}
	return true
}

// byRecord indexes poison by its record and refuses what isn't part of the batch: a handler that names the wrong records would
// have the right ones committed unhandled.
func byRecord(poison []Poison, batch []*kgo.Record) (map[*kgo.Record]Poison, error) {
	in := make(map[*kgo.Record]bool, len(batch))
	for _, r := range batch {
		in[r] = true
	}
	m := make(map[*kgo.Record]Poison, len(poison))
	for _, p := range poison {
		if !in[p.Record] {
			return nil, errors.New("the handler names a poison record that is not in its batch")
		}
		m[p.Record] = p
	}
	if len(m) == 0 {
		return nil, errors.New("the handler returns a PoisonError that names no record")
	}
	return m, nil
}
