package receiver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
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

var update = flag.Bool("update", false, "write the golden files")

var links = receiver.Links{Explorer: "https://explorer.example/", Kibana: "https://kibana.example/s/ops"}

// crash is an alert with everything a page can show, and with text that tries to be more than text.
func crash(status schemas.AlertStatus) *schemas.Alert {
	at := time.Date(2026, 11, 20, 9, 47, 2, 0, time.UTC)
	a := &schemas.Alert{
		ID: "shop/29783c47bc58578d92306a6f123bb501/abc/0", Fingerprint: "29783c47bc58578d92306a6f123bb501", Cluster: "shop", Rule: "CrashLoop",
		Status: status, StartsAt: at, Count: 3,
		Labels: map[string]string{
			"alertname": "CrashLoop", "cluster": "shop", "namespace": "shop", "severity": "page", "workload": "Deployment/web", "workload.kind": "Deployment", "empty": "",
		},
		Annotations: map[string]string{
			"summary": "Deployment/web in shop is crash looping", "description": "Pod/web-1 on node-2: <!channel> [click](http://evil) & *more*",
			"runbook": "1. Look at why it ended.\n2. Undo the rollout.\n",
		},
		Evidence: []schemas.Evidence{
			{ID: "uid/0/ev/1", Time: at, Reason: "BackOff", Message: "first"},
			{
				ID: "uid/0/ev/2", Time: at.Add(time.Minute), Reason: "BackOff", Message: "Back-off restarting failed container main in pod web-1_shop(172f)",
				Namespace: "shop", Object: "Pod/web-1", Workload: "Deployment/web", Service: "web", Node: "node-2", Container: "main", Image: "registry.example/web:2.0",
				ExitCode: "1", Log: "starting\npanic: ``` <@U123> no database\n", Revision: 7, RolledOutAt: at.Add(-4 * time.Minute),
			},
		},
	}
	if status == schemas.AlertResolved {
		a.EndsAt = at.Add(time.Minute)
	}
	return a
}

// storm is a summary of many alerts.
func storm() *schemas.Alert {
	a := crash(schemas.AlertFiring)
	a.Rule, a.Count, a.Evidence = "AlertStorm", 25, nil
	for range 25 {
		a.Members = append(a.Members, schemas.Member{Fingerprint: "f", Rule: "CrashLoop", StartsAt: a.StartsAt, Summary: "web crashes"})
	}
	return a
}

// spoken is what a receiver of this type sends.
func spoken(t *testing.T, c receiver.Config, a *schemas.Alert, answer string) (*http.Request, []byte, error) {
	t.Helper()
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, answer)
	})
	c.Name, c.URL = "there", stream.Secret(url+"/hook?key=k")
	require.NoError(t, c.Validate("receivers[0]"))
	err := receiver.New(c, links).Send(t.Context(), a, now)
	return got, body, err
}

var okay = map[string]string{
	"alertmanager": "", "slack": "ok", "msteams": "", "pagerduty": `{"status":"success","message":"Event processed","dedup_key":"k"}`,
	"wecom": `{"errcode":0,"errmsg":"ok"}`, "dingtalk": `{"errcode":0,"errmsg":"ok"}`, "feishu": `{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}`,
}

// TestMessages compares what is sent with golden files.
func TestMessages(t *testing.T) {
	for name, answer := range okay {
		c := receiver.Config{Type: name}
		switch name {
		case "pagerduty":
			c.Secret = "0123456789abcdef0123456789abcdef"
		case "dingtalk", "feishu":
			c.Secret = "SEC000"
		}
		for what, a := range map[string]*schemas.Alert{
			"firing": crash(schemas.AlertFiring), "resolved": crash(schemas.AlertResolved), "storm": storm(),
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				req, body, err := spoken(t, c, a, answer)
				require.NoError(t, err)
				var out bytes.Buffer
				out.WriteString("POST " + req.URL.String() + "\n")
				require.NoError(t, json.Indent(&out, body, "", "  "))
				out.WriteString("\n")
				path := filepath.Join("testdata", name+"."+what+".txt")
				if *update {
					require.NoError(t, os.MkdirAll("testdata", 0o755))
					require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, string(want), out.String())
				assert.Equal(t, "application/json", req.Header.Get("Content-Type"))
			})
		}
	}
}

// TestTextIsOnlyText: what comes from the cluster mentions nobody and links nowhere.
func TestTextIsOnlyText(t *testing.T) {
	for name, forbidden := range map[string][]string{
		"slack":    {"<!channel>", "<@U123>", "panic: ```"},
		"msteams":  {"](http://evil)", "<@"},
		"wecom":    {"](http://evil)", "<@"},
		"dingtalk": {"](http://evil)", "<@"},
		"feishu":   {"](http://evil)", "<@"},
	} {
		_, body, err := spoken(t, receiver.Config{Type: name}, crash(schemas.AlertFiring), okay[name])
		require.NoError(t, err)
		for _, f := range forbidden {
			assert.NotContains(t, string(body), f, name)
		}
	}
}

// TestMessagesAreBounded sends the largest alert that the rules can make.
func TestMessagesAreBounded(t *testing.T) {
	a := crash(schemas.AlertFiring)
	for _, k := range []string{"summary", "description", "runbook"} {
		a.Annotations[k] = strings.Repeat("€\n", 1300)
	}
	for i := range a.Evidence {
		a.Evidence[i].Message, a.Evidence[i].Log = strings.Repeat("m", 1024), strings.Repeat("lög\n", 400)
	}
	for name, most := range map[string]int{"slack": 40000, "msteams": 28 << 10, "wecom": 3 * 4096, "dingtalk": 20000, "feishu": 20 << 10, "pagerduty": 512 << 10} {
		c := receiver.Config{Type: name}
		if name == "pagerduty" {
			c.Secret = "k"
		}
		_, body, err := spoken(t, c, a, okay[name])
		require.NoError(t, err)
		assert.Less(t, len(body), most, name)
		if name == "wecom" {
			var m struct{ Markdown struct{ Content string } }
			require.NoError(t, json.Unmarshal(body, &m))
			assert.LessOrEqual(t, len(m.Markdown.Content), 4096)
		}
	}
}

func TestAnswers(t *testing.T) {
	const taken, busy, later, refused = "taken", "busy", "later", "refused"
	for _, tt := range []struct{ kind, answer, want string }{
		{"slack", "ok", taken},
		{"msteams", "", taken},
		{"msteams", "1", taken},
		{"msteams", "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId", busy},
		{"msteams", "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 503 with ContextId", later},
		{"msteams", "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413 with ContextId", refused},
		{"wecom", `{"errcode":0,"errmsg":"ok"}`, taken},
		{"wecom", `{"errcode":45009,"errmsg":"api freq out of limit"}`, busy},
		{"wecom", `{"errcode":-1,"errmsg":"system busy"}`, later},
		{"wecom", `{"errcode":93000,"errmsg":"invalid webhook url"}`, refused},
		{"wecom", `{"errcode":40058,"errmsg":"markdown.content exceed max length 4096"}`, refused},
		{"wecom", `<html>gateway</html>`, later},
		{"wecom", `{}`, later},
		{"dingtalk", `{"errcode":0,"errmsg":"ok"}`, taken},
		{"dingtalk", `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`, busy},
		{"dingtalk", `{"errcode":410100,"errmsg":"limited"}`, busy},
		{"dingtalk", `{"errcode":-1,"errmsg":"system busy"}`, later},
		{"dingtalk", `{"errcode":310000,"errmsg":"sign not match"}`, refused},
		{"feishu", `{"code":0,"msg":"success"}`, taken},
		{"feishu", `{"code":11232,"msg":"frequency limited psm"}`, busy},
		{"feishu", `{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}`, refused},
		{"feishu", `not json`, later},
	} {
		_, _, err := spoken(t, receiver.Config{Type: tt.kind}, crash(schemas.AlertFiring), tt.answer)
		var isBusy *receiver.BusyError
		got := later
		switch {
		case err == nil:
			got = taken
		case errors.As(err, &isBusy):
			got = busy
			assert.Positive(t, isBusy.After)
		case errors.As(err, new(*receiver.RefusedError)):
			got = refused
		}
		assert.Equal(t, tt.want, got, "%s %s", tt.kind, tt.answer)
		if err != nil {
			assert.NotContains(t, err.Error(), "key=k")
		}
	}
}

func TestSigns(t *testing.T) {
	// The expected values were made with openssl dgst -sha256 -hmac.
	req, _, err := spoken(t, receiver.Config{Type: "dingtalk", Secret: "SEC000"}, crash(schemas.AlertFiring), okay["dingtalk"])
	require.NoError(t, err)
	assert.Equal(t, "1795168800000", req.URL.Query().Get("timestamp"))
	assert.Equal(t, "wUbtGVXw+DUW2CceZlfmeRGpUybY7vP7S0m4wSShfPo=", req.URL.Query().Get("sign"))
	assert.Equal(t, "k", req.URL.Query().Get("key"), "the address's own parameters stay")
	_, body, err := spoken(t, receiver.Config{Type: "feishu", SecretFile: file(t, "SEC000\n")}, crash(schemas.AlertFiring), okay["feishu"])
	require.NoError(t, err)
	var m struct{ Timestamp, Sign string }
	require.NoError(t, json.Unmarshal(body, &m))
	assert.Equal(t, "1795168800", m.Timestamp)
	assert.Equal(t, "DIsjbc+UAKSkACOHN8IhYyPPIcPSpO1rsz+1gkEcT8Q=", m.Sign)
}

func TestTemplatedWebhook(t *testing.T) {
	c := receiver.Config{Type: "webhook", Body: `{"text": {{ json .Page.Title }}, "owner": {{ json (index .Alert.Evidence 1).Workload }}{{ range .Page.Links }}, {{ json .Name }}: true{{ end }}}`}
	_, body, err := spoken(t, receiver.Config{Type: "webhook", Body: `{"text": {{ json .Page.Title }}{{ range .Page.Links }}, {{ json .Name }}: true{{ end }}}`}, crash(schemas.AlertFiring), "")
	require.NoError(t, err)
	assert.JSONEq(t, `{"text": "[firing] CrashLoop: Deployment/web in shop is crash looping", "explorer": true, "kibana": true}`, string(body))
	assert.ErrorContains(t, c.Validate("x"), "x.body: ", "an alert need not have two pieces of evidence")
	c.Body = "{{ .Alert.Nmae }}"
	assert.ErrorContains(t, c.Validate("x"), "can't evaluate field Nmae")
}

func TestRateLimit(t *testing.T) {
	for _, c := range []struct {
		kind      string
		perMinute int
		limit     int
	}{{"webhook", 2, 2}, {"wecom", 0, 20}, {"wecom", 3, 3}} {
		n := 0
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { n++; _, _ = io.WriteString(w, okay[c.kind]) })
		r := receiver.New(receiver.Config{Name: "there", Type: c.kind, URL: stream.Secret(url), PerMinute: c.perMinute}, links)
		for i := range c.limit {
			require.NoError(t, r.Send(t.Context(), crash(schemas.AlertFiring), now.Add(time.Duration(i)*time.Second)))
		}
		var busy *receiver.BusyError
		require.ErrorAs(t, r.Send(t.Context(), crash(schemas.AlertFiring), now.Add(30*time.Second)), &busy)
		assert.Equal(t, 30*time.Second, busy.After)
		require.NoError(t, r.Send(t.Context(), crash(schemas.AlertFiring), now.Add(time.Minute)))
		assert.Equal(t, c.limit+1, n, "what waits is not sent")
	}
}

func TestAlertmanagerTimes(t *testing.T) {
	posted := func(a *schemas.Alert) (starts, ends time.Time) {
		_, body, err := spoken(t, receiver.Config{Type: "alertmanager", RepostInterval: 10 * time.Second}, a, "")
		require.NoError(t, err)
		var all []struct{ StartsAt, EndsAt time.Time }
		require.NoError(t, json.Unmarshal(body, &all))
		require.Len(t, all, 1)
		return all[0].StartsAt, all[0].EndsAt
	}
	a := crash(schemas.AlertFiring)
	starts, ends := posted(a)
	assert.Equal(t, a.StartsAt, starts)
	assert.Equal(t, now.Add(50*time.Second), ends, "it fires for a while yet")
	a = crash(schemas.AlertResolved)
	_, ends = posted(a)
	assert.Equal(t, a.EndsAt, ends)
	a.EndsAt = a.StartsAt
	_, ends = posted(a)
	assert.Equal(t, a.StartsAt.Add(time.Millisecond), ends, "one event has no length, but its alert needs one")
	a = crash(schemas.AlertFiring)
	a.StartsAt = now.Add(40 * time.Minute)
	_, ends = posted(a)
	assert.Equal(t, a.StartsAt.Add(50*time.Second), ends, "a clock that is ahead")
	assert.Equal(t, time.Minute, receiver.New(receiver.Config{Type: "alertmanager"}, links).Repost())
	assert.Zero(t, receiver.New(receiver.Config{Type: "slack"}, links).Repost())
}

func TestValidateEachKind(t *testing.T) {
	for _, tt := range []struct {
		c    receiver.Config
		want []string
	}{
		{receiver.Config{Name: "a", Type: "pagerduty", Secret: "k"}, nil},
		{receiver.Config{Name: "a", Type: "pagerduty"}, []string{"x.secret and secret_file are empty: pagerduty needs one of them"}},
		{receiver.Config{Name: "a", Type: "pagerduty", SecretFile: "/none"}, []string{"x.secret_file: "}},
		{receiver.Config{Name: "a", Type: "slack", URL: "https://a", Secret: "k", Body: "b"}, []string{"x.secret or secret_file is not used by slack", "x.body is only used by webhook"}},
		{receiver.Config{Name: "a", Type: "slack", URL: "https://a", RepostInterval: time.Second}, []string{"x.repost_interval is only used by alertmanager"}},
		{receiver.Config{Name: "a", Type: "email"}, []string{"x.email.host:", "x.email.from:", "x.email.to is empty"}},
		{
			receiver.Config{Name: "a", Type: "email", URL: "https://a", Email: receiver.EmailConfig{Host: "mail:25", From: "a@b", To: []string{"c"}, TLS: "ssl", Username: "u"}},
			[]string{"x.url is not used by email", "x.email.to[0]:", "x.email.tls:", "x.email.username and secret go together"},
		},
		{receiver.Config{Name: "a", Type: "webhook", URL: "https://a", Email: receiver.EmailConfig{Host: "mail:25"}, PerMinute: -1}, []string{"x.email is only used by email", "x.per_minute"}},
	} {
		err := tt.c.Validate("x")
		if len(tt.want) == 0 {
			assert.NoError(t, err)
		}
		for _, want := range tt.want {
			assert.ErrorContains(t, err, want)
		}
	}
	assert.NoError(t, links.Validate("alerter.links"))
	assert.ErrorContains(t, receiver.Links{Kibana: "kibana"}.Validate("alerter.links"), "alerter.links.kibana")
}
