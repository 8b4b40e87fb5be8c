package producer

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// frame is one event of a watch.
type frame struct {
	kind watch.EventType
	// raw is an Event's protobuf. Of a frame with bad set it is what came.
	raw []byte
	// status is set for kind Error.
	status error
	// bad says that nobody can read this frame. Those after it are not concerned.
	bad error
}

// eventWatch reads the frames of a watch in a goroutine of its own, several at a time when they come quickly.
type eventWatch struct {
	// frames is closed at the watch's end; err is then valid.
	frames chan []frame
	err    error // nil when the server ended the watch

	body   io.Closer
	cancel context.CancelFunc
	once   sync.Once
	done   chan struct{}
}

const (
	frameBatch   = 256
	frameBuffer  = 256 << 10
	maxFrame     = 64 << 20
	frameMemory  = 128 << 10
	batchesAhead = 4
)

func newEventWatch(ctx context.Context, cancel context.CancelFunc, body io.ReadCloser) *eventWatch {
	w := &eventWatch{frames: make(chan []frame, batchesAhead), body: body, cancel: cancel, done: make(chan struct{})}
	go w.run(ctx, body)
	return w
}

// Stop ends the watch and waits for its goroutine. It may be called more than once.
func (w *eventWatch) Stop() {
	w.once.Do(func() {
		w.cancel()
		_ = w.body.Close()
		<-w.done
	})
}

func (w *eventWatch) run(ctx context.Context, body io.Reader) {
	defer close(w.done)
	defer close(w.frames)
	r := &frameReader{r: bufio.NewReaderSize(body, frameBuffer)}
	var batch []frame
	for {
		f, err := r.next()
		if err == nil {
			batch = append(batch, f)
			if r.more() && len(batch) < frameBatch {
				continue
			}
		}
		if len(batch) > 0 {
			select {
			case w.frames <- batch:
				batch = make([]frame, 0, min(2*len(batch), frameBatch))
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				w.err = fmt.Errorf("watching events: %w", err)
			}
			return
		}
	}
}

// frameReader cuts a watch's bytes into frames. An error is final: the stream is at its end, or nobody can say where the next
// frame begins.
type frameReader struct {
	r      *bufio.Reader
	begun  bool
	json   *json.Decoder
	memory []byte
}

// more reports whether another frame can be read without waiting.
func (r *frameReader) more() bool {
	if r.json != nil || r.r.Buffered() < 4 {
		return false
	}
	size, err := r.r.Peek(4)
	return err == nil && r.r.Buffered()-4 >= int(binary.BigEndian.Uint32(size))
}

func (r *frameReader) next() (frame, error) {
	if !r.begun {
		first, err := r.r.Peek(1)
		if err != nil {
			return frame{}, err
		}
		r.begun = true
		if isJSON(first) {
			r.json = json.NewDecoder(r.r)
		}
	}
	if r.json != nil {
		return r.nextJSON()
	}
	var head [4]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return frame{}, err
	}
	size := int(binary.BigEndian.Uint32(head[:]))
	if size > maxFrame {
		return frame{}, fmt.Errorf("a frame of %d bytes is no frame", size)
	}
	if cap(r.memory)-len(r.memory) < size {
		r.memory = make([]byte, 0, max(frameMemory, size))
	}
	from := len(r.memory)
	r.memory = r.memory[:from+size]
	b := r.memory[from:]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return frame{}, noEOF(err)
	}
	return parseFrame(b), nil
}

// noEOF keeps a frame that was torn off from passing for the end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errNoFrame = errors.New("it is no watch event of a core/v1 Event")

// parseFrame reads a watch event: type and object, and the object's envelope.
func parseFrame(b []byte) frame {
	f := frame{raw: b}
	var object []byte
	c := cursor{b: b}
	for {
		field, kind, _, value, more := c.next()
		if !more {
			break
		}
		switch {
		case field == 1 && kind == wireBytes:
			f.kind = eventType(value)
		case field == 2 && kind == wireBytes:
			for o := (cursor{b: value}); ; {
				field, kind, _, value, more := o.next()
				c.bad = c.bad || o.bad
				if !more {
					break
				}
				if field == 1 && kind == wireBytes {
					object = value
				}
			}
		}
	}
	if f.kind == watch.Error {
		f.status = statusError(object)
		return f
	}
	kind, raw, ok := unwrap(object)
	if c.bad || !ok || kind != "Event" || f.kind == "" {
		f.bad = errNoFrame
		return f
	}
	f.raw = raw
	return f
}

// eventType is "" for what is no type.
func eventType(b []byte) watch.EventType {
	switch t := watch.EventType(b); t {
	case watch.Added, watch.Modified, watch.Deleted, watch.Bookmark, watch.Error:
		return t
	}
	return ""
}

// statusError is what an ERROR event says.
func statusError(object []byte) error {
	decoded, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), object)
	if err != nil {
		return fmt.Errorf("an error that can't be read: %w", err)
	}
	return watchError(decoded)
}

func (r *frameReader) nextJSON() (frame, error) {
	var e metav1.WatchEvent
	if err := r.json.Decode(&e); err != nil {
		return frame{}, err
	}
	f := frame{kind: eventType([]byte(e.Type)), raw: e.Object.Raw}
	if f.kind == watch.Error {
		f.status = statusError(e.Object.Raw)
		return f, nil
	}
	ev := new(corev1.Event)
	if err := kjson.Unmarshal(e.Object.Raw, ev); err != nil || f.kind == "" || ev.Kind != "Event" {
		f.bad = errors.Join(errNoFrame, err)
		return f, nil
	}
	raw, err := ev.Marshal()
	if err != nil {
		f.bad = err
		return f, nil
	}
	f.raw = raw
	return f, nil
}
