package redact

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The secrets of the table are made up. Each must be gone from its line.
const (
	awsKey = "AKIA" + "IOSFODNN7EXAMPLE"
	aws    = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"
	jwt    = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	github = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
)

func TestRedact(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		kinds          Counts
	}{
		{"nothing", "listening on :8080", "listening on :8080", nil},
		{"empty", "", "", nil},
		{"bearer header", "GET / Authorization: Bearer " + jwt, "GET / Authorization: Bearer [REDACTED]", Counts{Header: 1}},
		{"bearer alone", "sent bearer 0123abcd0123", "sent bearer [REDACTED]", Counts{Header: 1}},
		{"bearer is a word", "bearer authentication is required", "bearer authentication is required", nil},
		{"basic header in JSON", `{"Authorization":"Basic dXNlcjpodW50ZXIy","x":1}`, `{"Authorization":"Basic [REDACTED]","x":1}`, Counts{Header: 1}},
		{"basic alone", "curl -H 'basic dXNlcjpodW50ZXIy'", "curl -H 'basic [REDACTED]'", Counts{Header: 1}},
		{"basic is a word", "basic functionality ok", "basic functionality ok", nil},
		{"aws signature", "authorization: AWS4-HMAC-SHA256 Credential=" + awsKey + "/20260101, Signature=abc", "authorization: AWS4-HMAC-SHA256 [REDACTED]", Counts{Header: 1}},
		{"authorization without scheme", "authorization=s3cr3t status=403", "authorization=[REDACTED] status=403", Counts{Header: 1}},
		{"digest", `Authorization: Digest username="bob", response="6629fae49393a05397450978507c4ef1"`, "Authorization: Digest [REDACTED]", Counts{Header: 1}},
		{"cookie in quotes", `Cookie: sid="abcdef"; x=1`, "Cookie: [REDACTED]", Counts{Header: 1}},
		{"header in a string", `{"h":"Cookie: sid=abcdef","n":1}`, `{"h":"Cookie: [REDACTED]","n":1}`, Counts{Header: 1}},
		{"cookie", "Set-Cookie: sid=abcdef; Path=/; HttpOnly", "Set-Cookie: [REDACTED]", Counts{Header: 1}},
		{"jwt alone", "user logged in with " + jwt + ".", "user logged in with [REDACTED]", Counts{JWT: 1}},
		{"jwt that is cut", "token eyJhbGciOiJIUzI1NiIsInR5", "token [REDACTED]", Counts{JWT: 1}},
		{"aws key", "using " + awsKey + " in eu-west-1", "using [REDACTED] in eu-west-1", Counts{ServiceKey: 1}},
		{"aws secret", "AWS_SECRET_ACCESS_KEY=" + aws, "AWS_SECRET_ACCESS_KEY=[REDACTED]", Counts{Named: 1}},
		{"google key", "key=AIza" + "SyA0123456789abcdefghijklmnopqrstuvw", "key=[REDACTED]", Counts{ServiceKey: 1}},
		{"alibaba key", "id LTAI4FoDtwpxM9i1Bs1a done", "id [REDACTED] done", Counts{ServiceKey: 1}},
		{"github", "cloning with " + github, "cloning with [REDACTED]", Counts{ServiceKey: 1}},
		{"slack hook", "POST https://hooks.slack.com/services/T000/B000/XXXX 404", "POST https://[REDACTED] 404", Counts{ServiceKey: 1}},
		{"password in a URL", "dial postgres://app:hunter2@db:5432/shop?sslmode=off failed", "dial postgres://app:[REDACTED]@db:5432/shop?sslmode=off failed", Counts{URL: 1}},
		{"odd password in a URL", "amqp://u:p@ss/w:rd#?@mq:5672 down", "amqp://u:[REDACTED]@mq:5672 down", Counts{URL: 1}},
		{"password only in a URL", "redis://:hunter2@cache:6379", "redis://:[REDACTED]@cache:6379", Counts{URL: 1}},
		{"token in a URL", "https://0123456789abcdefghij0123@git.example/x.git", "https://[REDACTED]@git.example/x.git", Counts{URL: 1}},
		{"no password in a URL", "GET http://10.0.0.1:8080/x?y=z 200", "GET http://10.0.0.1:8080/x?y=z 200", nil},
		{"URL and mail address in JSON", `{"u":"http://a:80/","m":"bob@b.c"}`, `{"u":"http://a:80/","m":"bob@b.c"}`, nil},
		{"mysql name", "app:hunter2@tcp(db:3306)/shop", "app:[REDACTED]@tcp(db:3306)/shop", Counts{URL: 1}},
		{"logfmt", "msg=login user=bob password=hunter2,x;y ok=true", "msg=login user=bob password=[REDACTED];y ok=true", Counts{Named: 1}},
		{"quoted", `db_password="hunter \"2\" x" host=db`, `db_password="[REDACTED]" host=db`, Counts{Named: 1}},
		{"JSON", `{"user":"bob","clientSecret":"s3cr3t","n":1}`, `{"user":"bob","clientSecret":"[REDACTED]","n":1}`, Counts{Named: 1}},
		{"JSON in JSON", `{"msg":"{\"api_key\":\"s3cr3t\",\"n\":1}"}`, `{"msg":"{\"api_key\":\"[REDACTED]\",\"n\":1}"}`, Counts{Named: 1}},
		{"JSON that is cut", `{"accessToken":"s3cr3t and mo`, `{"accessToken":"[REDACTED]`, Counts{Named: 1}},
		{"YAML", "  password: hunter2", "  password: [REDACTED]", Counts{Named: 1}},
		{"Go map", "map[user:bob password:hunter2]", "map[user:bob password:[REDACTED]]", Counts{Named: 1}},
		{"query", "GET /x?token=abc123&page=2", "GET /x?token=[REDACTED]&page=2", Counts{Named: 1}},
		{"connection string", "Server=db;Uid=sa;Pwd=hunter2;Encrypt=yes", "Server=db;Uid=sa;Pwd=[REDACTED];Encrypt=yes", Counts{Named: 1}},
		{"azure", "AccountName=x;AccountKey=abc+/==;EndpointSuffix=y", "AccountName=x;AccountKey=[REDACTED];EndpointSuffix=y", Counts{Named: 1}},
		{"flag", "run --db-password hunter2 --verbose", "run --db-password [REDACTED] --verbose", Counts{Named: 1}},
		{"flag with =", "run --token=hunter2 -v", "run --token=[REDACTED] -v", Counts{Named: 1}},
		{"flags in JSON", `["--password","hunter2","-v"]`, `["--password","[REDACTED]","-v"]`, Counts{Named: 1}},
		{"header of a key", "X-Api-Key: abcdef", "X-Api-Key: [REDACTED]", Counts{Named: 1}},
		{"several", "password=a token=b", "password=[REDACTED] token=[REDACTED]", Counts{Named: 2}},
		{"no value", "password= user=bob", "password= user=bob", nil},
		{"nothing behind it", "secret: null, token=<nil> password=***** using password: YES", "secret: null, token=<nil> password=***** using password: YES", nil},
		{"a reference", "password=${DB_PASSWORD}", "password=${DB_PASSWORD}", nil},
		{"other keys", "max_tokens=5 key=value monkey=1 passenger: bob secretary: eve token_count=3", "max_tokens=5 key=value monkey=1 passenger: bob secretary: eve token_count=3", nil},
		{"a Kubernetes message", `secret "db" not found`, `secret "db" not found`, nil},
		{"done before", "password=[REDACTED], next", "password=[REDACTED], next", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := (&Redactor{}).Redact(c.in)
			require.Equal(t, c.want, got)
			require.Equal(t, c.kinds, found)
		})
	}
}

const keyBody = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\nNMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s+CLOyS56YyCFGeJZ\nagU=\n"

func TestBlocks(t *testing.T) {
	begin, end := "-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\n"
	logger := func(s string) string {
		return "2026-01-02 INFO " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n2026-01-02 INFO ") + "\n"
	}
	body := strings.Split(strings.TrimSuffix(keyBody, "\n"), "\n")
	for name, c := range map[string]struct{ in, keeps string }{
		"whole":               {"before\n" + begin + keyBody + end + "after\n", "before after"},
		"begin is cut off":    {keyBody + end + "after\n", "after"},
		"some lines are too":  {strings.Join(body[2:], "\n") + "\n" + end + "after\n", "after"},
		"end is cut off":      {"before\n" + begin + keyBody, "before"},
		"end never comes":     {"before\n" + begin + keyBody + "panic: no key\n", "before panic"},
		"both are cut off":    {strings.Join(body[:3], "\n"), ""},
		"in a logger":         {logger("before\n" + begin + keyBody + end + "after\n"), "before after"},
		"cut, in a logger":    {logger(keyBody + end + "after\n"), "after"},
		"on one line":         {`{"k":"` + strings.ReplaceAll(begin+keyBody+end, "\n", `\n`) + `"}` + "\nafter\n", "after"},
		"cut, on one line":    {strings.ReplaceAll(keyBody+end, "\n", `\n`) + "\nafter\n", "after"},
		"open, on one line":   {"before\n" + strings.ReplaceAll(begin+keyBody, "\n", `\n`) + "\nafter\n", "before after"},
		"encrypted":           {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + keyBody, ""},
		"two":                 {begin + keyBody + end + "between\n" + begin + keyBody + end, "between"},
		"one open, one whole": {begin + keyBody + begin + keyBody + end + "after\n", "after"},
		"end in a label":      {"before\n" + begin + keyBody + "-----END PRIV", "before"},
		"carriage returns":    {"before\r\n" + strings.ReplaceAll(begin+keyBody+end, "\n", "\r\n") + "after\r\n", "before after"},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := (&Redactor{}).Redact(c.in)
			for _, line := range body {
				require.NotContains(t, got, strings.TrimRight(line, "=")[:3], got)
			}
			for _, word := range strings.Fields(c.keeps) {
				require.Contains(t, got, word)
			}
			require.Positive(t, found[PEM])
		})
	}
	for _, harmless := range []string{
		"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "----------", "-----BEGIN", "==== done ====",
		"/usr/lib/jvm/java-17-openjdk-amd64/lib/modules/x/y/z/a/b/c/d/e/f/g/h",
	} {
		got, found := (&Redactor{}).Redact(harmless)
		require.Equal(t, harmless, got)
		require.Nil(t, found)
	}
}

func TestCustomPatterns(t *testing.T) {
	r, err := New([]string{`cust-\d+`, `pin (?P<secret>\d{4})`, `(?s)<card>.*?</card>`})
	require.NoError(t, err)
	got, found := r.Redact("cust-42 has pin 1234 and <card>4111\n1111</card>, password=x")
	require.Equal(t, "[REDACTED] has pin [REDACTED] and [REDACTED], password=[REDACTED]", got)
	require.Equal(t, Counts{Custom: 3, Named: 1}, found)
	require.Equal(t, 4, found.Total())

	_, err = New([]string{"a(", "ok", "x*"})
	require.ErrorContains(t, err, "pattern 0: error parsing regexp")
	require.ErrorContains(t, err, "pattern 2: \"x*\" matches the empty text")
	require.NotContains(t, err.Error(), "pattern 1")
}

// Ten times the text may take ten times as long, not a hundred: the bound is loose enough for a busy machine.
func TestRedactIsLinear(t *testing.T) {
	r := &Redactor{}
	for _, unit := range []string{
		"password=", "password=\"", "token: x ", "-----BEGIN A-----\n", "-----END A-----\n", "-----", "://a:b", "eyJabcdefgh.", "a\n", keyBody,
		"authorization: ", "bearer ", `\`, "pass\\\\\\", "cookie:", "--token ", "AKIA",
	} {
		took := func(n int) time.Duration {
			s, best := strings.Repeat(unit, n/len(unit)+1), time.Hour
			for range 3 {
				start := time.Now()
				r.Redact(s)
				best = min(best, time.Since(start))
			}
			return max(best, 20*time.Microsecond)
		}
		require.Less(t, took(128<<10)/took(4<<10), time.Duration(32*20), "%q", unit)
	}
}
