package producer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// Recording is one input of Replay: NDJSON of watch events ({"type","object"}), of Events and Pods, or one List or EventList, on one
// line or many, compressed with gzip or Zstandard or not; the content decides, not the name.
type Recording struct {
	// Name stands for it in errors.
	Name string
	// Open gives it from its start. The caller closes what it gets.
	Open func() (io.ReadCloser, error)
	// Once says that it can be read only once, and so can't be resumed: standard input.
	Once bool
}

// File is the recording in the file at path.
func File(path string) Recording {
	return Recording{Name: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// Stdin is the recording that r gives. It can't be looked through before it is played, nor resumed: a broken line is found when
// those before it are written, and a second run emits everything again. The index keeps one document of each revision all the same.
func Stdin(r io.Reader) Recording {
	return Recording{Name: "stdin", Once: true, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
}

// BadLineError says which line of which recording can't be read, and why.
type BadLineError struct {
	File string
	Line int64 // from 1
	Err  error
}

// Error is "FILE:LINE: reason".
func (e *BadLineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap is the reason.
func (e *BadLineError) Unwrap() error { return e.Err }

// uncompressed reads through gzip or Zstandard if r is compressed.
func uncompressed(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, sniffBytes)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("reading gzip: %w", err)
		}
		return z, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return newZstandard(b)
	}
	return b, nil
}

// zstandard tells damage of the compressed bytes from errors of reading them. It is decoded by the reading goroutine, so there is
// nothing to close.
type zstandard struct {
	*zstd.Decoder
	source *noted
}

// errDamaged says that compressed bytes are not what was written.
var errDamaged = errors.New("the compressed bytes are damaged")

func newZstandard(r io.Reader) (io.Reader, error) {
	source := &noted{r: r}
	d, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, fmt.Errorf("reading Zstandard: %w", err)
	}
	return &zstandard{d, source}, nil
}

func (z *zstandard) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && z.source.err == nil {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return n, err
}

// noted remembers the error of a reader, but for its end.
type noted struct {
	r   io.Reader
	err error
}

func (n *noted) Read(p []byte) (int, error) {
	c, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return c, err
}
