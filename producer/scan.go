package producer

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// sniffBytes is how far a scan looks ahead to tell a list from lines.
	sniffBytes = 64 << 10
	// maxLineBytes bounds one JSON value that is not a list. An Event in etcd has at most a few MiB.
	maxLineBytes = 64 << 20
)

// entry is one JSON value of a recording: a line, several lines that were printed prettily, or an item of a list.
type entry struct {
	line int64 // where it begins, from 1
	raw  json.RawMessage
	err  error // why it can't be read; the scan goes on behind it
}

// scan gives every entry of a recording to yield, in order, until yield says false. The same bytes give the same entries. Its error
// is that of reading; what is broken in the recording comes as an entry. A list is streamed, never held whole.
func scan(r io.Reader, yield func(entry) bool) error {
	lines := &lineReader{r: bufio.NewReaderSize(r, sniffBytes)}
	if bom, _ := lines.r.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = lines.r.Discard(3)
	}
	for look := true; ; {
		_, err := lines.r.Peek(1)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return lines.fail(err, yield)
		}
		// Only what is there already: a pipe may give the next line in an hour. A list that isn't seen here comes as one value.
		ahead, _ := lines.r.Peek(lines.r.Buffered())
		goOn := false
		if look = look && isList(ahead); look {
			goOn, err = lines.list(yield)
		} else {
			goOn, err = lines.value(yield)
		}
		if err != nil || !goOn {
			return err
		}
	}
}

// isList looks at the first keys of a JSON object: a list shows its kind or its items before any key of an Event.
func isList(ahead []byte) bool {
	d := json.NewDecoder(bytes.NewReader(ahead))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false
		}
		switch key {
		case "items":
			return true
		case "apiVersion", "metadata":
			var skipped json.RawMessage
			if d.Decode(&skipped) != nil {
				return false
			}
		case "kind":
			kind, err := d.Token()
			return err == nil && (kind == "List" || kind == "EventList")
		default:
			return false
		}
	}
	return false
}

// lineReader reads a recording and knows the line.
type lineReader struct {
	r    *bufio.Reader
	line int64 // lines read so far
}

// fail turns damage of the file into an entry, and leaves errors of reading as they are.
func (l *lineReader) fail(err error, yield func(entry) bool) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, errDamaged) || errors.As(err, &corrupt) {
		yield(entry{line: l.line + 1, err: fmt.Errorf("the compressed file is damaged: %w", err)})
		return nil
	}
	return err
}

// value reads one line, or the lines of a value that was printed prettily: from a line "{" to a line "}".
func (l *lineReader) value(yield func(entry) bool) (goOn bool, err error) {
	line, err := l.next(nil)
	begin := l.line
	value := bytes.TrimSpace(line)
	pretty := bytes.Equal(bytes.TrimRight(line, " \t\r\n"), []byte("{"))
	for pretty && err == nil {
		if ahead, _ := l.r.Peek(2); len(ahead) == 2 && ahead[0] == '{' && (ahead[1] == '\n' || ahead[1] == '\r') {
			break // the value before it was cut off
		}
		from := len(line)
		line, err = l.next(line)
		if bytes.Equal(bytes.TrimRight(line[from:], " \t\r\n"), []byte("}")) {
			break
		}
	}
	if pretty {
		value = bytes.TrimSpace(line)
	}
	if len(value) > 0 && !l.emit(begin, value, err, yield) {
		return false, nil
	}
	switch {
	case errors.Is(err, io.EOF):
		return false, nil
	case errors.Is(err, errLongLine):
		return true, nil
	case err != nil:
		return false, l.fail(err, yield)
	}
	return true, nil
}

var errLongLine = fmt.Errorf("the line has more than %d bytes", maxLineBytes)

func (l *lineReader) emit(line int64, value []byte, err error, yield func(entry) bool) bool {
	if errors.Is(err, errLongLine) {
		return yield(entry{line: line, err: err})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return true // what was read before the damage is a piece of a value
	}
	if !json.Valid(value) {
		var raw json.RawMessage // decoding says why
		return yield(entry{line: line, err: fmt.Errorf("decoding JSON: %w", json.Unmarshal(value, &raw))})
	}
	return yield(entry{line: line, raw: value})
}

// next appends a line to what is there. A line that is too long is read to its end and dropped.
func (l *lineReader) next(to []byte) ([]byte, error) {
	var long bool
	for {
		part, err := l.r.ReadSlice('\n')
		if long = long || len(to)+len(part) > maxLineBytes; !long {
			to = append(to, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err == nil || len(part) > 0 {
			l.line++
		}
		if long && (err == nil || errors.Is(err, io.EOF)) {
			err = errLongLine
		}
		return to, err
	}
}

// list streams the items of one list. A list that is broken can't be read on: nobody knows where the next item begins.
func (l *lineReader) list(yield func(entry) bool) (goOn bool, err error) {
	counted := &newlines{r: l.r, line: l.line}
	d := json.NewDecoder(counted)
	goOn, err = listItems(d, counted, yield)
	if err == nil {
		// What the decoder has read too far goes back.
		l.line = counted.at(d.InputOffset())
		l.r = bufio.NewReaderSize(io.MultiReader(d.Buffered(), l.r), sniffBytes)
		l.skipBlank()
		return goOn, nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errNoItems) {
		yield(entry{line: counted.at(d.InputOffset()) + 1, err: fmt.Errorf("decoding a list: %w", err)})
		return false, nil
	}
	return false, l.fail(err, yield)
}

func (l *lineReader) skipBlank() {
	for {
		c, err := l.r.ReadByte()
		switch {
		case err != nil:
			return
		case c == '\n':
			l.line++
		case c != ' ' && c != '\t' && c != '\r':
			_ = l.r.UnreadByte()
			return
		}
	}
}

var errNoItems = errors.New("items is neither an array nor null")

func listItems(d *json.Decoder, at *newlines, yield func(entry) bool) (goOn bool, err error) {
	if _, err := d.Token(); err != nil { // {
		return false, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false, err
		}
		if key != "items" {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return false, err
			}
			continue
		}
		switch open, err := d.Token(); {
		case err != nil:
			return false, err
		case open == nil:
			continue
		case open != json.Delim('['):
			return false, errNoItems
		}
		for d.More() {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return false, err
			}
			if !yield(entry{line: at.at(d.InputOffset()-int64(len(raw))) + 1, raw: raw}) {
				return false, nil
			}
		}
		if _, err := d.Token(); err != nil { // ]
			return false, err
		}
	}
	_, err = d.Token() // }
	return true, err
}

// newlines counts the lines of what passes through it.
type newlines struct {
	r    io.Reader
	read int64
	line int64   // lines that ended before the last offset asked for
	ends []int64 // offsets behind the line ends since then
}

func (n *newlines) Read(p []byte) (int, error) {
	c, err := n.r.Read(p)
	for i, b := range p[:c] {
		if b == '\n' {
			n.ends = append(n.ends, n.read+int64(i)+1)
		}
	}
	n.read += int64(c)
	return c, err
}

// at is the number of lines that end before offset, which may not go back.
func (n *newlines) at(offset int64) int64 {
	i := 0
	for i < len(n.ends) && n.ends[i] <= offset {
		i++
	}
	n.line += int64(i)
	n.ends = append(n.ends[:0], n.ends[i:]...)
	return n.line
}
