package stream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// committer commits what the workers finished: one request at a time, with everything that came in meanwhile.
type committer struct {
	c       *consumer
	signal  chan struct{}
	stopped chan struct{}
	ended   chan struct{}

	sending sync.Mutex // held during a request
	mu      sync.Mutex
	// done is keyed by the assignment, not by the partition: what an earlier assignment left must never be committed.
	done map[*part]finished
}

type finished struct {
	offset  kgo.EpochOffset
	records int
}

func newCommitter(c *consumer) *committer {
	return &committer{
		c: c, signal: make(chan struct{}, 1), stopped: make(chan struct{}), ended: make(chan struct{}),
		done: map[*part]finished{},
	}
}

func (k *committer) add(p *part, offset kgo.EpochOffset, records int) {
	k.mu.Lock()
	k.done[p] = finished{offset, k.done[p].records + records}
	k.mu.Unlock()
	select {
	case k.signal <- struct{}{}:
	default:
	}
}

// forget drops what is left of an assignment that ended. It waits for a request in flight.
func (k *committer) forget(p *part) {
	k.sending.Lock()
	defer k.sending.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.done, p)
}

func (k *committer) run() {
	defer close(k.ended)
	retry := newBackoff()
	for {
		select {
		case <-k.signal:
		case <-k.stopped:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := k.flush(ctx)
		cancel()
		if err == nil {
			retry.reset()
			continue
		}
		k.c.d.Log.Warn("committing offsets failed; tried again", "group", k.c.o.Group, "err", err)
		select {
		case <-time.After(retry.next(nil)):
			k.poke()
		case <-k.stopped:
			return
		}
	}
}

func (k *committer) poke() {
	select {
	case k.signal <- struct{}{}:
	default:
	}
}

func (k *committer) stop() {
	close(k.stopped)
	<-k.ended
}

// flush commits everything that is done. What fails stays for the next time.
func (k *committer) flush(ctx context.Context) error {
	k.sending.Lock()
	defer k.sending.Unlock()
	k.mu.Lock()
	sent := k.done
	k.done = map[*part]finished{}
	k.mu.Unlock()
	if len(sent) == 0 {
		return nil
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for p, f := range sent {
		if offsets[p.tp.topic] == nil {
			offsets[p.tp.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.tp.topic][p.tp.partition] = f.offset
	}
	failed := map[topicPartition]error{}
	var whole error
	k.c.cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if whole = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed[topicPartition{t.Topic, p.Partition}] = err
				}
			}
		}
	})
	return k.settle(sent, failed, whole)
}

func (k *committer) settle(sent map[*part]finished, failed map[topicPartition]error, whole error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	errs := []error{whole}
	for p, f := range sent {
		err := failed[p.tp]
		if whole == nil && err == nil {
			k.c.m.records.WithLabelValues(k.c.o.Group, p.tp.topic).Add(float64(f.records))
			continue
		}
		errs = append(errs, err)
		if newer, ok := k.done[p]; ok {
			f = finished{newer.offset, newer.records + f.records}
		}
		k.done[p] = f
	}
	err := errors.Join(errs...)
	result := "ok"
	if err != nil {
		result = "error"
	}
	k.c.m.commits.WithLabelValues(k.c.o.Group, result).Inc()
	return err
}
