package redact

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Mark stands where a secret was.
const Mark = "[REDACTED]"

// Kind says what a secret was taken for.
type Kind string

// The kinds.
const (
	PEM        Kind = "pem"        // keys and certificates, whole or in part
	JWT        Kind = "jwt"        // JSON web tokens
	Header     Kind = "header"     // credentials of Authorization headers and cookies
	ServiceKey Kind = "key"        // keys of cloud and code services that have a form of their own
	URL        Kind = "url"        // passwords in URLs and data source names
	Named      Kind = "named"      // values of keys that are called password, token, …
	Custom     Kind = "configured" // what users' own patterns matched
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{PEM, JWT, Header, ServiceKey, URL, Named, Custom} }

// Counts is how many secrets of each kind were replaced.
type Counts map[Kind]int

// Total is the number of all.
func (c Counts) Total() int {
	n := 0
	for _, k := range c {
		n += k
	}
	return n
}

// Redactor replaces secrets. It is safe for concurrent use; its zero value knows the built-in kinds.
type Redactor struct{ custom []rule }

// New compiles users' own patterns in Go's regular expression syntax. What a pattern's group called secret matches is replaced,
// or else all that the pattern matches. Every bad pattern is in the error, by its index.
func New(patterns []string) (*Redactor, error) {
	r := &Redactor{}
	var errs []error
	for i, p := range patterns {
		re, err := regexp.Compile(p)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("pattern %d: %w", i, err))
			continue
		case p == "" || re.MatchString(""):
			errs = append(errs, fmt.Errorf("pattern %d: %q matches the empty text: it would match everywhere", i, p))
			continue
		}
		r.custom = append(r.custom, rule{kind: Custom, re: re, group: max(0, re.SubexpIndex("secret"))})
	}
	return r, errors.Join(errs...)
}

// Redact returns text with Mark in the place of each secret, and what was replaced, nil for nothing. Users' patterns see the text
// as it was, all lines at once.
func (r *Redactor) Redact(text string) (string, Counts) {
	var found Counts
	count := func(k Kind, n int) {
		if n > 0 {
			if found == nil {
				found = Counts{}
			}
			found[k] += n
		}
	}
	for _, c := range r.custom {
		var n int
		text, n = c.apply(text)
		count(c.kind, n)
	}
	text, n := blocks(text)
	count(PEM, n)
	lower := asciiLower(text)
	if !suspicious(lower) {
		return text, found
	}
	var out strings.Builder
	out.Grow(len(text))
	for from := 0; from < len(text); {
		end := len(text)
		if i := strings.IndexByte(text[from:], '\n'); i >= 0 {
			end = from + i + 1
		}
		line, low := text[from:end], lower[from:end]
		for i := range rules {
			if !containsAny(low, rules[i].triggers) {
				continue
			}
			if line, n = rules[i].apply(line); n > 0 {
				low = asciiLower(line)
				count(rules[i].kind, n)
			}
		}
		if containsAny(low, names) {
			line, n = named(line, low)
			count(Named, n)
		}
		out.WriteString(line)
		from = end
	}
	return out.String(), found
}

// suspicious reports whether any rule could match.
func suspicious(lower string) bool {
	for i := range rules {
		if containsAny(lower, rules[i].triggers) {
			return true
		}
	}
	return containsAny(lower, names)
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// asciiLower keeps every byte's place, which strings.ToLower does not.
func asciiLower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
