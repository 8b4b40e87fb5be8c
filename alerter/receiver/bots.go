package receiver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"kubescribe/schemas"
)

// The group bots of WeChat Work, DingTalk and Feishu (Lark) answer 200 to everything and say in the body what came of it.

// markdown is a page in the little of Markdown that all three know, in at most limit bytes. What matters comes first, so that what is
// cut is the runbook and then the log. quote begins a line of a list.
func markdown(p page, quote string, limit int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n", plainMarkdown(p.Title))
	if p.Description != "" {
		fmt.Fprintf(&b, "%s\n", plainMarkdown(clip(p.Description, 1000)))
	}
	for _, f := range p.Facts {
		fmt.Fprintf(&b, "%s%s: %s\n", quote, f.Name, plainMarkdown(clip(oneLine(f.Value), 600)))
	}
	var links []string
	for _, l := range p.Links {
		links = append(links, fmt.Sprintf("[%s](%s)", l.Name, l.URL))
	}
	if len(links) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(links, " "))
	}
	for _, m := range p.Members {
		fmt.Fprintf(&b, "%s%s\n", quote, plainMarkdown(m))
	}
	rest := ""
	if p.Log != "" {
		rest += "\nlog of " + plainMarkdown(p.LogOf) + ":\n" + quote + strings.ReplaceAll(plainMarkdown(p.Log), "\n", "\n"+quote) + "\n"
	}
	if p.Runbook != "" && p.Status != schemas.AlertResolved {
		rest += "\nrunbook:\n" + plainMarkdown(p.Runbook) + "\n"
	}
	return clip(b.String()+rest, limit)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// answer is what the bots say. WeChat Work and DingTalk have errcode, Feishu has code.
type answer struct {
	ErrCode *int64 `json:"errcode"`
	Code    *int64 `json:"code"`
}

// judgeCode is the verdict on a bot's code: 0 is taken, busy and transient ones come again, what is left never helps to repeat. What a bot
// does not know what to say of is tried again, as long as it says it without a code.
func judgeCode(body []byte, code func(answer) *int64, busy, transient []int64) error {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return errTransient
	}
	n := code(a)
	if n == nil {
		return errTransient
	}
	switch {
	case *n == 0:
		return nil
	case contains(busy, *n):
		return errBusy
	case contains(transient, *n):
		return errTransient
	}
	return errRefused
}

func contains(all []int64, n int64) bool {
	for _, x := range all {
		if x == n {
			return true
		}
	}
	return false
}

func errCode(a answer) *int64 { return a.ErrCode }

// wecom posts to a group bot of WeChat Work (企业微信).
type wecom struct{}

const wecomBytes = 4096

func (wecom) message(_ *schemas.Alert, p page, _ string, _ time.Time) (message, error) {
	body, err := marshal(map[string]any{"msgtype": "markdown", "markdown": map[string]string{"content": markdown(p, "> ", wecomBytes)}})
	return message{body: body}, err
}

// judge: 45009 is the rate limit, 45033 that of parallel calls, -1 a busy system.
func (wecom) judge(body []byte) error {
	return judgeCode(body, errCode, []int64{45009, 45033}, []int64{-1})
}

// dingtalk posts to a group bot of DingTalk.
type dingtalk struct{}

const dingtalkBytes = 18000

func (dingtalk) message(_ *schemas.Alert, p page, secret string, now time.Time) (message, error) {
	body, err := marshal(map[string]any{"msgtype": "markdown", "markdown": map[string]string{
		"title": clip(p.Title, 200), "text": strings.ReplaceAll(markdown(p, "> ", dingtalkBytes/2), "\n", "  \n"),
	}})
	m := message{body: body}
	if secret != "" {
		at := fmt.Sprint(now.UnixMilli())
		m.query = url.Values{"timestamp": {at}, "sign": {hmacBase64(secret, at+"\n"+secret)}}
	}
	return m, err
}

// judge: 130101 and 410100 are the rate limit, -1 a busy system.
func (dingtalk) judge(body []byte) error {
	return judgeCode(body, errCode, []int64{130101, 410100}, []int64{-1})
}

// feishu posts to a group bot of Feishu or Lark.
type feishu struct{}

const feishuBytes = 15000

func (feishu) message(_ *schemas.Alert, p page, secret string, now time.Time) (message, error) {
	title, text, _ := strings.Cut(markdown(p, "", feishuBytes), "\n")
	out := map[string]any{"msg_type": "interactive", "card": map[string]any{
		"config":   map[string]bool{"wide_screen_mode": true},
		"header":   map[string]any{"title": map[string]string{"tag": "plain_text", "content": strings.TrimPrefix(title, "### ")}, "template": feishuColour(p)},
		"elements": []map[string]any{{"tag": "markdown", "content": text}},
	}}
	if secret != "" {
		at := fmt.Sprint(now.Unix())
		// The secret is part of the key and the signed text is empty: so it is documented.
		out["timestamp"], out["sign"] = at, hmacBase64(at+"\n"+secret, "")
	}
	body, err := marshal(out)
	return message{body: body}, err
}

func feishuColour(p page) string {
	switch {
	case p.Status == schemas.AlertResolved:
		return "green"
	case p.Severity == "page" || p.Severity == "critical":
		return "red"
	}
	return "orange"
}

// judge: 11232 is the rate limit.
func (feishu) judge(body []byte) error {
	return judgeCode(body, func(a answer) *int64 { return a.Code }, []int64{11232}, nil)
}

func hmacBase64(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// marshal is JSON without the escapes that only browsers need, so that what people read in a log is what was sent.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimRight(b.String(), "\n")), nil
}
