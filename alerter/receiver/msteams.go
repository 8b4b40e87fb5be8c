package receiver

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"kubescribe/schemas"
)

// teams posts an Adaptive Card to a workflow of Microsoft Teams ("When a Teams webhook request is received"), which has taken the
// place of the connectors.
type teams struct{}

// teamsBytes is how much of a card's texts is sent: a message may have 28 KiB in all.
const teamsBytes = 4 << 10

type cardBlock struct {
	Type     string     `json:"type"`
	Text     string     `json:"text,omitempty"`
	Size     string     `json:"size,omitempty"`
	Weight   string     `json:"weight,omitempty"`
	Color    string     `json:"color,omitempty"`
	FontType string     `json:"fontType,omitempty"`
	Wrap     bool       `json:"wrap,omitempty"`
	Facts    []cardFact `json:"facts,omitempty"`
}

type cardFact struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

func (teams) message(_ *schemas.Alert, p page, _ string, _ time.Time) (message, error) {
	body := []cardBlock{{Type: "TextBlock", Text: plainMarkdown(p.Title), Size: "Large", Weight: "Bolder", Color: cardColour(p), Wrap: true}}
	text := func(s, font string) {
		if s != "" {
			body = append(body, cardBlock{Type: "TextBlock", Text: plainMarkdown(clip(s, teamsBytes)), Wrap: true, FontType: font})
		}
	}
	text(p.Description, "")
	facts := make([]cardFact, len(p.Facts))
	for i, f := range p.Facts {
		facts[i] = cardFact{f.Name, plainMarkdown(clip(f.Value, 1000))}
	}
	body = append(body, cardBlock{Type: "FactSet", Facts: facts})
	text(strings.Join(p.Members, "\n\n"), "")
	// A card joins lines that follow each other; an empty line between them keeps them apart.
	text(strings.ReplaceAll(p.Log, "\n", "\n\n"), "Monospace")
	if p.Status != schemas.AlertResolved {
		text(strings.ReplaceAll(p.Runbook, "\n", "\n\n"), "")
	}
	var actions []map[string]string
	for _, l := range p.Links {
		actions = append(actions, map[string]string{"type": "Action.OpenUrl", "title": l.Name, "url": l.URL})
	}
	card := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body,
		"msteams": map[string]string{"width": "Full"},
	}
	if len(actions) > 0 {
		card["actions"] = actions
	}
	out, err := marshal(map[string]any{
		"type": "message",
		"attachments": []map[string]any{{
			"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card,
		}},
	})
	if err != nil {
		return message{}, fmt.Errorf("encoding alert: %w", err)
	}
	return message{body: out}, nil
}

// judge reads the answers of old connectors, which say 200 to everything and the truth in the text.
func (teams) judge(body []byte) error {
	switch {
	case bytes.Contains(body, []byte("HTTP error 429")):
		return errBusy
	case bytes.Contains(body, []byte("HTTP error 5")):
		return errTransient
	case bytes.Contains(body, []byte("HTTP error")):
		return errRefused
	}
	return nil
}

func cardColour(p page) string {
	switch {
	case p.Status == schemas.AlertResolved:
		return "Good"
	case p.Severity == "page" || p.Severity == "critical":
		return "Attention"
	}
	return "Warning"
}

// plainMarkdown keeps text from being a link, a mention or markup where Markdown is read.
func plainMarkdown(s string) string {
	return strings.NewReplacer("<", "‹", ">", "›", "](", "] (", "`", "'", "*", "∗").Replace(s)
}
