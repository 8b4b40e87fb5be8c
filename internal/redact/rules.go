package redact

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// rule finds secrets by a regular expression.
type rule struct {
	kind Kind
	// triggers are in lower case; a line without any of them can't match.
	triggers []string
	re       *regexp.Regexp
	group    int // what is replaced; when it took no part in a match, the next one
	// end, if set, finds the end of a secret that begins where the match ends; quote is what the group matched, the quote before it.
	end func(s string, i int, quote string) int
	// is, if set, says whether what was found is a secret after all.
	is func(string) bool
}

// rules are applied to each line in this order, before the named values.
var rules = []rule{
	{
		kind: Header, triggers: []string{"authorization"}, end: endOfHeader,
		re: regexp.MustCompile(`(?i)authorization\\*["']?\s*(?::=|=>|[:=])\s*\[?(\\*["'])?(?:bearer|basic|digest|token|negotiate|apikey|hawk|aws4-[\w-]+)\s+`),
	},
	{ // without a scheme they are a word
		kind: Header, triggers: []string{"authorization"}, group: 1,
		re: regexp.MustCompile(`(?i)authorization\\*["']?\s*(?::=|=>|[:=])\s*\\*["'\[]*\s*([^\s"'\]\\,;]+)`),
		is: func(s string) bool { return isValue(s) && !schemes[strings.ToLower(s)] },
	},
	{
		kind: Header, triggers: []string{"bearer"}, group: 1,
		re: regexp.MustCompile(`(?i)bearer[\s:=]+["']?([A-Za-z0-9._~+/=-]{8,})`),
		is: func(s string) bool { return len(s) >= 24 || strings.ContainsAny(s, "0123456789") },
	},
	{
		kind: Header, triggers: []string{"basic"}, group: 1,
		re: regexp.MustCompile(`(?i)basic\s+([A-Za-z0-9+/_-]{6,}={0,2})`), is: isBasic,
	},
	{
		kind: Header, triggers: []string{"cookie"}, end: endOfHeader, is: isValue,
		re: regexp.MustCompile(`(?i)cookie\\*["']?\s*[:=]\s*\[?(\\*["'])?`),
	},
	{kind: JWT, triggers: []string{"eyj"}, re: regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}`)},
	{kind: ServiceKey, triggers: serviceTriggers, re: regexp.MustCompile(strings.Join(serviceKeys, "|"))},
	{
		kind: URL, triggers: []string{"://"}, group: 1,
		re: regexp.MustCompile(`://[^\s"<>:@/]*:([^\s"<>]*)@|://([^\s"<>:@/]{20,})@`),
	},
	{
		kind: URL, triggers: []string{"@tcp(", "@tcp4(", "@tcp6(", "@unix(", "@udp("}, group: 1,
		re: regexp.MustCompile(`[\w.-]+:([^\s"]+)@(?:tcp[46]?|unix|udp)\(`),
	},
	{ // a flag and its value as two words
		kind: Named, triggers: []string{"--", " -", "\"-", "'-"}, group: 1,
		re: regexp.MustCompile(`(?i)--?[\w.-]*(?:` + nameExpr + `)(?:["']?,\s*|\s+)["']?([^\s"',-][^\s"',]*)`), is: isValue,
	},
}

// schemes are those of which the credentials were replaced before.
var schemes = map[string]bool{
	"bearer": true, "basic": true, "digest": true, "token": true, "negotiate": true, "apikey": true, "hawk": true, "aws4-hmac-sha256": true,
}

// serviceKeys have a form that nothing else has.
var serviceKeys = []string{
	`(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA|AGPA|ANPA|ANVA|AIPA|APKA)[A-Z0-9]{16}`, // AWS
	`AIza[A-Za-z0-9_-]{30,}`, `ya29\.[A-Za-z0-9_-]{10,}`, `GOCSPX-[A-Za-z0-9_-]{20,}`, // Google
	`LTAI[A-Za-z0-9]{12,}`, `AKID[A-Za-z0-9]{13,}`, // Alibaba Cloud, Tencent Cloud
	`gh[opusr]_[A-Za-z0-9]{20,}`, `github_pat_[A-Za-z0-9_]{20,}`, `gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_-]{16,}`,
	`xox[a-z](?:-[A-Za-z0-9]+)+`, `xapp-[A-Za-z0-9-]{10,}`, `hooks\.slack\.com/services/[A-Za-z0-9/_-]+`,
	`(?:sk|rk|pk|whsec)_(?:live|test)_[A-Za-z0-9]{10,}`, `sk-[A-Za-z0-9_-]{20,}`, `SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`,
	`hv[sbr]\.[A-Za-z0-9_-]{20,}`, `dop_v1_[a-f0-9]{20,}`, `npm_[A-Za-z0-9]{20,}`, `pypi-[A-Za-z0-9_-]{20,}`, `dckr_pat_[A-Za-z0-9_-]{10,}`,
}

var serviceTriggers = []string{
	"akia", "asia", "aroa", "aida", "abia", "acca", "agpa", "anpa", "anva", "aipa", "apka", "aiza", "ya29.", "gocspx-", "ltai", "akid",
	"gho_", "ghp_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-",
	"xox", "xapp-", "hooks.slack.com", "_live_", "_test_", "sk-", "sg.", "hvs.", "hvb.", "hvr.", "dop_v1_", "npm_", "pypi-", "dckr_pat_",
}

// apply replaces what the rule finds in s, and says how often.
func (r *rule) apply(s string) (string, int) {
	matches := r.re.FindAllStringSubmatchIndex(s, -1)
	if len(matches) == 0 {
		return s, 0
	}
	var out strings.Builder
	n, done := 0, 0
	for _, m := range matches {
		if m[1] < done || r.end != nil && m[1] == done {
			continue // within what was replaced
		}
		from, to := r.secret(s, m)
		if from < done || from == to || masked(s[from:to]) || r.is != nil && !r.is(s[from:to]) {
			continue
		}
		out.WriteString(s[done:from])
		out.WriteString(Mark)
		n, done = n+1, to
	}
	if n == 0 {
		return s, 0
	}
	out.WriteString(s[done:])
	return out.String(), n
}

// secret is what a match is about.
func (r *rule) secret(s string, m []int) (from, to int) {
	if r.end != nil {
		quote := ""
		if m[2] >= 0 {
			quote = s[m[2]:m[3]]
		}
		return m[1], r.end(s, m[1], quote)
	}
	g := r.group
	for g > 0 && m[2*g] < 0 && 2*g+3 < len(m) {
		g++
	}
	return m[2*g], m[2*g+1]
}

// endOfHeader finds the end of a header's value: the quote that was opened before it, the end of the string that the whole header is in, or
// the end of the line, escaped or not. Parameters may be in quotes of their own.
func endOfHeader(s string, i int, quote string) int {
	if quote != "" {
		return closing(s, i, quote[len(quote)-1], len(quote)-1)
	}
	inString := strings.Count(s[:i], `"`)%2 == 1
	for ; i < len(s) && s[i] != '\n' && s[i] != '\r'; i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte("nr", s[i+1]) >= 0:
			return i
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		case s[i] == '"' && inString:
			return i
		}
	}
	return min(i, len(s))
}

// masked reports whether s shows nothing of a secret: it was replaced, here or by whoever wrote it.
func masked(s string) bool { return s == Mark || strings.Trim(s, "*") == "" }

// isBasic reports whether s is base64 of user:password.
func isBasic(s string) bool {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return err == nil && strings.Contains(string(b), ":")
}
