package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kubescribe/schemas"
)

// The limits of an expression.
const (
	maxExpression = 4096 // bytes
	maxConditions = 200
	maxDepth      = 50
)

// ExpressionError says what is wrong with an expression and where.
type ExpressionError struct {
	// Column is where, in characters from 1.
	Column int
	Reason string
}

func (e *ExpressionError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Reason) }

// ParseExpression reads an expression. Times that are relative are taken from now. Its error is an *ExpressionError.
func ParseExpression(text string, now time.Time) (Expression, error) {
	p := &parser{text: text, now: now}
	switch {
	case len(text) > maxExpression:
		return Expression{}, &ExpressionError{1, fmt.Sprintf("the expression has %d bytes, at most %d are allowed", len(text), maxExpression)}
	case !utf8.ValidString(text):
		return Expression{}, &ExpressionError{1, "the expression is not UTF-8"}
	}
	if p.blank(); p.at == len(text) {
		return Expression{}, nil
	}
	root, err := p.or(0)
	if err == nil && p.at < len(text) {
		err = p.fail(p.at, "there is no ( for this )")
	}
	if err != nil {
		return Expression{}, err
	}
	return Expression{root}, nil
}

type parser struct {
	text string
	at   int
	now  time.Time
	n    int // conditions so far
}

func (p *parser) fail(at int, format string, args ...any) error {
	return &ExpressionError{utf8.RuneCountInString(p.text[:at]) + 1, fmt.Sprintf(format, args...)}
}

func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

func isKeyword(s string) bool {
	switch strings.ToLower(s) {
	case "and", "or", "not":
		return true
	}
	return false
}

func (p *parser) blank() {
	for p.at < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.at:])
		if !isBlank(r) {
			return
		}
		p.at += size
	}
}

// keyword takes the word if it is next.
func (p *parser) keyword(word string) bool {
	p.blank()
	end := p.at + len(word)
	if end > len(p.text) || !strings.EqualFold(p.text[p.at:end], word) {
		return false
	}
	if r, _ := utf8.DecodeRuneInString(p.text[end:]); end < len(p.text) && !isBlank(r) && !strings.ContainsRune(`()"`, r) {
		return false
	}
	p.at = end
	return true
}

func (p *parser) peek() byte {
	p.blank()
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) or(depth int) (*condition, error) { return p.list(opOr, depth) }

// list reads conditions that are joined by or, or those joined by and that bind closer.
func (p *parser) list(op operator, depth int) (*condition, error) {
	var parts []*condition
	for {
		var part *condition
		var err error
		if op == opOr {
			part, err = p.list(opAnd, depth)
		} else {
			part, err = p.not(depth)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		more := p.keyword(map[operator]string{opOr: "or", opAnd: "and"}[op])
		if !more && op == opAnd {
			at := p.at
			more = p.peek() != 0 && p.peek() != ')' && !p.keyword("or")
			if p.at = at; more {
				p.blank()
			}
		}
		if !more {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return &condition{op: op, parts: parts}, nil
}

func (p *parser) not(depth int) (*condition, error) {
	if depth > maxDepth {
		return nil, p.fail(p.at, "it is nested too deeply")
	}
	if p.keyword("not") {
		part, err := p.not(depth + 1)
		return &condition{op: opNot, parts: []*condition{part}}, err
	}
	if p.peek() != '(' {
		return p.condition()
	}
	open := p.at
	p.at++
	inner, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if p.peek() != ')' {
		return nil, p.fail(open, "this ( is not closed")
	}
	p.at++
	return inner, nil
}

// condition reads a field with its value, or words of the message.
func (p *parser) condition() (*condition, error) {
	if p.n++; p.n > maxConditions {
		return nil, p.fail(p.at, "it has more than %d conditions", maxConditions)
	}
	p.blank()
	at := p.at
	if p.keyword("and") || p.keyword("or") {
		return nil, p.fail(at, "a condition is missing before %q", p.text[at:p.at])
	}
	word, quoted, err := p.word(`():<>"`)
	if err != nil {
		return nil, err
	}
	op, ok := p.operator()
	if !ok {
		return p.free(at, word, quoted)
	}
	if quoted || !word.exact() {
		return nil, p.fail(at, "a field's name has no quotes and no *")
	}
	t, err := targetOf(word.pieces[0])
	if err != nil {
		return nil, p.fail(at, "%s", err)
	}
	if op == opIs {
		return p.is(t)
	}
	if t.kind != kindNumber && t.kind != kindTime {
		return nil, p.fail(at, "%s has no order: use %s:value", t.name, t.name)
	}
	v, err := p.value(t)
	return &condition{op: op, target: t, values: []value{v}}, err
}

func (p *parser) operator() (operator, bool) {
	at := p.at
	p.blank()
	for _, o := range []struct {
		text string
		op   operator
	}{{":", opIs}, {"<=", opAtMost}, {">=", opAtLeast}, {"<", opLess}, {">", opMore}} {
		if strings.HasPrefix(p.text[p.at:], o.text) {
			p.at += len(o.text)
			return o.op, true
		}
	}
	p.at = at
	return 0, false
}

// is reads one value, or several in brackets.
func (p *parser) is(t target) (*condition, error) {
	if p.peek() != '(' {
		at := p.at
		v, quoted, err := p.text1(t)
		if err != nil {
			return nil, err
		}
		return p.oneOf(at, t, v, quoted)
	}
	open := p.at
	p.at++
	c := &condition{op: opOr}
	for {
		at := p.at
		v, quoted, err := p.text1(t)
		if err != nil {
			return nil, err
		}
		if p.n++; p.n > maxConditions {
			return nil, p.fail(at, "it has more than %d conditions", maxConditions)
		}
		one, err := p.oneOf(at, t, v, quoted)
		if err != nil {
			return nil, err
		}
		c.parts = append(c.parts, one)
		switch {
		case p.keyword("or"):
		case p.peek() == ')':
			p.at++
			return c.merged(), nil
		case p.at == len(p.text):
			return nil, p.fail(open, "this ( is not closed")
		default:
			return nil, p.fail(p.at, "values in brackets are joined by or")
		}
	}
}

// merged makes one condition of several that ask the same field for one value each.
func (c *condition) merged() *condition {
	if len(c.parts) == 1 {
		return c.parts[0]
	}
	one := &condition{op: opIs, target: c.parts[0].target}
	for _, p := range c.parts {
		if p.op != opIs {
			return c
		}
		one.values = append(one.values, p.values...)
	}
	return one
}

func (p *parser) oneOf(at int, t target, v value, quoted bool) (*condition, error) {
	any := t.kind != kindWords && !quoted && len(v.pieces) == 2 && v.pieces[0] == "" && v.pieces[1] == ""
	switch {
	case any:
		return &condition{op: opExists, target: t}, nil
	case t.kind == kindWords:
		return p.free(at, v, quoted)
	}
	v, err := p.convert(at, t, v)
	return &condition{op: opIs, target: t, values: []value{v}}, err
}

// value reads one value of the target's type.
func (p *parser) value(t target) (value, error) {
	p.blank()
	at := p.at
	v, _, err := p.text1(t)
	if err != nil {
		return v, err
	}
	return p.convert(at, t, v)
}

// text1 reads a value's text. A colon is part of it.
func (p *parser) text1(t target) (value, bool, error) {
	p.blank()
	at := p.at
	if p.keyword("and") || p.keyword("or") || p.keyword("not") {
		return value{}, false, p.fail(at, "the value of %s is missing; quote %q if it is meant", t.name, p.text[at:p.at])
	}
	v, quoted, err := p.word(`()<>"`)
	if err == nil && v.exact() && v.pieces[0] == "" {
		err = p.fail(at, "the value of %s is empty; %s:* finds those that have one", t.name, t.name)
	}
	return v, quoted, err
}

var errNumber = errors.New("is no whole number")

// convert checks a value's text against the target's type.
func (p *parser) convert(at int, t target, v value) (value, error) {
	whole := strings.Join(v.pieces, "*")
	switch t.kind {
	case kindNumber:
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			return v, p.fail(at, "%q %s, as %s has", whole, errNumber, t.name)
		}
		return value{number: n}, nil
	case kindTime:
		when, err := parseWhen(whole, p.now)
		if err != nil {
			return v, p.fail(at, "%q %s", whole, err)
		}
		return value{time: when}, nil
	case kindTruth:
		if whole != "true" && whole != "false" {
			return v, p.fail(at, "%q is neither true nor false, as %s is", whole, t.name)
		}
		return value{truth: whole == "true"}, nil
	case kindLabel:
		if len(v.pieces) > 2 || len(v.pieces) == 2 && v.pieces[1] != "" {
			return v, p.fail(at, "in a value of %s, * can stand at the end only", t.name)
		}
	}
	if len(whole) > schemas.MaxIDBytes {
		return v, p.fail(at, "the value has %d bytes, at most %d are allowed", len(whole), schemas.MaxIDBytes)
	}
	if t.lower {
		for i := range v.pieces {
			v.pieces[i] = strings.ToLower(v.pieces[i])
		}
	}
	return v, nil
}

// free makes a condition on the message of text that has no field.
func (p *parser) free(at int, v value, quoted bool) (*condition, error) {
	c := &condition{op: opWords, target: target{name: "message", path: []string{"message"}, kind: kindWords}, values: []value{v}}
	if quoted {
		c.op = opPhrase
	}
	if !v.exact() {
		c.op = opPrefix
		if len(v.pieces) != 2 || v.pieces[1] != "" || len(words(v.pieces[0])) != 1 {
			return nil, p.fail(at, "in the message, * can stand at the end of one word only")
		}
		return c, nil
	}
	if len(words(v.pieces[0])) == 0 {
		return nil, p.fail(at, "%q has no word to look for", v.pieces[0])
	}
	return c, nil
}

// word reads a quoted text, or one up to a blank or one of stops. A text that is not quoted has pieces around each *.
func (p *parser) word(stops string) (v value, quoted bool, err error) {
	p.blank()
	start := p.at
	if p.at < len(p.text) && p.text[p.at] == '"' {
		v, err = p.quoted()
		return v, true, err
	}
	var b strings.Builder
	for p.at < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.at:])
		switch {
		case r == '\\':
			if p.at+size == len(p.text) {
				return v, false, p.fail(p.at, `there is nothing after \`)
			}
			next, n := utf8.DecodeRuneInString(p.text[p.at+size:])
			b.WriteRune(next)
			p.at += size + n
			continue
		case isBlank(r) || strings.ContainsRune(stops, r):
			goto done
		case r == '*':
			if b.Len() > 0 || len(v.pieces) == 0 {
				v.pieces = append(v.pieces, b.String())
				b.Reset()
			}
			p.at += size
			// ** is *: the piece between them would be empty.
			for p.at < len(p.text) && p.text[p.at] == '*' {
				p.at++
			}
			continue
		}
		b.WriteRune(r)
		p.at += size
	}
done:
	if p.at == start {
		what := "the end"
		if p.at < len(p.text) {
			r, _ := utf8.DecodeRuneInString(p.text[p.at:])
			what = strconv.Quote(string(r))
		}
		return v, false, p.fail(p.at, "a word is missing before %s", what)
	}
	v.pieces = append(v.pieces, b.String())
	return v, false, nil
}

func (p *parser) quoted() (value, error) {
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			return value{pieces: []string{b.String()}}, nil
		case '\\':
			if p.at++; p.at < len(p.text) {
				b.WriteByte(p.text[p.at])
			}
		default:
			b.WriteByte(c)
		}
	}
	return value{}, p.fail(start, "this quote is not closed")
}

var errWhen = errors.New("is no time: write 2026-06-01T12:00:00Z, 2026-06-01, or now-15m, now-7d")

// parseWhen reads an instant, the begin of a day in UTC, or how long before now.
func parseWhen(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if s == "now" {
		return now.UTC(), nil
	}
	age, ok := strings.CutPrefix(s, "now-")
	if !ok {
		return time.Time{}, errWhen
	}
	if days, ok := strings.CutSuffix(age, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return time.Time{}, errWhen
		}
		return now.AddDate(0, 0, -int(n)).UTC(), nil
	}
	d, err := time.ParseDuration(age)
	if err != nil || d < 0 {
		return time.Time{}, errWhen
	}
	return now.Add(-d).UTC(), nil
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
