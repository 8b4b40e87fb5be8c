package redact

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var seeds = []string{
	"", "password=hunter2", `{"token":"a\"b"}`, `\"secret\":\"x\"`, "-----BEGIN X-----\nAAAA\n-----END X-----", "-----END X-----", "a://b:c@d",
	"Authorization: Bearer abcdefgh1", "cookie: a=b", "--token x", "[REDACTED]", "password=[REDACTED]x", "eyJhbGciOi.x.y", "basic dXNlcjpodW50ZXIy",
	"://:@", "password=\\", "token='", "pwd:=\"\\\\\\\"", "\xff-----BEGIN ", "secret=\n\nx", "-----BEGIN A-----x-----END ", "password: `a`b",
}

// Whatever the text: redacting is defined, keeps what is valid valid, and redacting twice is redacting once.
func FuzzRedact(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	r := &Redactor{}
	f.Fuzz(func(t *testing.T, s string) {
		once, found := r.Redact(s)
		if (found.Total() == 0) != (once == s) {
			t.Fatalf("%q: became %q with %v", s, once, found)
		}
		if utf8.ValidString(s) && !utf8.ValidString(once) {
			t.Fatalf("%q: invalid: %q", s, once)
		}
		if twice, _ := r.Redact(once); twice != once {
			t.Fatalf("%q: not idempotent: %q, then %q", s, once, twice)
		}
	})
}

// planted are secrets in the forms in which they get into logs. S stands for one.
var planted = []string{
	"password=S", "password=\"S\"", `{"password":"S"}`, `{\"password\":\"S\"}`, "db.password: S", "token='S'", "Authorization: Bearer S", `"authorization":"Bearer S"`,
	"postgres://app:S@db/x", "X-Api-Key: S", "--password=S", "--password S", "app:S@tcp(db:3306)/x", "api_key => \"S\"", "Cookie: id=S", "AccountKey=S;",
	"-----BEGIN PRIVATE KEY-----\nS\n-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nS", "S\n-----END PRIVATE KEY-----",
}

// A secret of a known form is gone whatever stands on the lines before and after it, and on its own line before it with a space.
func FuzzPlanted(f *testing.F) {
	for i, s := range seeds {
		f.Add(s, "hunter2Hunter2hunter2", s, uint8(i))
	}
	for i := range planted {
		f.Add("x", "S3cretS3cretS3cret", "y", uint8(i))
	}
	r := &Redactor{}
	f.Fuzz(func(t *testing.T, before, secret, after string, form uint8) {
		const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		if len(secret) < 16 || strings.Trim(secret, alphabet) != "" || !strings.ContainsAny(secret, "0123456789") {
			t.Skip() // no secret that could be told from what is around it
		}
		if strings.Contains(before, secret) || strings.Contains(after, secret) || strings.Contains(Mark, secret) {
			t.Skip()
		}
		if i := strings.LastIndexByte(before, '\n'); slices.ContainsFunc([]string{"\"", "'", "`", `\`}, func(q string) bool { return strings.Contains(before[i+1:], q) }) {
			before += "\n" // an open quote on the same line may end in the middle of ours
		}
		line := strings.ReplaceAll(planted[int(form)%len(planted)], "S", secret)
		got, _ := r.Redact(before + " " + line + "\n" + after)
		if strings.Contains(got, secret) {
			t.Fatalf("%q survived in %q", secret, got)
		}
	})
}
