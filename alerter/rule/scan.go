package rule

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// scanner walks through JSON without building anything. It believes what it passes over: only what it is asked for, and the
// nesting on the way there, must be right. After a mistake bad is set and every method returns at once.
type scanner struct {
	b   []byte
	i   int
	bad bool
}

// next is the next byte that is no white space, 0 at the end.
func (s *scanner) next() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	s.bad = true
	return 0
}

func (s *scanner) expect(c byte) {
	if s.next() != c {
		s.bad = true
		return
	}
	s.i++
}

// enter begins an object; false means that the value is null, which it consumes, or something else, which is bad.
func (s *scanner) enter() bool {
	if s.null() {
		return false
	}
	s.expect('{')
	return !s.bad
}

func (s *scanner) null() bool {
	if s.next() == 'n' && bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		s.i += len("null")
		return true
	}
	return false
}

// key is the next key of the object that was entered, and nil at its end. first says that no key was read yet.
func (s *scanner) key(first bool) []byte {
	switch c := s.next(); {
	case s.bad:
		return nil
	case c == '}':
		s.i++
		return nil
	case first:
	case c != ',':
		s.bad = true
		return nil
	default:
		s.i++
	}
	if s.next() != '"' {
		s.bad = true
		return nil
	}
	key, _ := s.raw()
	s.expect(':')
	if s.bad {
		return nil
	}
	return key
}

// raw is the string at the scanner, still escaped, and whether there are escapes in it.
func (s *scanner) raw() (text []byte, escaped bool) {
	from := s.i + 1
	for at := from; ; {
		n := bytes.IndexByte(s.b[at:], '"')
		if n < 0 {
			s.bad = true
			return nil, false
		}
		at += n
		back := at
		for back > from && s.b[back-1] == '\\' {
			back--
		}
		if (at-back)%2 == 0 {
			s.i = at + 1
			return s.b[from:at], bytes.IndexByte(s.b[from:at], '\\') >= 0
		}
		at++
	}
}

// text is a string's value; null is empty.
func (s *scanner) text() string {
	if s.null() || s.bad {
		return ""
	}
	if s.next() != '"' {
		s.bad = true
		return ""
	}
	from := s.i
	raw, escaped := s.raw()
	if !escaped && utf8.Valid(raw) {
		return string(raw)
	}
	var v string
	if s.bad || json.Unmarshal(s.b[from:s.i], &v) != nil {
		s.bad = true
	}
	return v
}

// integer is a whole number's value, and whether there is one: null is none.
func (s *scanner) integer() (n int, there bool) {
	if s.null() {
		return 0, false
	}
	from := s.i
	if s.skip(); s.bad {
		return 0, false
	}
	n, err := strconv.Atoi(string(s.b[from:s.i]))
	s.bad = err != nil // also for what only looks different, like 1e3: the decoder will know
	return n, true
}

// skip passes over a value.
func (s *scanner) skip() {
	depth := 0
	for {
		switch s.next() {
		case '"':
			s.raw()
		case '{', '[':
			depth++
			s.i++
		case '}', ']':
			depth--
			s.i++
		case ',', ':':
			s.i++
			if depth == 0 {
				s.bad = true
			}
		default:
			from := s.i
			for s.i < len(s.b) && bytes.IndexByte([]byte(",:]} \t\r\n\"[{"), s.b[s.i]) < 0 {
				s.i++
			}
			s.bad = s.bad || s.i == from
		}
		if depth <= 0 || s.bad {
			s.bad = s.bad || depth < 0
			return
		}
	}
}
