package receiver

import (
	"cmp"
	"fmt"
	"time"

	"kubescribe/schemas"
)

// pagerduty posts to PagerDuty's Events API v2. An incident is one group's alert: its end resolves it.
type pagerduty struct{}

const (
	pagerdutySummary = 1024
	pagerdutyKey     = 255
)

type pagerdutyEvent struct {
	RoutingKey  string            `json:"routing_key"`
	EventAction string            `json:"event_action"`
	DedupKey    string            `json:"dedup_key"`
	Client      string            `json:"client"`
	ClientURL   string            `json:"client_url,omitempty"`
	Payload     *pagerdutyPayload `json:"payload,omitempty"`
	Links       []pagerdutyLink   `json:"links,omitempty"`
}

type pagerdutyPayload struct {
	Summary       string         `json:"summary"`
	Source        string         `json:"source"`
	Severity      string         `json:"severity"`
	Timestamp     time.Time      `json:"timestamp"`
	Component     string         `json:"component,omitempty"`
	Group         string         `json:"group,omitempty"`
	Class         string         `json:"class,omitempty"`
	CustomDetails map[string]any `json:"custom_details"`
}

type pagerdutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

func (pagerduty) message(a *schemas.Alert, p page, secret string, _ time.Time) (message, error) {
	e := pagerdutyEvent{
		RoutingKey: secret, EventAction: "trigger", Client: "kubescribe",
		// Not the alert's id: a repeat and the end belong to the same incident.
		DedupKey: clip(schemas.AlertStateKey(a.Cluster, a.Fingerprint), pagerdutyKey),
	}
	if a.Status == schemas.AlertResolved {
		e.EventAction = "resolve"
	} else {
		e.Payload = pagerdutyDetails(a, p)
		for i, l := range p.Links {
			if e.Links = append(e.Links, pagerdutyLink{l.URL, l.Name}); i == 0 {
				e.ClientURL = l.URL
			}
		}
	}
	body, err := marshal(e)
	if err != nil {
		return message{}, fmt.Errorf("encoding alert: %w", err)
	}
	return message{body: body}, nil
}

func pagerdutyDetails(a *schemas.Alert, p page) *pagerdutyPayload {
	last := newest(a.Evidence)
	details := map[string]any{"rule": a.Rule}
	for _, f := range p.Facts {
		details[f.Name] = f.Value
	}
	for name, text := range map[string]string{"description": p.Description, "runbook": p.Runbook, "log": p.Log} {
		if text != "" {
			details[name] = text
		}
	}
	if len(p.Members) > 0 {
		details["alerts"] = p.Members
	}
	return &pagerdutyPayload{
		Summary: clip(p.Summary, pagerdutySummary), Source: cmp.Or(last.Object, a.Cluster), Severity: pagerdutySeverity(p.Severity),
		Timestamp: a.StartsAt.UTC(), Component: cmp.Or(last.Service, last.Workload), Group: last.Namespace, Class: a.Rule, CustomDetails: details,
	}
}

// pagerdutySeverity is one of the four that there are.
func pagerdutySeverity(s string) string {
	switch s {
	case "page", "critical":
		return "critical"
	case "ticket", "warning":
		return "warning"
	case "info":
		return "info"
	}
	return "error"
}

func (pagerduty) judge([]byte) error { return nil }
