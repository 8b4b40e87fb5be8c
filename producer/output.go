package producer

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

const (
	// restEvery is how long a checkpoint that covers no records may wait for its transaction.
	restEvery = 5 * time.Second
	// lastWrite is how long a transaction that has begun may go on when the producer is told to stop.
	lastWrite = 10 * time.Second
	// slowWrite is how long a transaction may take before readiness says so.
	slowWrite = 5 * time.Second
)

// transactor writes records all or none: stream.Writer, or a test's.
type transactor interface {
	Write(ctx context.Context, records []*kgo.Record) error
	Close()
}

// fact is what the metrics need of a record.
type fact struct {
	kind schemas.Type
	time time.Time
}

// output collects records and writes them with the checkpoint that covers them, one transaction at a time; while one is
// written, the next is filled. It belongs to one goroutine. After an error it is spent: every call returns that error.
type output struct {
	w     transactor
	limit BatchConfig
	m     *metrics
	ready *readiness
	now   func() time.Time
	// checkpoints is the topic of checkpoints and key the checkpoint's key; without a key none is written.
	checkpoints, key string

	records []*kgo.Record
	facts   []fact
	bytes   int
	cp      *schemas.Checkpoint // covers records and everything before; nil: nothing to write
	// covers gives the checkpoint that covers everything that was put, for those who change it with each record.
	covers func() schemas.Checkpoint
	dirty  bool // covers has something new to say

	timer *time.Timer // runs while something waits
	armed time.Time   // when it will fire
	// resting: it runs for a checkpoint without records, which may wait longer.
	resting bool
	late    bool       // it fired while a transaction was being written
	sent    chan error // the transaction that is being written; nil: none
	spent   error      // the first error; nothing is written after it, or what it lost would be covered by a later checkpoint
}

func newOutput(w transactor, limit BatchConfig, topic, key string, m *metrics, ready *readiness, now func() time.Time) *output {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &output{w: w, limit: limit, checkpoints: topic, key: key, m: m, ready: ready, now: now, timer: timer}
}

// add buffers a record and the checkpoint that holds once it is written. It blocks while the buffer is full.
func (o *output) add(ctx context.Context, r *kgo.Record, f fact, cp schemas.Checkpoint) error {
	return o.addAll(ctx, []*kgo.Record{r}, []fact{f}, cp)
}

// addAll buffers records that belong into one transaction. Records beyond the facts are no facts, but what is remembered of them.
func (o *output) addAll(ctx context.Context, records []*kgo.Record, facts []fact, cp schemas.Checkpoint) error {
	o.records, o.facts, o.cp = append(o.records, records...), append(o.facts, facts...), &cp
	for _, r := range records {
		o.bytes += recordSize(r)
	}
	if len(o.records) >= o.limit.MaxRecords || o.bytes >= o.limit.MaxBytes {
		return o.flush(ctx)
	}
	o.arm(o.limit.MaxAge)
	return nil
}

// put buffers a record that o.covers covers. It blocks while the buffer is full.
func (o *output) put(ctx context.Context, r *kgo.Record, f fact) error {
	o.records, o.facts, o.bytes, o.dirty = append(o.records, r), append(o.facts, f), o.bytes+recordSize(r), true
	if len(o.records) >= o.limit.MaxRecords || o.bytes >= o.limit.MaxBytes {
		return o.flush(ctx)
	}
	if o.armed.IsZero() || o.resting {
		o.arm(o.limit.MaxAge)
	}
	return nil
}

// moved says that o.covers has moved over what is no record. It is written with the next record, or after some seconds.
func (o *output) moved() {
	o.dirty = true
	if o.armed.IsZero() {
		o.arm(restEvery)
		o.resting = true
	}
}

// letter buffers a record that is no fact, for the next transaction.
func (o *output) letter(r *kgo.Record) {
	o.records, o.bytes = append(o.records, r), o.bytes+recordSize(r)
}

// move notes a checkpoint that covers no new record. It is written with the next record, or after some seconds.
func (o *output) move(cp schemas.Checkpoint) {
	o.cp = &cp
	o.arm(restEvery)
}

func (o *output) arm(d time.Duration) {
	at := time.Now().Add(d)
	if !o.armed.IsZero() && !at.Before(o.armed) {
		return
	}
	o.armed, o.resting = at, false
	o.timer.Reset(d)
}

// due fires when what is buffered is old enough to be written; the caller then calls expire.
func (o *output) due() <-chan time.Time { return o.timer.C }

func (o *output) expire(ctx context.Context) {
	o.armed = time.Time{}
	if o.sent != nil {
		o.late = true
		return
	}
	o.start(ctx)
}

// done yields the result of the transaction that is being written; the caller then calls finish.
func (o *output) done() <-chan error { return o.sent }

func (o *output) finish(ctx context.Context, err error) error {
	o.sent = nil
	if o.spent == nil {
		o.spent = err
	}
	if o.late {
		o.start(ctx)
	}
	return o.spent
}

// flush starts the writing of what is buffered, after the end of the transaction before it.
func (o *output) flush(ctx context.Context) error {
	if o.sent != nil {
		o.late = false
		if err := o.finish(ctx, <-o.sent); err != nil {
			return err
		}
	}
	o.start(ctx)
	return o.spent
}

// drain returns when everything is in Kafka, or with the error because of which it may not be.
func (o *output) drain(ctx context.Context) error {
	if err := o.flush(ctx); err != nil || o.sent == nil {
		return err
	}
	return o.finish(ctx, <-o.sent)
}

func (o *output) start(ctx context.Context) {
	o.late, o.armed = false, time.Time{}
	o.timer.Stop()
	if o.dirty && o.covers != nil {
		cp := o.covers()
		o.cp, o.dirty = &cp, false
	}
	if o.cp == nil || o.spent != nil {
		return
	}
	records, facts, cp := o.records, o.facts, *o.cp
	o.records, o.facts, o.bytes, o.cp = make([]*kgo.Record, 0, len(records)), make([]fact, 0, len(facts)), 0, nil
	sent := make(chan error, 1)
	o.sent = sent
	go func() { sent <- o.write(ctx, records, facts, cp) }()
}

func (o *output) write(ctx context.Context, records []*kgo.Record, facts []fact, cp schemas.Checkpoint) error {
	ctx, cancel := lingering(ctx, lastWrite)
	defer cancel()
	if o.key != "" {
		r, err := checkpointRecord(o.checkpoints, o.key, cp)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	slow := time.AfterFunc(slowWrite, func() { o.ready.waiting("Kafka has not acknowledged a transaction for " + slowWrite.String()) })
	defer func() {
		if !slow.Stop() {
			o.ready.waiting("")
		}
	}()
	began := time.Now()
	if err := o.w.Write(ctx, records); err != nil {
		return fmt.Errorf("writing %d records with the checkpoint: %w", len(records), err)
	}
	o.m.committed(facts, cp.ObservedAt, o.now(), time.Since(began))
	return nil
}

// close waits for a transaction that is being written and closes the writer. What is buffered is dropped.
func (o *output) close() {
	o.timer.Stop()
	if o.sent != nil {
		<-o.sent //nolint:errcheck // how it ended does not matter any more
	}
	o.w.Close()
}

// lingering is a context that ends d after ctx has ended.
func lingering(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}
