package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ReadTable reads one partition of a compacted topic, read committed, from its start up to the high watermark at the time of the
// call, and gives each record to fn in order: the last one of a key counts, a nil value deletes. It returns when everything below
// that watermark was seen; it does not wait for a record to show that, so a tail of control records, aborted records or
// compacted-away records ends it too. While a foreign transaction is open below the watermark it waits, within ctx, for its end.
//
// It blocks while no broker answers, until ctx ends. An error of fn ends it and is returned as it is. Records belong to fn.
func ReadTable(ctx context.Context, cfg Config, d Deps, topic string, partition int32, fn func(*kgo.Record) error) error {
	d = d.withDefaults()
	cl, err := newClient(cfg, d, "table", kgo.RetryTimeout(10*time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	r := &tableReader{cl: cl, tp: topicPartition{topic, partition}}
	var patience patience
	end, next := int64(-1), int64(-1)
	for retry := newBackoff(); ; {
		err := func() error {
			if end < 0 {
				bounds, err := r.bounds(ctx)
				if err != nil {
					return err
				}
				next, end = bounds.start, bounds.end
			}
			for next < end {
				at, err := r.fetch(ctx, next, end, fn)
				next = at
				if err != nil {
					return err
				}
				retry.reset()
			}
			return nil
		}()
		var own *callbackError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &own):
			return own.err
		case ctx.Err() != nil:
			return fmt.Errorf("reading %s up to offset %d, at %d: %w", r.tp, end, next, context.Cause(ctx))
		case patience.over(err, false), errors.As(err, new(*configError)):
			return fmt.Errorf("reading %s: %w", r.tp, explain("", err))
		}
		d.Log.Warn("reading a table failed; tried again", "topic", topic, "partition", partition, "err", err)
		sleep(ctx, retry.next(nil))
	}
}

// callbackError carries an error of the reader's callback past the retries.
type callbackError struct{ err error }

func (e *callbackError) Error() string { return e.err.Error() }

// tableReader fetches by hand: the client's own consumer doesn't say how far it has come when there is no record to show.
type tableReader struct {
	cl   *kgo.Client
	tp   topicPartition
	id   [16]byte
	node int32
	// empty counts answers in a row without data although everything up to the end is readable.
	empty int
}

type bounds struct{ start, end int64 }

// bounds asks the leader for the first offset and the high watermark.
func (r *tableReader) bounds(ctx context.Context) (bounds, error) {
	if err := r.locate(ctx); err != nil {
		return bounds{}, err
	}
	var b bounds
	for _, q := range []struct {
		at int64
		to *int64
	}{{-2, &b.start}, {-1, &b.end}} {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = r.tp.topic
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = r.tp.partition, q.at
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := req.RequestWith(ctx, r.cl)
		if err != nil {
			return b, fmt.Errorf("asking for offsets: %w", err)
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return b, errors.New("asking for offsets: the answer is empty")
		}
		if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
			return b, fmt.Errorf("asking for offsets: %w", err)
		}
		*q.to = resp.Topics[0].Partitions[0].Offset
	}
	return b, nil
}

func (r *tableReader) locate(ctx context.Context) error {
	found, missing, err := describe(ctx, r.cl, []string{r.tp.topic})
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return missingTopics(missing)
	}
	topic := found[r.tp.topic]
	for _, p := range topic.partitions {
		if p.Partition == r.tp.partition {
			if p.Leader < 0 {
				return fmt.Errorf("%s has no leader", r.tp)
			}
			r.id, r.node = topic.id, p.Leader
			return nil
		}
	}
	return &configError{fmt.Sprintf("topic %s has no partition %d, only %d", r.tp.topic, r.tp.partition, len(topic.partitions))}
}

// fetch reads once from offset and returns where to go on. It delivers nothing at or above end.
func (r *tableReader) fetch(ctx context.Context, offset, end int64, fn func(*kgo.Record) error) (int64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.SessionEpoch = -1, -1
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, 16<<20
	req.IsolationLevel = 1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = r.tp.topic, r.id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = r.tp.partition, offset, 8<<20
	rp.CurrentLeaderEpoch, rp.LastFetchedEpoch, rp.LogStartOffset = -1, -1, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	raw, err := r.cl.Broker(int(r.node)).Request(ctx, req)
	if err != nil {
		return offset, r.moved(ctx, fmt.Errorf("fetching: %w", err))
	}
	resp := raw.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return offset, r.moved(ctx, fmt.Errorf("fetching: %w", err))
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return offset, errors.New("fetching: the answer is empty")
	}
	got := &resp.Topics[0].Partitions[0]
	switch err := kerr.ErrorForCode(got.ErrorCode); {
	case errors.Is(err, kerr.OffsetOutOfRange):
		// Retention or a deletion of records moved the start while reading: what was below is gone for everyone.
		b, err := r.bounds(ctx)
		if err == nil && b.start <= offset {
			err = fmt.Errorf("fetching: offset %d is out of range, and the log ends at %d: it was cut", offset, b.end)
		}
		return max(offset, b.start), err
	case err != nil:
		return offset, r.moved(ctx, fmt.Errorf("fetching: %w", err))
	}
	if len(got.RecordBatches) > 0 || got.LastStableOffset < end || resp.ThrottleMillis > 0 {
		r.empty = 0
		return r.deliver(got, offset, end, fn)
	}
	// Compaction can take away the last batches, and then a broker has nothing to show from here on, for ever.
	if r.empty++; r.empty >= 2 {
		return end, nil
	}
	return offset, nil
}

func (r *tableReader) deliver(got *kmsg.FetchResponseTopicPartition, offset, end int64, fn func(*kgo.Record) error) (int64, error) {
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: r.tp.topic, Partition: r.tp.partition,
	}, got, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil {
		return offset, fmt.Errorf("decoding a fetch: %w", fetched.Err)
	}
	for _, rec := range fetched.Records {
		if rec.Offset >= end {
			return end, nil
		}
		if err := fn(rec); err != nil {
			return offset, &callbackError{err}
		}
	}
	return max(next, offset), nil
}

// moved finds the leader again before the next try.
func (r *tableReader) moved(ctx context.Context, cause error) error {
	if err := r.locate(ctx); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}
