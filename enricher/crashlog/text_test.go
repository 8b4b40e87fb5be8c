package crashlog

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParse(t *testing.T) {
	const at = "2026-03-01T12:00:00.123456789Z "
	for in, want := range map[string]string{
		"":                                "",
		at + "one\n" + at + "two\n":       "one\ntwo",
		at + "one\r\n":                    "one",
		at + "\x1b[31mred\x1b[0m \x07x\n": "red x",
		at + "\xff\xfe\n":                 "\uFFFD\uFFFD",
		at + "no line feed":               "no line feed",
		at + "\n":                         "",
		"no time\n":                       "no time",
		"2026-03-01 12:00:00 own time\n":  "2026-03-01 12:00:00 own time",
		at + "x\nunable to retrieve container logs for containerd://abc": "x",
	} {
		a := parse([]byte(in))
		require.Equal(t, want, a.text, "%q", in)
		require.Empty(t, a.why, "%q", in)
	}
	require.Equal(t, time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC), parse([]byte(at+"x")).first)
	for _, in := range []string{
		"unable to retrieve container logs for containerd://0123", "unable to retrieve container logs for docker://0123\n", at + "unable to retrieve container logs for cri-o://1",
		`failed to try resolving symlinks in path "/var/log/pods/x/0.log": lstat /var/log/pods/x/0.log: no such file or directory`,
	} {
		require.Equal(t, answer{why: Gone}, parse([]byte(in)), "%q", in)
	}
	cut := parse([]byte(at + "whole\n" + at + strings.Repeat("x", maxRead)))
	require.True(t, cut.cut)
	require.Equal(t, "whole", cut.text)
}

func TestLastBytes(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
		cut  bool
	}{
		{"abc", 3, "abc", false}, {"ab\ncd", 4, "cd", true}, {"ab\ncd\n", 3, "cd\n", true}, {"abcdef", 3, "def", true}, {"aéé", 3, "é", true},
	} {
		got, cut := lastBytes(c.in, c.n)
		require.Equal(t, c.want, got, c.in)
		require.Equal(t, c.cut, cut, c.in)
	}
}

// Every error of a request means one thing.
func TestWhyNot(t *testing.T) {
	for _, c := range []struct {
		code    int
		reason  metav1.StatusReason
		message string
		want    string
	}{
		{404, metav1.StatusReasonNotFound, `pods "web" not found`, Gone},
		{403, metav1.StatusReasonForbidden, "forbidden", Forbidden},
		{401, metav1.StatusReasonUnauthorized, "Unauthorized", Forbidden},
		{400, metav1.StatusReasonBadRequest, `previous terminated container "main" in pod "web" not found`, Gone},
		{400, metav1.StatusReasonBadRequest, `container "main" in pod "web" is waiting to start: trying and failing to pull image`, NotStarted},
		{400, metav1.StatusReasonBadRequest, `container "main" in pod "web" is not available`, Gone},
		{400, metav1.StatusReasonBadRequest, `container x is not valid for pod web`, Gone},
		{400, metav1.StatusReasonBadRequest, `unable to retrieve container logs for containerd://0`, Gone},
		{500, metav1.StatusReasonInternalError, `Get "https://10.0.0.1:10250/containerLogs/shop/web/main": dial tcp: connection refused`, Unreachable},
		{500, metav1.StatusReasonInternalError, `an error on the server ("unable to retrieve container logs for containerd://0") has prevented`, Gone},
		{429, metav1.StatusReasonTooManyRequests, "slow down", Unreachable},
		{503, metav1.StatusReasonServiceUnavailable, "away", Unreachable},
		{504, metav1.StatusReasonTimeout, "late", Unreachable},
		{422, metav1.StatusReasonInvalid, "tailLines is odd", Failed},
	} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request, _ asked) { refuse(w, c.code, c.reason, c.message) })
		_, err := r.api.read(t.Context(), target{namespace: "shop", pod: "web", container: "main"}, 1)
		require.Equal(t, c.want, whyNot(err), c.message)
		require.Len(t, r.server.seen(), 1, "nothing is tried again behind the budget's back")
	}
	require.Empty(t, whyNot(nil))
	require.Equal(t, Unreachable, whyNot(errors.New("connection refused")))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("2026-03-01T12:00:00Z x\n\x1b[1;2mred\x1b["))
	f.Add([]byte("unable to retrieve container logs for a://b\n\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := parse(b)
		if !utf8.ValidString(a.text) || strings.ContainsAny(a.text, "\x00\x1b\r") || len(a.text) > 3*len(b) {
			t.Fatalf("%q became %q", b, a.text)
		}
		if strings.HasPrefix(a.text, excuses[0]) && !strings.Contains(a.text, "\n") {
			t.Fatalf("%q: an excuse is no log", b)
		}
		if got, _ := lastBytes(a.text, 16); len(got) > 16 || !utf8.ValidString(got) {
			t.Fatalf("%q: its last bytes are %q", a.text, got)
		}
	})
}

func TestConfigReportsAllProblems(t *testing.T) {
	require.NoError(t, Default().Validate())
	err := Config{Lines: 2000, Reasons: []string{""}, Wait: time.Hour, Redact: []string{"a("}}.Validate()
	for _, says := range []string{
		"enricher.logs.lines: 2000 is not in 1..1000", "enricher.logs.reasons[0] is empty", "enricher.logs.wait: 1h0m0s", "enricher.logs.timeout: 0s",
		"enricher.logs.concurrency: 0", "enricher.logs.requests_per_minute: 0", "enricher.logs.workload_requests_per_minute: 0",
		"enricher.logs.bytes_per_minute: 0", "enricher.logs.redact: pattern 0: error parsing regexp",
	} {
		require.ErrorContains(t, err, says)
	}
}
