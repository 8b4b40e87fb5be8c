package store

import (
	"strings"
	"time"
)

// Expression is a condition on documents, in the query language of people. ParseExpression makes it; the zero Expression holds for
// every document. It is immutable.
//
// The language is that of Kibana's search bar, as far as both stores can answer it:
//
//	reason:BackOff                        a field has this value, in the case it is written in
//	namespace:(shop or pay)               one of several
//	name:web-*                            * stands for anything, field:* for any value at all
//	message:"failed to pull"              the message has these words, one after the other
//	failed image pull*                    the message has all of these words; * ends the beginning of one
//	count >= 5, time > now-1h             numbers and times have an order
//	label.app:web                         a label, also label.app.kubernetes.io/name:web
//	a and not (b or c)                    not binds closest, then and, then or; two conditions side by side are joined by and
//
// A value with blanks or any of ():<>" is quoted; \ takes the meaning from the character after it. Fields have short names (Fields)
// and all names of the document's mapping.
type Expression struct{ root *condition }

// IsZero says that e holds for every document.
func (e Expression) IsZero() bool { return e.root == nil }

// String is e in the language, with every bracket that could be there.
func (e Expression) String() string {
	if e.root == nil {
		return ""
	}
	var b strings.Builder
	e.root.write(&b)
	return b.String()
}

type operator uint8

const (
	opAnd     operator = iota // all of Parts
	opOr                      // one of Parts
	opNot                     // not Parts[0]
	opIs                      // Target has one of Values
	opExists                  // Target has a value
	opLess                    // and so on: Target against Values[0]
	opAtMost                  //
	opMore                    //
	opAtLeast                 //
	opWords                   // the message has the words of Values[0]
	opPhrase                  // one after the other
	opPrefix                  // a word that begins with it
)

var comparisons = map[operator]string{opLess: "<", opAtMost: "<=", opMore: ">", opAtLeast: ">="}

// condition is a node of an expression.
type condition struct {
	op     operator
	parts  []*condition
	target target
	values []value
}

// value is one that a field is compared with. Exactly one of its forms holds, by the target's type.
type value struct {
	pieces []string // of text, with anything between them
	number int64
	time   time.Time
	truth  bool
}

func (v value) exact() bool { return len(v.pieces) == 1 }

func (c *condition) write(b *strings.Builder) {
	switch c.op {
	case opAnd, opOr:
		word := map[operator]string{opAnd: " and ", opOr: " or "}[c.op]
		b.WriteByte('(')
		for i, p := range c.parts {
			if i > 0 {
				b.WriteString(word)
			}
			p.write(b)
		}
		b.WriteByte(')')
	case opNot:
		b.WriteString("not ")
		c.parts[0].write(b)
	case opExists:
		b.WriteString(c.target.name + ":*")
	case opWords, opPrefix:
		b.WriteString(c.values[0].text(c.target))
	case opPhrase:
		b.WriteString(quote(c.values[0].pieces[0]))
	case opIs:
		b.WriteString(c.target.name + ":(")
		for i, v := range c.values {
			if i > 0 {
				b.WriteString(" or ")
			}
			b.WriteString(v.text(c.target))
		}
		b.WriteByte(')')
	default:
		b.WriteString(c.target.name + " " + comparisons[c.op] + " " + c.values[0].text(c.target))
	}
}

// text is v as it could have been written.
func (v value) text(t target) string {
	switch t.kind {
	case kindNumber:
		return formatInt(v.number)
	case kindTime:
		return `"` + v.time.UTC().Format(time.RFC3339Nano) + `"`
	case kindTruth:
		if v.truth {
			return "true"
		}
		return "false"
	}
	var b strings.Builder
	for i, p := range v.pieces {
		if i > 0 {
			b.WriteByte('*')
		}
		for _, r := range p {
			if strings.ContainsRune(`\*():<>"`, r) || isBlank(r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	}
	s := b.String()
	if isKeyword(s) {
		return `\` + s
	}
	return s
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
