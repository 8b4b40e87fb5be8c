package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DeadLetter is a dead letter, read back. Topic, Partition and Offset are those of the source: they name the record for ever,
// and they are the same in a dead letter that was written twice.
type DeadLetter struct {
	Topic     string
	Partition int32
	Offset    int64
	Group     string
	Reason    string
	Error     string
	Time      time.Time
	// Cut says that the value is only the beginning of the source's, which had Size bytes and this SHA-256 (hex).
	Cut    bool
	Size   int
	SHA256 string
	// Replayed is set in the note of a replay, which is no dead letter.
	Replayed time.Time
	// Record is the dead letter itself: key, value and, before ours, the source's headers.
	Record *kgo.Record
}

// ParseDeadLetter reads the headers of a dead letter.
func ParseDeadLetter(r *kgo.Record) (DeadLetter, error) {
	d := DeadLetter{Record: r, Size: len(r.Value), Partition: -1, Offset: -1}
	var errs []error
	for _, h := range r.Headers {
		var err error
		v := string(h.Value)
		switch h.Key {
		case HeaderDeadTopic:
			d.Topic = v
		case HeaderDeadPartition:
			var n int64
			n, err = strconv.ParseInt(v, 10, 32)
			d.Partition = int32(n)
		case HeaderDeadOffset:
			d.Offset, err = strconv.ParseInt(v, 10, 64)
		case HeaderDeadGroup:
			d.Group = v
		case HeaderDeadReason:
			d.Reason = v
		case HeaderDeadError:
			d.Error = v
		case HeaderDeadTime:
			d.Time, err = time.Parse(time.RFC3339Nano, v)
		case HeaderDeadReplayed:
			d.Replayed, err = time.Parse(time.RFC3339Nano, v)
		case HeaderDeadSize:
			d.Cut = true
			d.Size, err = strconv.Atoi(v)
		case HeaderDeadSHA256:
			d.SHA256 = v
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("header %s: %w", h.Key, err))
		}
	}
	if d.Topic == "" || d.Partition < 0 || d.Offset < 0 {
		errs = append(errs, fmt.Errorf("%s/%d offset %d is no dead letter: it does not name its source", r.Topic, r.Partition, r.Offset))
	}
	return d, errors.Join(errs...)
}

// ReadDeadLetters shows every dead letter of a dead-letter topic to fn, oldest first, up to the present end. Records that are no
// dead letters, and the marks of replays, are passed over. fn may return ErrStop.
func ReadDeadLetters(ctx context.Context, cfg Config, d Deps, topic string, fn func(DeadLetter) error) error {
	return ReadTopic(ctx, cfg, d, ReadOptions{Topic: topic, From: FromStart}, func(r *kgo.Record) error {
		if isMark(r) {
			return nil
		}
		letter, err := ParseDeadLetter(r)
		if err != nil {
			return nil //nolint:nilerr // somebody else's record in our topic is not ours to judge
		}
		return fn(letter)
	})
}

// ErrNoDeadLetter says that there is no dead letter of that source.
var ErrNoDeadLetter = errors.New("no such dead letter")

// FindDeadLetter returns the newest dead letter of the source record given, from a dead-letter topic.
func FindDeadLetter(ctx context.Context, cfg Config, d Deps, deadTopic, topic string, partition int32, offset int64) (DeadLetter, error) {
	var found DeadLetter
	err := ReadDeadLetters(ctx, cfg, d, deadTopic, func(l DeadLetter) error {
		if l.Topic == topic && l.Partition == partition && l.Offset == offset {
			found = l
		}
		return nil
	})
	if err == nil && found.Record == nil {
		err = fmt.Errorf("%s/%d offset %d in %s: %w", topic, partition, offset, deadTopic, ErrNoDeadLetter)
	}
	return found, err
}
