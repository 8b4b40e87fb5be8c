package receiver

import (
	"fmt"
	"strings"
	"time"

	"kubescribe/schemas"
)

// slack posts to an incoming webhook of Slack, in Block Kit.
type slack struct{}

// What Slack allows, in characters; bytes are never fewer.
const (
	slackHeader  = 150
	slackSection = 3000
	slackFields  = 10
)

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Fields   []slackText `json:"fields,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

func (slack) message(_ *schemas.Alert, p page, _ string, _ time.Time) (message, error) {
	blocks := []slackBlock{{Type: "header", Text: &slackText{"plain_text", clip(p.Title, slackHeader)}}}
	section := func(text string) {
		blocks = append(blocks, slackBlock{Type: "section", Text: &slackText{"mrkdwn", text}})
	}
	if p.Description != "" {
		section(clip(slackEscape(p.Description), slackSection))
	}
	var fields []slackText
	for _, f := range p.Facts {
		if f.Name == "last" {
			section("*last* " + clip(slackEscape(f.Value), slackSection-20))
			continue
		}
		fields = append(fields, slackText{"mrkdwn", "*" + f.Name + "* " + clip(slackEscape(f.Value), 1000)})
	}
	for len(fields) > 0 {
		n := min(len(fields), slackFields)
		blocks = append(blocks, slackBlock{Type: "section", Fields: fields[:n]})
		fields = fields[n:]
	}
	if len(p.Members) > 0 {
		section(clip("• "+slackEscape(strings.Join(p.Members, "\n• ")), slackSection))
	}
	if p.Log != "" {
		section("*log of " + slackEscape(p.LogOf) + "*\n```" + clip(slackEscape(strings.ReplaceAll(p.Log, "```", "'''")), slackSection-300) + "```")
	}
	if p.Runbook != "" && p.Status != schemas.AlertResolved {
		section("*runbook*\n" + clip(slackEscape(p.Runbook), slackSection-20))
	}
	var links []string
	for _, l := range p.Links {
		links = append(links, fmt.Sprintf("<%s|%s>", slackEscape(l.URL), l.Name))
	}
	if len(links) > 0 {
		blocks = append(blocks, slackBlock{Type: "context", Elements: []slackText{{"mrkdwn", strings.Join(links, " · ")}}})
	}
	body, err := marshal(map[string]any{
		"text": slackEscape(p.Title), // for notifications
		"attachments": []map[string]any{{
			"color": colour(p), "blocks": blocks, "fallback": slackEscape(p.Title),
		}},
	})
	if err != nil {
		return message{}, fmt.Errorf("encoding alert: %w", err)
	}
	return message{body: body}, nil
}

// slackEscape keeps text from being a mention, a link or an entity.
func slackEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func (slack) judge([]byte) error { return nil }

// colour is green for an end, red for a page, orange for the rest.
func colour(p page) string {
	switch {
	case p.Status == schemas.AlertResolved:
		return "#2eb67d"
	case p.Severity == "page" || p.Severity == "critical":
		return "#d40e0d"
	}
	return "#ecb22e"
}
