package redact

import "strings"

// names must be in a line for it to hold a named secret.
var names = []string{"pass", "pwd", "secret", "token", "key", "credential", "sess", "signature", "sig", "csrf", "authdata", "auth_data"}

// nameExpr is how the name of a secret ends, for flags. secretName says the same without an expression.
const nameExpr = `pass(?:word|wd|phrase|code)?s?|pwd|secrets?|token|credentials?|(?:api|app|access|account|private|secret|encryption|signing|signature|master|ssh|shared|` +
	`storage|license|auth|service|client|deploy|webhook|session|symmetric|aes|hmac|rsa|encrypt|crypto)[_.-]?keys?|access[_.-]?key[_.-]?id|` +
	`sess(?:ion)?[_.-]?id|csrf`

// endings are how names of secrets end, by their last letter: most words are none by that alone.
var endings = map[byte][]string{
	'd': {"password", "passwd", "pwd", "sessionid", "session_id", "session-id", "session.id", "sessid", "sess_id", "accesskeyid", "access_key_id", "access-key-id"},
	's': {"passwords", "pass", "secrets", "credentials"},
	'e': {"passphrase", "passcode", "signature"},
	't': {"secret"},
	'n': {"token"},
	'l': {"credential"},
	'f': {"csrf"},
	'a': {"auth_data", "authdata"},
}

// keyOf are whose keys are secret.
var keyOf = []string{
	"api", "app", "access", "account", "private", "secret", "encryption", "signing", "signature", "master", "ssh", "shared", "storage", "license",
	"auth", "service", "client", "deploy", "webhook", "session", "symmetric", "aes", "hmac", "rsa", "encrypt", "crypto",
}

// secretName reports whether text in lower case ends with the name of a secret.
func secretName(lower string) bool {
	if lower == "" {
		return false
	}
	for _, e := range endings[lower[len(lower)-1]] {
		if strings.HasSuffix(lower, e) {
			return true
		}
	}
	if rest, ok := strings.CutSuffix(lower, "sig"); ok {
		return rest != "" && (rest[len(rest)-1] < 'a' || rest[len(rest)-1] > 'z')
	}
	rest, ok := strings.CutSuffix(strings.TrimSuffix(lower, "s"), "key")
	if !ok || rest == "" {
		return false
	}
	if strings.IndexByte("_. -", rest[len(rest)-1]) >= 0 {
		rest = rest[:len(rest)-1]
	}
	for _, k := range keyOf {
		if strings.HasSuffix(rest, k) {
			return true
		}
	}
	return false
}

// named replaces the values of names like password in one line; lower is the line in lower case.
func named(line, lower string) (string, int) {
	var out strings.Builder
	n, done := 0, 0
	for at := 0; ; {
		i := strings.IndexAny(lower[at:], "=:")
		if i < 0 {
			break
		}
		sep := at + i
		at = sep + 1
		if sep < done || !secretName(beforeSign(lower[:sep])) {
			continue
		}
		start := afterSign(line, sep)
		from, to := value(line, start)
		at = max(at, start)
		if from == to || masked(line[from:to]) || !isValue(line[from:to]) {
			continue
		}
		out.WriteString(line[done:from])
		out.WriteString(Mark)
		n, done, at = n+1, to, to
	}
	if n == 0 {
		return line, 0
	}
	out.WriteString(line[done:])
	return out.String(), n
}

// beforeSign is s without what may stand between a name and its sign: a quote, escaped or not, a bracket, spaces.
func beforeSign(s string) string {
	s = strings.TrimRight(s, " \t")
	s = strings.TrimSuffix(s, "]")
	if n := len(s); n > 0 && strings.IndexByte("\"'`", s[n-1]) >= 0 {
		s = strings.TrimRight(s[:n-1], `\`)
	}
	return s
}

// afterSign is where the value after the sign at i may begin. A bare '=' with a space behind it, but none before it, has no value.
func afterSign(s string, i int) int {
	sign := s[i]
	end := i + 1
	if end < len(s) && (s[end] == '=' || sign == '=' && s[end] == '>') {
		end++
	} else if sign == '=' && (i == 0 || s[i-1] != ' ' && s[i-1] != '\t') {
		return end
	}
	for end < len(s) && (s[end] == ' ' || s[end] == '\t') {
		end++
	}
	return end
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
