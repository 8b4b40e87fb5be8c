package schemas

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// Encode is the value of the record: the bytes that are indexed. They are those of the function Encode, in a third of its
// time: an enricher spends more of its time here than anywhere else.
func (d *Document) Encode() ([]byte, error) {
	a, _ := appenders.Get().(*appender)
	if a == nil {
		a = &appender{}
	}
	a.b, a.err = a.b[:0], nil
	a.document(d)
	b, err := bytes.Clone(a.b), a.err
	if cap(a.b) <= 64<<10 { // the few large ones are not worth keeping
		appenders.Put(a)
	}
	return b, err
}

// appenders are kept for their buffers, which have grown to the size of documents.
var appenders sync.Pool

// appender writes JSON as encoding/json does without the escapes for HTML. Members are left out as the tags of the structs
// say; the parts that few documents have are left to encoding/json.
type appender struct {
	b   []byte
	err error
}

// open begins an object, which is a member when name is not empty.
func (a *appender) open(name string) {
	if name != "" {
		a.name(name)
	}
	a.b = append(a.b, '{')
}

func (a *appender) close() { a.b = append(a.b, '}') }

// name begins a member. Names are ours and need no escapes.
func (a *appender) name(name string) {
	if a.b[len(a.b)-1] != '{' {
		a.b = append(a.b, ',')
	}
	a.b = append(a.b, '"')
	a.b = append(a.b, name...)
	a.b = append(a.b, '"', ':')
}

func (a *appender) str(name, v string) {
	a.name(name)
	a.b = appendString(a.b, v)
}

// some is a string that is left out when it is empty.
func (a *appender) some(name, v string) {
	if v != "" {
		a.str(name, v)
	}
}

func (a *appender) strs(name string, vs []string) {
	if len(vs) == 0 {
		return
	}
	a.name(name)
	for i, v := range vs {
		a.b = append(a.b, "[,"[min(i, 1)])
		a.b = appendString(a.b, v)
	}
	a.b = append(a.b, ']')
}

func (a *appender) flag(name string, v bool) {
	if v {
		a.name(name)
		a.b = append(a.b, "true"...)
	}
}

func (a *appender) int(name string, v int64) {
	a.name(name)
	a.b = strconv.AppendInt(a.b, v, 10)
}

func (a *appender) time(name string, t time.Time) {
	a.name(name)
	a.b = append(a.b, '"')
	var err error
	if a.b, err = t.AppendText(a.b); err != nil && a.err == nil {
		a.err = fmt.Errorf("encoding %s: %w", name, err)
	}
	a.b = append(a.b, '"')
}

// someTime is a time that is left out when it is zero.
func (a *appender) someTime(name string, t time.Time) {
	if !t.IsZero() {
		a.time(name, t)
	}
}

// labels are sorted by their keys.
func (a *appender) labels(name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	a.open(name)
	var room [32]string
	keys := slices.AppendSeq(room[:0], maps.Keys(m))
	slices.Sort(keys)
	for i, k := range keys {
		if i > 0 {
			a.b = append(a.b, ',')
		}
		a.b = appendString(a.b, k)
		a.b = append(a.b, ':')
		a.b = appendString(a.b, m[k])
	}
	a.close()
}

// rest is a part that encoding/json writes.
func (a *appender) rest(name string, v any) {
	b, err := Encode(v)
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("encoding %s: %w", name, err)
	}
	a.name(name)
	a.b = append(a.b, b...)
}

const hexDigits = "0123456789abcdef"

// appendString writes s as encoding/json does.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		var escape string
		if c >= utf8.RuneSelf {
			var r rune
			switch r, size = utf8.DecodeRuneInString(s[i:]); {
			case r == utf8.RuneError && size == 1:
				escape = `\ufffd`
			case r == '\u2028', r == '\u2029':
				escape = `\u202` + hexDigits[r&0xf:r&0xf+1]
			default:
				i += size
				continue
			}
		} else if escape = shortEscapes[c]; escape == "" {
			escape = `\u00` + hexDigits[c>>4:c>>4+1] + hexDigits[c&0xf:c&0xf+1]
		}
		b = append(b, s[from:i]...)
		b = append(b, escape...)
		i += size
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// shortEscapes are the escapes that have a letter of their own.
var shortEscapes = [utf8.RuneSelf]string{
	'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`,
}
