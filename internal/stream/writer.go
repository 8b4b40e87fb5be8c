package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Writer writes transactions under one transactional id, of which only the newest holder can write. It is for a single
// goroutine. It never mends itself: after any error of Write it is dead, and the holder starts over from what Kafka has.
type Writer struct {
	cl    *kgo.Client
	id    string
	close sync.Once
	dead  error
}

// OpenWriter takes the transactional id over. When it returns, every older Writer with that id is fenced and its open
// transaction is aborted: what is read of this id's records from then on, up to the high watermark, is all there will ever be of
// theirs. It blocks while no broker answers, until ctx ends.
func OpenWriter(ctx context.Context, cfg Config, d Deps, transactionalID string) (*Writer, error) {
	if transactionalID == "" {
		return nil, errors.New("stream: a writer needs a transactional id")
	}
	transactionalID = cfg.Scoped(transactionalID)
	cl, err := newClient(cfg, d.withDefaults(), "writer-"+transactionalID,
		kgo.TransactionalID(transactionalID),
		kgo.TransactionTimeout(transactionTimeout),
	)
	if err != nil {
		return nil, err
	}
	for retry := newBackoff(); ; {
		_, _, err := cl.ProducerID(ctx)
		if err == nil {
			return &Writer{cl: cl, id: transactionalID}, nil
		}
		if c := classify(err); ctx.Err() != nil || c == fatal || c == fenced || !sleep(ctx, retry.next(nil)) {
			cl.Close()
			return nil, fmt.Errorf("taking the transactional id %s: %w", transactionalID, explain("", err))
		}
	}
}

// Write writes records in one transaction: read-committed readers see all of them or none. It blocks until the commit is
// acknowledged. See ToPartition for where they go.
//
// Any error is final for this Writer. The caller drops what it has buffered, closes, opens a new Writer and reads its checkpoint
// again. ErrFenced: somebody else holds the id now. ErrUnknownOutcome: the commit was sent, its answer did not come. ErrTooLarge:
// nothing was written and never will be while that record is among them. With any other error nothing was written.
func (w *Writer) Write(ctx context.Context, records []*kgo.Record) error {
	if w.dead != nil {
		return fmt.Errorf("writing after an error: %w", w.dead)
	}
	if len(records) == 0 {
		return nil
	}
	w.dead = w.write(ctx, records)
	return w.dead
}

func (w *Writer) write(ctx context.Context, records []*kgo.Record) error {
	if err := w.cl.BeginTransaction(); err != nil {
		return w.wrap("beginning a transaction", err)
	}
	var mu sync.Mutex
	var failed error
	for _, r := range records {
		w.cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if failed == nil || classify(err) == tooLarge {
				failed = explain("producing to "+r.Topic, err)
			}
		})
	}
	if err := w.cl.Flush(ctx); err != nil {
		w.abort()
		return w.wrap("producing in a transaction", err)
	}
	if failed != nil {
		w.abort()
		return w.wrap("writing a transaction", failed)
	}
	if err := w.cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		if classify(err) == fenced {
			return w.wrap("committing a transaction", err)
		}
		return fmt.Errorf("committing a transaction of %s: %w: %w", w.id, ErrUnknownOutcome, err)
	}
	return nil
}

// abort frees readers from the open transaction now rather than at its timeout. Its failure changes nothing.
func (w *Writer) abort() {
	ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
	defer cancel()
	if w.cl.AbortBufferedRecords(ctx) == nil {
		_ = w.cl.EndTransaction(ctx, kgo.TryAbort)
	}
}

func (w *Writer) wrap(doing string, err error) error {
	switch classify(err) {
	case fenced:
		err = fmt.Errorf("%w: %w", ErrFenced, err)
	case tooLarge:
		err = fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return fmt.Errorf("%s of %s: %w", doing, w.id, err)
}

// Close releases the connection. The id stays taken until somebody opens it again; nothing is written. It may be called more than
// once.
func (w *Writer) Close() { w.close.Do(w.cl.Close) }
