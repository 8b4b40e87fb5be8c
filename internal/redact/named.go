package redact

import (
	"regexp"
	"strings"
)

// names must be in a line for it to hold a named secret.
var names = []string{"pass", "pwd", "secret", "token", "key", "credential", "sess", "signature", "sig", "salt", "authkey", "csrf", "nonce"}

// nameExpr is how the name of a secret ends.
const nameExpr = `pass(?:word|wd|phrase|code)?s?|pwd|secrets?|token|credentials?|(?:api|app|access|account|private|secret|encryption|signing|signature|master|ssh|shared|` +
	`storage|license|auth|service|client|deploy|webhook|session|symmetric|aes|hmac|rsa|encrypt|crypto)[_. -]?keys?|access[_. -]?key[_. -]?id|` +
	`sess(?:ion)?[_. -]?id|signature|[^a-z]sig|csrf|auth[_-]?(?:data|string)`

// assignment is a name and what stands between it and its value.
var assignment = regexp.MustCompile(`(?:` + nameExpr + `)\\*["'` + "`" + `]?\]?(?:\s*(?:=>|:=|==|:)[ \t]*|[ \t]+=[ \t]*|=)`)

// named replaces the values of names like password in one line; lower is the line in lower case.
func named(line, lower string) (string, int) {
	var out strings.Builder
	n, done := 0, 0
	for done < len(line) {
		m := assignment.FindStringIndex(lower[done:])
		if m == nil {
			break
		}
		at := done + m[1]
		from, to := value(line, at)
		if from == to || masked(line[from:to]) || !isValue(line[from:to]) {
			out.WriteString(line[done:at])
			done = at
			continue
		}
		out.WriteString(line[done:from])
		out.WriteString(Mark)
		n, done = n+1, to
	}
	if n == 0 {
		return line, 0
	}
	out.WriteString(line[done:])
	return out.String(), n
}

// value finds the value that begins at i: what is between quotes, plain or escaped as inside of a JSON string, or a word. A quote
// that is not closed reaches to the end of the line.
func value(s string, i int) (from, to int) {
	escapes := 0
	for i+escapes < len(s) && s[i+escapes] == '\\' {
		escapes++
	}
	if at := i + escapes; at < len(s) && (s[at] == '"' || s[at] == '\'' || s[at] == '`') {
		return at + 1, closing(s, at+1, s[at], escapes)
	}
	if strings.HasPrefix(s[i:], Mark) {
		if end := word(s, i+len(Mark)); end > i+len(Mark) {
			return i, end
		}
		return i, i + len(Mark)
	}
	return i, word(s, i)
}

// closing finds the quote that has as many backslashes before it as the opening one had.
func closing(s string, i int, quote byte, escapes int) int {
	run := 0
	for ; i < len(s) && s[i] != '\n'; i++ {
		switch {
		case s[i] == '\\':
			run++
			continue
		case s[i] == quote && run <= escapes:
			return i - run
		}
		run = 0
	}
	return i
}

// word finds the end of a value without quotes. Punctuation ends it only where the word could end too, because passwords hold it.
func word(s string, i int) int {
	if strings.HasPrefix(s[i:], "${") || strings.HasPrefix(s[i:], "$(") { // a reference
		if n := strings.IndexAny(s[i:], "}) \n"); n > 0 && s[i+n] > ' ' {
			i += n + 1
		}
	}
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ', c == '\t', c == '\n', c == '\r', c == ';', c == '&', c == '"':
			return i
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`"'nrt\`, s[i+1]) >= 0:
			return i
		case strings.IndexByte(",}])", c) >= 0 && (i+1 == len(s) || strings.IndexByte(" \t\r\n,}])\"'", s[i+1]) >= 0):
			return i
		}
	}
	return i
}

// isValue reports whether s says something: the word for nothing, a flag, or a reference to where the secret is, is no secret.
func isValue(s string) bool {
	if strings.HasPrefix(s, "${") && strings.HasSuffix(s, "}") || strings.HasPrefix(s, "$(") && strings.HasSuffix(s, ")") {
		return false
	}
	switch strings.ToLower(strings.Trim(s, "<>()[]{}.,")) {
	case "", "true", "false", "yes", "no", "null", "nil", "none", "undefined", "empty", "redacted", "hidden", "masked", "unset", "set", "ok":
		return false
	}
	return strings.Trim(s, "*") != ""
}
