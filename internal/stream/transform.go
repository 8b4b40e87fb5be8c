package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// RunTransform reads as a member of a group and writes fn's output in the transactions that commit the input's offsets: for
// read-committed readers each input has its output exactly once, across kills, rebalances and broker restarts. It blocks until
// ctx is done (then it lets the call in hand finish and commit within ShutdownTimeout, leaves and returns nil) or until the
// configuration turns out to be wrong: credentials, an ACL, a missing topic, a second live member with the same transactional id.
// A broker outage is none of these.
//
// When a commit's outcome is unknown the client is closed, everything owned is Lost, and a new client asks Kafka for the
// committed offsets: the loop never guesses.
//
// A record whose output is larger than Kafka takes is poison (reason output_too_large).
func RunTransform(ctx context.Context, cfg Config, d Deps, o TransformOptions, fn Transform) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	d, o.Group, o.TransactionalID = d.withDefaults(), cfg.Scoped(o.Group), cfg.Scoped(o.TransactionalID)
	if err := awaitTopics(ctx, cfg, d, o.Group, o.Topics); err != nil || ctx.Err() != nil {
		return err
	}
	t := &transformer{
		cfg: cfg, d: d, o: o, fn: fn,
		m:       newMetrics(d.Metrics),
		health:  newHealth("stream/"+o.Group, d.Health),
		outsize: map[topicOffset]error{},
	}
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(o.ShutdownTimeout, abandon) })()
	for retry := newBackoff(); ctx.Err() == nil; {
		err := t.session(ctx, work)
		if ctx.Err() != nil {
			break
		}
		if t.patience.over(err, false) {
			return fmt.Errorf("transforming as group %s: %w", o.Group, explain("", err))
		}
		if t.progress {
			retry.reset()
		}
		t.m.rebuilds.WithLabelValues(o.Group).Inc()
		t.health.set("session", err.Error())
		d.Log.Warn("transaction session ended; a new one begins", "group", o.Group, "err", err)
		sleep(ctx, retry.next(nil))
	}
	return nil
}

// transformer is one run of RunTransform; it outlives its sessions.
type transformer struct {
	cfg    Config
	d      Deps
	o      TransformOptions
	fn     Transform
	m      *metrics
	health *health

	patience patience
	progress bool
	// single is how many polls still take one record only, to find the one whose output is too large.
	single int
	// outsize are records found so; they are poison when they come again.
	outsize map[topicOffset]error
}

type topicOffset struct {
	topicPartition
	offset int64
}

func offsetOf(r *kgo.Record) topicOffset {
	return topicOffset{topicPartition{r.Topic, r.Partition}, r.Offset}
}

// session is one client's life.
type session struct {
	*transformer
	work  context.Context
	s     *kgo.GroupTransactSession
	cl    *kgo.Client
	link  *link
	sight *sight
	mem   *membership

	owned   map[topicPartition]bool // the value says whether its state is restored
	brakes  map[topicPartition]*brake
	stopped map[topicPartition]time.Time // held by the brake; when to look for an acceptance
	origin  map[topicPartition]int64     // where partitions without a commit begin
	tickAt  time.Time
}

// session runs until ctx is done or an error makes a new client necessary.
func (t *transformer) session(ctx, work context.Context) error {
	s := &session{
		transformer: t, work: work, link: newLink(), sight: newSight(), mem: newMembership(),
		owned: map[topicPartition]bool{}, brakes: map[topicPartition]*brake{},
		stopped: map[topicPartition]time.Time{}, origin: map[topicPartition]int64{},
		tickAt: t.d.Now().Add(t.o.TickEvery),
	}
	t.progress = false
	opts, err := options(t.cfg, t.d, t.o.Group)
	if err != nil {
		return err
	}
	opts = append(opts, subscribe(t.o.Group, t.o.InstanceID, t.o.Topics, t.o.TopicPattern)...)
	opts = append(
		opts,
		kgo.Balancers(&watchedBalancer{kgo.CooperativeStickyBalancer(), s.mem.onSync}),
		kgo.TransactionalID(t.o.TransactionalID),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.OnPartitionsAssigned(func(ctx context.Context, cl *kgo.Client, m map[string][]int32) {
			s.sight.saw(m)
			s.mem.onAssigned(ctx, cl, m)
		}),
		kgo.OnPartitionsRevoked(s.mem.onLost),
		kgo.OnPartitionsLost(s.mem.onLost),
		kgo.WithHooks(s.link),
	)
	if s.s, err = kgo.NewGroupTransactSession(append(opts, t.d.opts...)...); err != nil {
		return &configError{fmt.Sprintf("opening a transaction session of group %s: %v", t.o.Group, err)}
	}
	s.cl = s.s.Client()
	ended := make(chan struct{})
	go s.link.report(s.health, ended)
	if t.o.TopicPattern != "" {
		go s.sight.report(s.cl, s.health, ended)
	}
	defer func() {
		close(ended)
		s.release(s.all())
		quit(s.cl)
	}()
	// The client would ask for its producer id at the first record. Asking now ends what the last life left open, on which the
	// group's offsets may be waiting.
	if _, _, err := s.cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("taking the transactional id %s: %w", t.o.TransactionalID, err)
	}
	s.health.set("session", "")
	for ctx.Err() == nil {
		if err := s.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step does one thing: takes note of a rebalance, ticks, or carries one batch through its transaction.
func (s *session) step(ctx context.Context) error {
	lost, gained := s.mem.take(s.all())
	if len(lost) > 0 {
		s.release(lost)
	}
	s.gain(gained)
	if len(lost) > 0 {
		// What was fetched before must not be mistaken for what comes after.
		return s.rewind()
	}
	if pending := s.pending(); len(pending) > 0 && s.o.Assigned != nil {
		return s.restore(ctx, pending)
	}
	s.gain(s.pending())
	s.lookForAcceptance()
	if now := s.d.Now(); s.o.Tick != nil && !now.Before(s.tickAt) {
		s.tickAt = now.Add(s.o.TickEvery)
		return s.tick(ctx, now)
	}
	records, err := s.poll(ctx)
	if err != nil || len(records) == 0 {
		return err
	}
	return s.batch(ctx, records)
}

func (s *session) all() map[topicPartition]bool {
	m := make(map[topicPartition]bool, len(s.owned))
	for tp := range s.owned {
		m[tp] = true
	}
	return m
}

func (s *session) pending() map[topicPartition]bool {
	m := map[topicPartition]bool{}
	for tp, restored := range s.owned {
		if !restored {
			m[tp] = true
		}
	}
	return m
}

// gain takes partitions over; without an Assigned callback there is nothing to restore.
func (s *session) gain(gained map[topicPartition]bool) {
	for tp := range gained {
		s.owned[tp] = s.o.Assigned == nil
		if s.brakes[tp] == nil {
			s.brakes[tp] = &brake{}
		}
	}
}

func (s *session) release(lost map[topicPartition]bool) {
	if len(lost) == 0 {
		return
	}
	for tp := range lost {
		delete(s.owned, tp)
		delete(s.brakes, tp)
		delete(s.origin, tp)
		s.resume(tp)
	}
	if s.o.Lost != nil {
		s.o.Lost(byTopic(lost))
	}
}

// restore has the owner read the state of newly assigned partitions.
func (s *session) restore(ctx context.Context, pending map[topicPartition]bool) error {
	step, cancel := s.mem.step(ctx)
	defer cancel()
	err := s.o.Assigned(step, byTopic(pending))
	switch {
	case err == nil:
		s.health.set("state", "")
		for tp := range pending {
			s.owned[tp] = true
		}
	case step.Err() == nil:
		s.health.set("state", "restoring: "+err.Error())
		s.m.retries.WithLabelValues(s.o.Group, "restore").Inc()
		s.d.Log.Warn("restoring state failed; tried again", "group", s.o.Group, "err", err)
		sleep(step, time.Second)
	}
	return nil
}

// poll waits for records, a change of the membership or the next tick.
func (s *session) poll(ctx context.Context) ([]*kgo.Record, error) {
	wait := time.Second
	if s.o.Tick != nil {
		wait = min(wait, max(s.tickAt.Sub(s.d.Now()), time.Millisecond))
	}
	ctx, cancel := s.mem.poll(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, wait)
	defer cancel()
	limit := s.o.MaxBatchRecords
	if s.single > 0 {
		s.single--
		limit = 1
	}
	fetches := s.s.PollRecords(ctx, limit)
	err := firstError(fetches)
	s.health.set("poll", text(err))
	if s.patience.over(err, false) {
		return nil, err
	}
	records := fetches.Records()
	for _, r := range records {
		if !s.owned[topicPartition{r.Topic, r.Partition}] {
			// Fetched for an assignment that the loop has not taken note of yet, or no longer has.
			return nil, s.rewind()
		}
	}
	return records, nil
}

// rewind forgets what was polled: the next polls begin at the committed offsets.
func (s *session) rewind() error {
	ctx, cancel := context.WithTimeout(s.work, endTimeout)
	defer cancel()
	if _, err := s.s.End(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("rewinding: %w", err)
	}
	return nil
}

// tick runs the timer and writes what it wants in a transaction of its own.
func (s *session) tick(ctx context.Context, now time.Time) error {
	if len(s.owned) == 0 {
		return nil
	}
	step, cancel := s.mem.step(s.work)
	defer cancel()
	out, err := s.o.Tick(step, now)
	if err == nil && len(out.Poison) > 0 {
		err = errors.New("a tick has no input and so no poison")
	}
	if err != nil {
		if step.Err() == nil {
			s.health.set("tick", err.Error())
			s.d.Log.Warn("tick failed", "group", s.o.Group, "err", err)
		}
		return nil
	}
	s.health.set("tick", "")
	if len(out.Records) == 0 {
		if out.Committed != nil {
			out.Committed()
		}
		return nil
	}
	fence, err := s.fence(step)
	if err != nil {
		s.d.Log.Warn("tick failed", "group", s.o.Group, "err", err)
		return nil
	}
	_, produceErr, err := s.transact(out, nil, fence)
	if produceErr != nil && err == nil {
		s.health.set("tick", produceErr.Error())
		s.d.Log.Warn("output of a tick was not written", "group", s.o.Group, "err", produceErr)
	}
	return err
}
