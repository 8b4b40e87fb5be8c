package store

import (
	"strings"
)

// sqlite is c as SQL, and its arguments in order. All that a user gave is an argument. Within it, NULL stands for no: below a not it
// is made false.
func (c *condition) sqlite() (text string, args []any) {
	switch c.op {
	case opAnd, opOr:
		parts := make([]string, len(c.parts))
		for i, p := range c.parts {
			var more []any
			parts[i], more = p.sqlite()
			args = append(args, more...)
		}
		return "(" + strings.Join(parts, map[operator]string{opAnd: " AND ", opOr: " OR "}[c.op]) + ")", args
	case opNot:
		text, args = c.parts[0].sqlite()
		return "((" + text + ") IS NOT TRUE)", args
	case opWords:
		return inMessage, []any{match(c.values[0].pieces[0])}
	case opPhrase:
		return inMessage, []any{ftsString(strings.Join(words(c.values[0].pieces[0]), " "))}
	case opPrefix:
		return inMessage, []any{ftsString(words(c.values[0].pieces[0])[0]) + " *"}
	case opExists:
		return c.target.compare("IS NOT NULL", nil)
	case opIs:
		return c.sqliteIs()
	}
	return c.target.compare(comparisons[c.op]+" ?", []any{c.values[0].sqlite(c.target)})
}

const inMessage = "seq IN (SELECT rowid FROM messages WHERE messages MATCH ?)"

func ftsString(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// sqlite is v as it is compared with.
func (v value) sqlite(t target) any {
	switch t.kind {
	case kindNumber:
		return v.number
	case kindTruth:
		return v.truth
	case kindTime:
		switch {
		case v.time.Before(minTime):
			return minTime.UnixNano()
		case v.time.After(maxTime):
			return maxTime.UnixNano()
		}
		return v.time.UnixNano()
	}
	return v.pieces[0]
}

func (c *condition) sqliteIs() (string, []any) {
	var texts []string
	var args, exact []any
	for _, v := range c.values {
		if c.target.kind == kindNumber || c.target.kind == kindTruth || c.target.kind == kindTime || v.exact() {
			exact = append(exact, v.sqlite(c.target))
			continue
		}
		glob := make([]string, len(v.pieces))
		for i, p := range v.pieces {
			glob[i] = strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(p)
		}
		text, more := c.target.compare("GLOB ?", []any{strings.Join(glob, "*")})
		texts, args = append(texts, text), append(args, more...)
	}
	if len(exact) > 0 {
		text, more := c.target.compare("IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(exact)), ", ")+")", exact)
		texts, args = append(texts, text), append(args, more...)
	}
	if len(texts) == 1 {
		return texts[0], args
	}
	return "(" + strings.Join(texts, " OR ") + ")", args
}

// compare is a comparison of the target's column, or of any of the values that the document has in its place.
func (t target) compare(with string, args []any) (string, []any) {
	if t.column != "" {
		return t.column + " " + with, args // of fields alone
	}
	path := "$"
	for _, name := range t.path {
		path += `."` + name + `"`
	}
	return "EXISTS (SELECT 1 FROM json_each(CAST(body AS TEXT), ?) WHERE value " + with + ")", append([]any{path}, args...)
}
