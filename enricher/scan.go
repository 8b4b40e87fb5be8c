package enricher

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// scanner reads JSON from the front, in one pass and without reflection. It accepts nothing that encoding/json refuses,
// and gives up (bad) wherever the two could differ.
type scanner struct {
	b   []byte
	i   int
	bad bool
}

// maxDepth is how deep values may be nested that nobody looks at; encoding/json takes the deeper ones.
const maxDepth = 64

// end reports whether all was understood and only white space is left.
func (s *scanner) end() bool {
	s.space()
	return !s.bad && s.i == len(s.b)
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

// byte takes c, after white space.
func (s *scanner) byte(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// literal takes true, false or null.
func (s *scanner) literal(word string) bool {
	s.space()
	if bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		s.i += len(word)
		return true
	}
	return false
}

// object calls member for the value of each name; null is no object and no error.
func (s *scanner) object(member func(name []byte)) {
	if s.bad || s.literal("null") {
		return
	}
	if !s.byte('{') {
		s.bad = true
		return
	}
	if s.byte('}') {
		return
	}
	for !s.bad {
		name := s.plain()
		if !s.byte(':') {
			s.bad = true
		}
		if s.bad {
			return
		}
		s.space()
		member(name)
		switch {
		case s.byte(','):
		case s.byte('}'):
			return
		default:
			s.bad = true
		}
	}
}

// plain takes a string without escapes; the result points into b.
func (s *scanner) plain() []byte {
	if !s.byte('"') {
		s.bad = true
		return nil
	}
	from := s.i
	ascii := true
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			out := s.b[from:s.i]
			s.i++
			s.bad = s.bad || !ascii && !utf8.Valid(out)
			return out
		case c == '\\', c < ' ':
			s.bad = true
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.bad = true
	return nil
}

// text takes a string; null leaves it as it is.
func (s *scanner) text(to *string) {
	if s.bad || s.literal("null") {
		return
	}
	from := s.i
	if !s.quoted() {
		s.bad = true
		return
	}
	raw := s.b[from+1 : s.i-1]
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		*to = string(raw)
		return
	}
	s.bad = json.Unmarshal(s.b[from:s.i], to) != nil
}

// quoted passes over a string and checks its escapes.
func (s *scanner) quoted() bool {
	if !s.byte('"') {
		return false
	}
	for {
		for s.i < len(s.b) && !special[s.b[s.i]] {
			s.i++
		}
		if s.i >= len(s.b) {
			return false
		}
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < ' ':
			return false
		}
		if s.i++; s.i >= len(s.b) {
			return false
		}
		switch s.b[s.i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if len(s.b)-s.i < 5 {
				return false
			}
			for _, h := range s.b[s.i+1 : s.i+5] {
				if !isHex(h) {
					return false
				}
			}
			s.i += 4
		default:
			return false
		}
		s.i++
	}
}

// special are the bytes at which a string may end or needs a closer look.
var special = func() (t [256]bool) {
	for c := range ' ' {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

func (s *scanner) time(to *time.Time) {
	if s.bad || s.literal("null") {
		return
	}
	from := s.i
	s.plain()
	if !s.bad {
		s.bad = to.UnmarshalJSON(s.b[from:s.i]) != nil
	}
}

// integer takes a whole number; others are left to encoding/json.
func (s *scanner) integer(to *int64) {
	if s.bad || s.literal("null") {
		return
	}
	from := s.i
	s.number()
	n, err := strconv.ParseInt(string(s.b[from:s.i]), 10, 64)
	if err != nil {
		s.bad = true
		return
	}
	*to = n
}

// number passes over a number.
func (s *scanner) number() {
	digits := func() bool {
		from := s.i
		for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
			s.i++
		}
		return s.i > from
	}
	at := func(chars string) bool {
		if s.i < len(s.b) && bytes.IndexByte([]byte(chars), s.b[s.i]) >= 0 {
			s.i++
			return true
		}
		return false
	}
	at("-")
	if !at("0") && !digits() {
		s.bad = true
	}
	if at(".") && !digits() {
		s.bad = true
	}
	if at("eE") {
		at("+-")
		if !digits() {
			s.bad = true
		}
	}
}

// skip passes over any value.
func (s *scanner) skip(depth int) {
	s.space()
	if s.bad = s.bad || s.i >= len(s.b) || depth > maxDepth; s.bad {
		return
	}
	switch s.b[s.i] {
	case '"':
		s.bad = !s.quoted()
	case '{', '[':
		closing := s.b[s.i] + 2
		inObject := closing == '}'
		s.i++
		if s.byte(closing) {
			return
		}
		for !s.bad {
			if inObject {
				s.space()
				if !s.quoted() || !s.byte(':') {
					s.bad = true
					return
				}
			}
			s.skip(depth + 1)
			switch {
			case s.bad:
			case s.byte(','):
			case s.byte(closing):
				return
			default:
				s.bad = true
			}
		}
	case 't', 'f', 'n':
		s.bad = !s.literal("true") && !s.literal("false") && !s.literal("null")
	default:
		s.number()
	}
}

// names are those that some object of ours has, and their lower-case forms.
var names, lowerNames = func() (exact, lower map[string]bool) {
	exact, lower = map[string]bool{}, map[string]bool{}
	for _, n := range strings.Fields(`id type cluster name uid source subject time timeAdjusted observedAt occurrences payload apiVersion kind
		namespace resourceVersion fieldPath metadata related reason message component host reportingComponent firstTimestamp
		lastTimestamp eventTime count series creationTimestamp lastObservedTime`) {
		exact[n], lower[strings.ToLower(n)] = true, true
	}
	return exact, lower
}()

// other passes over the value of a name that means nothing here. A name that encoding/json would take for one that does,
// because it ignores case, is left to it.
func (s *scanner) other(name []byte) {
	for _, c := range name {
		if c >= utf8.RuneSelf {
			s.bad = true
			return
		}
	}
	if !names[string(name)] && lowerNames[strings.ToLower(string(name))] {
		s.bad = true
		return
	}
	s.skip(0)
}
