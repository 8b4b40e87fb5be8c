package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// endTimeout bounds a transaction from its first record to its end. It is longer than the transaction timeout: when it is over,
// the broker has aborted on its own, and only a new client knows where things stand.
const endTimeout = 3 * transactionTimeout

// transact writes one transaction. committed false without an error means that it was aborted and the session is back at the
// committed offsets; produceErr says whether a record was the reason. An error means that only a new client can go on.
func (s *session) transact(out Output, letters []*kgo.Record, fence func(*kmsg.TxnOffsetCommitRequest) error) (committed bool, produceErr, err error) {
	ctx, cancel := context.WithTimeout(s.work, endTimeout)
	defer cancel()
	if err := s.s.Begin(); err != nil {
		return false, nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	var mu sync.Mutex
	promise := func(r *kgo.Record, err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		// The first error is the cause, the rest are mostly its consequence; but one record's size explains the most.
		if produceErr == nil || classify(err) == tooLarge {
			produceErr = explain("producing to "+r.Topic, err)
		}
	}
	for _, r := range out.Records {
		s.s.Produce(ctx, r, promise)
	}
	for _, r := range letters {
		s.s.Produce(ctx, r, promise)
	}
	if err := s.cl.Flush(ctx); err != nil {
		return false, nil, fmt.Errorf("producing in a transaction: %w", err)
	}
	want := kgo.TransactionEndTry(produceErr == nil)
	endCtx := ctx
	if fence != nil {
		endCtx = kgo.PreTxnCommitFnContext(ctx, fence)
	}
	committed, err = s.s.End(endCtx, want)
	switch {
	case err != nil:
		s.m.transaction.WithLabelValues(s.o.Group, "unknown").Inc()
		return false, produceErr, fmt.Errorf("ending a transaction: %w", err)
	case committed:
		s.m.transaction.WithLabelValues(s.o.Group, "committed").Inc()
		s.progress, s.patience = true, patience{}
		if out.Committed != nil {
			out.Committed()
		}
		return true, nil, nil
	}
	s.m.transaction.WithLabelValues(s.o.Group, "aborted").Inc()
	if want == kgo.TryCommit {
		return false, nil, s.agree(ctx)
	}
	return false, produceErr, nil
}

// agree compares, after a commit that turned into an abort, where the client thinks its partitions stand with what the broker
// says. The client rewinds to its own view; if an unclear answer hid a commit, that view is old and records would be repeated.
func (s *session) agree(ctx context.Context) error {
	kept, err := groupOffsets(kadm.RequireStable(ctx), s.cl, s.o.Group)
	if err != nil {
		return fmt.Errorf("comparing committed offsets after an abort: %w", err)
	}
	for topic, parts := range s.cl.CommittedOffsets() {
		for n, mine := range parts {
			tp := topicPartition{topic, n}
			theirs := int64(-1)
			if o, ok := kept.Lookup(topic, n); ok {
				if o.Err != nil {
					return fmt.Errorf("comparing the committed offset of %s after an abort: %w", tp, o.Err)
				}
				theirs = o.At
			}
			if mine.Offset == theirs || mine.Offset < 0 && (theirs < 0 || theirs == s.origin[tp]) {
				continue
			}
			return fmt.Errorf("committed offset of %s is %d, not %d: an abort was none, or the partition has moved", tp, theirs, mine.Offset)
		}
	}
	return nil
}

// fence makes a transaction without input commit its partitions' present offsets again. The broker accepts that only from a
// living member of the present generation, which is what fences a transaction with input.
func (s *session) fence(ctx context.Context) (func(*kmsg.TxnOffsetCommitRequest) error, error) {
	committed := s.cl.CommittedOffsets()
	again := map[topicPartition]kgo.EpochOffset{}
	unknown := map[topicPartition]bool{}
	for tp := range s.owned {
		if at, ok := committed[tp.topic][tp.partition]; ok && at.Offset >= 0 {
			again[tp] = at
		} else {
			unknown[tp] = true
		}
	}
	if err := s.locate(ctx, unknown); err != nil {
		return nil, err
	}
	for tp := range unknown {
		again[tp] = kgo.EpochOffset{Epoch: -1, Offset: s.origin[tp]}
	}
	return func(req *kmsg.TxnOffsetCommitRequest) error {
		if len(req.Topics) > 0 {
			return errors.New("a transaction without input has input")
		}
		topics := map[string]int{}
		for tp, at := range again {
			i, ok := topics[tp.topic]
			if !ok {
				rt := kmsg.NewTxnOffsetCommitRequestTopic()
				rt.Topic = tp.topic
				i = len(req.Topics)
				topics[tp.topic] = i
				req.Topics = append(req.Topics, rt)
			}
			rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch = tp.partition, at.Offset, at.Epoch
			rp.Metadata = &req.MemberID
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
		}
		return nil
	}, nil
}

// locate notes where partitions begin that the group never committed: that is where the group will begin to read them.
func (s *session) locate(ctx context.Context, parts map[topicPartition]bool) error {
	var topics []string
	for tp := range parts {
		if _, known := s.origin[tp]; !known {
			topics = append(topics, tp.topic)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	starts, err := kadm.NewClient(s.cl).ListStartOffsets(ctx, topics...)
	if err != nil {
		return fmt.Errorf("looking for the start of partitions: %w", err)
	}
	for tp := range parts {
		at, ok := starts.Lookup(tp.topic, tp.partition)
		if !ok || at.Err != nil {
			return fmt.Errorf("looking for the start of %s: %w", tp, at.Err)
		}
		if _, known := s.origin[tp]; !known {
			s.origin[tp] = at.Offset
		}
	}
	return nil
}

// lookForAcceptance resumes stopped partitions whose poison somebody accepted.
func (s *session) lookForAcceptance() {
	for tp, at := range s.stopped {
		if time.Now().Before(at) {
			continue
		}
		s.stopped[tp] = time.Now().Add(acceptedEvery)
		ctx, cancel := context.WithTimeout(s.work, quitTimeout)
		accepted, err := acceptedOffset(ctx, s.cl, s.o.Group, tp)
		cancel()
		if err == nil && accepted > s.brakes[tp].accepted {
			s.brakes[tp].accepted = accepted
			s.resume(tp)
		}
	}
}
