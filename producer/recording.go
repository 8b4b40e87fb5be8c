package producer

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// Recording is one input of Replay: NDJSON of watch events ({"type","object"}), of Events, or one List or EventList, on one
// line or many, compressed with gzip or not; the content decides, not the name.
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

// uncompressed reads through gzip if r is compressed.
func uncompressed(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, sniffBytes)
	magic, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("reading gzip: %w", err)
	}
	return z, nil
}
