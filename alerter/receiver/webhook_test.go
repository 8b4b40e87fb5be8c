package receiver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/receiver"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

var now = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func alert() *schemas.Alert {
	return &schemas.Alert{ID: "prod/f/1/0", Fingerprint: "f", Cluster: "prod", Rule: "CrashLoop", Status: schemas.AlertFiring, StartsAt: now, Count: 3}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestWebhookPostsTheAlert(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	c := receiver.Config{
		Name: "hook", Type: "webhook", URLFile: file(t, url+"/alerts?token=t\n"), HMACSecretFile: file(t, "key\n"),
		Headers: map[string]stream.Secret{"Authorization": "Bearer b"},
	}
	require.NoError(t, c.Validate("receivers[0]"))
	require.NoError(t, receiver.New(c, receiver.Links{}).Send(t.Context(), alert(), now))
	assert.Equal(t, http.MethodPost, got.Method)
	assert.Equal(t, "/alerts?token=t", got.URL.String())
	assert.Equal(t, "application/json", got.Header.Get("Content-Type"))
	assert.Equal(t, "prod/f/1/0", got.Header.Get("Idempotency-Key"))
	assert.Equal(t, "Bearer b", got.Header.Get("Authorization"))
	assert.Equal(t, receiver.Sign([]byte("key"), body), got.Header.Get("X-Kubescribe-Signature"))
	var a schemas.Alert
	require.NoError(t, json.Unmarshal(body, &a))
	assert.Equal(t, *alert(), a)
}

func TestSign(t *testing.T) {
	// RFC 4231, test case 2.
	assert.Equal(t, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", receiver.Sign([]byte("Jefe"), []byte("what do ya want for nothing?")))
}

func TestWebhookVerdicts(t *testing.T) {
	for _, tt := range []struct {
		code    int
		after   string
		refused bool
		busy    time.Duration
	}{
		{code: 200},
		{code: 204},
		{code: 301, refused: true},
		{code: 400, refused: true},
		{code: 401, refused: true},
		{code: 404, refused: true},
		{code: 413, refused: true},
		{code: 422, refused: true},
		{code: 408},
		{code: 500},
		{code: 502},
		{code: 503},
		{code: 429, busy: 15 * time.Second},
		{code: 429, after: "7", busy: 7 * time.Second},
		{code: 503, after: "Fri, 20 Nov 2026 10:00:30 GMT", busy: 30 * time.Second},
		{code: 503, after: "86400", busy: 10 * time.Minute},
		{code: 503, after: "soon"},
		{code: 429, after: "Fri, 20 Nov 2026 09:00:00 GMT", busy: 15 * time.Second},
	} {
		t.Run(fmt.Sprint(tt.code, tt.after), func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.after != "" {
					w.Header().Set("Retry-After", tt.after)
				}
				w.WriteHeader(tt.code)
				_, _ = io.WriteString(w, strings.Repeat("so\n it is ", 500))
			})
			err := receiver.New(receiver.Config{Name: "hook", Type: "webhook", URL: stream.Secret(url)}, receiver.Links{}).Send(t.Context(), alert(), now)
			if tt.code < 300 {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, fmt.Sprintf("receiver hook answered %d", tt.code))
			assert.Less(t, len(err.Error()), 400)
			assert.NotContains(t, err.Error(), "\n")
			var refused *receiver.RefusedError
			assert.Equal(t, tt.refused, errors.As(err, &refused))
			var busy *receiver.BusyError
			if assert.Equal(t, tt.busy > 0, errors.As(err, &busy)) && tt.busy > 0 {
				assert.Equal(t, tt.busy, busy.After)
			}
		})
	}
}

func TestWebhookIsTransientWhenNobodyAnswers(t *testing.T) {
	hang := make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	for _, url := range []string{"http://127.0.0.1:1/secret-token", slow + "/secret-token"} {
		c := receiver.Config{Name: "hook", Type: "webhook", URL: stream.Secret(url), Timeout: 50 * time.Millisecond}
		err := receiver.New(c, receiver.Links{}).Send(t.Context(), alert(), now)
		require.Error(t, err)
		assert.NotErrorAs(t, err, new(*receiver.RefusedError))
		assert.NotContains(t, err.Error(), "secret-token", "errors hold no secret")
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", c, c, c), "secret-token")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Error(t, receiver.New(receiver.Config{Name: "hook", Type: "webhook", URL: stream.Secret(slow)}, receiver.Links{}).Send(ctx, alert(), now))
}

func TestWants(t *testing.T) {
	no := false
	all, some := receiver.New(receiver.Config{Type: "webhook"}, receiver.Links{}), receiver.New(receiver.Config{Type: "webhook", SendResolved: &no}, receiver.Links{})
	assert.True(t, all.Wants(schemas.AlertResolved))
	assert.False(t, some.Wants(schemas.AlertResolved))
	assert.True(t, some.Wants(schemas.AlertFiring))
	assert.True(t, some.Wants(schemas.AlertRepeated))
}

func TestValidateReportsEverything(t *testing.T) {
	c := receiver.Config{Type: "pigeon", URL: "ftp://x/token", HMACSecretFile: "/none", Timeout: -1, Headers: map[string]stream.Secret{"a b": "c"}}
	err := c.Validate("alerter.receivers[2]")
	for _, want := range []string{
		"alerter.receivers[2].name is empty", `alerter.receivers[2].type: "pigeon" is unknown: use alertmanager, dingtalk, email, feishu, msteams, pagerduty, slack, webhook, wecom`,
		"alerter.receivers[2].url: is no http:// or https:// address", "alerter.receivers[2].hmac_secret_file:",
		"alerter.receivers[2].timeout:", `alerter.receivers[2].headers: "a b"`,
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "token")
	assert.ErrorContains(t, receiver.Config{Name: "a", Type: "webhook"}.Validate("x"), "x.url and url_file are empty")
	assert.ErrorContains(t, receiver.Config{Name: "a", Type: "webhook", URL: "http://a", URLFile: "b"}.Validate("x"), "x.url and url_file are both set")
	assert.ErrorContains(t, receiver.Config{Name: "a", Type: "webhook", URLFile: "/none"}.Validate("x"), "x.url_file:")
}
