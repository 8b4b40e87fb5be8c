package capture

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Recorder writes lines in the order of their arrival. It may be used by several goroutines.
type Recorder struct {
	now func() time.Time

	mu       sync.Mutex
	plain    *bufio.Writer
	packed   flusher
	counted  counter
	lines    map[string]int64
	unpacked int64
	err      error // the first; nothing is written after it
}

type flusher interface {
	io.WriteCloser
	Flush() error
}

// counter counts the bytes that reach the file.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// NewRecorder writes to w, compressed as the end of name says: .zst, .gz, or not. The caller closes the recorder, and then w.
func NewRecorder(w io.Writer, name string, now func() time.Time) (*Recorder, error) {
	r := &Recorder{now: now, counted: counter{w: w}, lines: map[string]int64{}}
	switch {
	case strings.HasSuffix(name, ".zst"):
		z, err := zstd.NewWriter(&r.counted, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("compressing with Zstandard: %w", err)
		}
		r.packed = z
	case strings.HasSuffix(name, ".gz"):
		r.packed = gzip.NewWriter(&r.counted)
	default:
		r.packed = plainWriter{&r.counted}
	}
	r.plain = bufio.NewWriterSize(r.packed, 64<<10)
	return r, nil
}

type plainWriter struct{ io.Writer }

func (plainWriter) Flush() error { return nil }
func (plainWriter) Close() error { return nil }

// line is a watch event with the time of its arrival.
type line struct {
	Type       string    `json:"type"`
	ObservedAt time.Time `json:"observedAt"`
	Object     any       `json:"object"`
}

// Note writes a watch event of a resource, stamped with the time.
func (r *Recorder) Note(resource, kind string, object any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines[resource]++
	return r.write(line{Type: kind, ObservedAt: r.now().UTC(), Object: object})
}

// head writes a line that is no watch event.
func (r *Recorder) head(object any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(object)
}

func (r *Recorder) write(value any) error {
	if r.err != nil {
		return r.err
	}
	b, err := json.Marshal(value)
	if err == nil {
		r.unpacked += int64(len(b)) + 1
		_, err = r.plain.Write(append(b, '\n'))
	}
	if err != nil {
		r.err = fmt.Errorf("writing the capture: %w", err)
	}
	return r.err
}

// Flush hands everything to the file, so that a process that is killed loses no more than what came after.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flush()
}

func (r *Recorder) flush() error {
	if r.err != nil {
		return r.err
	}
	err := r.plain.Flush()
	if err == nil {
		err = r.packed.Flush()
	}
	if err != nil {
		r.err = fmt.Errorf("writing the capture: %w", err)
	}
	return r.err
}

// Close ends the compressed stream.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.flush()
	if c := r.packed.Close(); err == nil && c != nil {
		err = fmt.Errorf("writing the capture: %w", c)
	}
	return err
}

// Counts are the lines by resource, and the bytes before and after compression.
func (r *Recorder) Counts() (lines map[string]int64, unpacked, packed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines = make(map[string]int64, len(r.lines))
	for k, v := range r.lines {
		lines[k] = v
	}
	return lines, r.unpacked, r.counted.n
}
