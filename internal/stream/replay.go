package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// HeaderDeadReplayed marks a record of a dead-letter topic as no dead letter, but the note that the one of that source was
// replayed, with the time, RFC 3339 with nanoseconds.
const HeaderDeadReplayed = "deadletter_replayed"

// ErrNotReplayable says that a dead letter no longer holds what it was.
var ErrNotReplayable = errors.New("it cannot be replayed")

// Origin names the source record of a dead letter.
type Origin struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String is TOPIC/PARTITION/OFFSET.
func (o Origin) String() string { return fmt.Sprintf("%s/%d/%d", o.Topic, o.Partition, o.Offset) }

// Origin is the record that l was.
func (l DeadLetter) Origin() Origin { return Origin{l.Topic, l.Partition, l.Offset} }

func isMark(r *kgo.Record) bool {
	return slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == HeaderDeadReplayed })
}

// ReadReplays says which dead letters of a dead-letter topic were replayed, and when last.
func ReadReplays(ctx context.Context, cfg Config, d Deps, deadTopic string) (map[Origin]time.Time, error) {
	replays := map[Origin]time.Time{}
	err := ReadTopic(ctx, cfg, d, ReadOptions{Topic: deadTopic, From: FromStart}, func(r *kgo.Record) error {
		if !isMark(r) {
			return nil
		}
		l, err := ParseDeadLetter(r)
		if err != nil {
			return nil //nolint:nilerr // somebody else's record in our topic is not ours to judge
		}
		replays[l.Origin()] = l.Replayed
		return nil
	})
	return replays, err
}

// Replayer replays dead letters of one dead-letter topic. Each Replay is a transaction: the records are back in the topics that
// they came from and noted as replayed, or neither, also when the process is killed. It is for one goroutine.
type Replayer struct {
	w    *Writer
	dead string
	done map[Origin]time.Time
	now  func() time.Time
}

// OpenReplayer takes the dead-letter topic's replays over from any other Replayer, which can't write from then on, and reads what
// was replayed before. Close it.
func OpenReplayer(ctx context.Context, cfg Config, d Deps, deadTopic string) (*Replayer, error) {
	w, err := OpenWriter(ctx, cfg, d, deadTopic+".replay")
	if err != nil {
		return nil, err
	}
	done, err := ReadReplays(ctx, cfg, d, deadTopic)
	if err != nil {
		w.Close()
		return nil, err
	}
	return &Replayer{w: w, dead: deadTopic, done: done, now: d.withDefaults().Now}, nil
}

// Done says whether and when a dead letter was replayed.
func (r *Replayer) Done(l DeadLetter) (time.Time, bool) {
	at, ok := r.done[l.Origin()]
	return at, ok
}

// CheckReplay returns an error for which ErrNotReplayable holds when l has lost its value's end or its headers.
func CheckReplay(l DeadLetter) error {
	switch {
	case l.Cut:
		return fmt.Errorf("%s: the first %d of %d bytes were kept: %w", l.Origin(), len(l.Record.Value), l.Size, ErrNotReplayable)
	case slices.ContainsFunc(l.Record.Headers, func(h kgo.RecordHeader) bool { return h.Key == HeaderDeadNoHeaders }):
		return fmt.Errorf("%s: its headers were too large to keep: %w", l.Origin(), ErrNotReplayable)
	}
	return nil
}

// Replay writes the dead letters' keys, values and headers to the ends of the partitions that they came from, as they were, in one
// transaction with the note of it. After an error other than ErrNotReplayable, which writes nothing, the Replayer is dead, as a
// Writer is: open another one, which knows what has become of the transaction.
func (r *Replayer) Replay(ctx context.Context, letters ...DeadLetter) error {
	var records []*kgo.Record
	for _, l := range letters {
		if err := CheckReplay(l); err != nil {
			return err
		}
		again := ToPartition(&kgo.Record{Topic: l.Topic, Key: l.Record.Key, Value: l.Record.Value}, l.Partition)
		for _, h := range l.Record.Headers {
			if !strings.HasPrefix(h.Key, headerDeadPrefix) {
				again.Headers = append(again.Headers, h)
			}
		}
		records = append(records, again)
	}
	return r.write(ctx, letters, records)
}

// Note notes that the dead letters were handled in another way, in one transaction.
func (r *Replayer) Note(ctx context.Context, letters ...DeadLetter) error {
	return r.write(ctx, letters, nil)
}

func (r *Replayer) write(ctx context.Context, letters []DeadLetter, records []*kgo.Record) error {
	now := r.now()
	for _, l := range letters {
		records = append(records, r.mark(l.Origin(), now))
	}
	if err := r.w.Write(ctx, records); err != nil {
		return fmt.Errorf("replaying: %w", err)
	}
	for _, l := range letters {
		r.done[l.Origin()] = now
	}
	return nil
}

func (r *Replayer) mark(o Origin, now time.Time) *kgo.Record {
	own := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	return &kgo.Record{Topic: r.dead, Key: []byte(o.String()), Headers: []kgo.RecordHeader{
		own(HeaderDeadTopic, o.Topic), own(HeaderDeadPartition, fmt.Sprint(o.Partition)), own(HeaderDeadOffset, fmt.Sprint(o.Offset)),
		own(HeaderDeadReplayed, now.UTC().Format(time.RFC3339Nano)),
	}}
}

// Close releases the connection.
func (r *Replayer) Close() { r.w.Close() }
