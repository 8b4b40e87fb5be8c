package receiver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kubescribe/schemas"
)

// holdFor is for how many repost intervals Alertmanager keeps an alert that it hears nothing more of.
const holdFor = 5

// alertmanager posts to Alertmanager's API v2. It resolves an alert whose end is past, and forgets one that it hears nothing more of;
// so what fires is posted again and again, each time with an end a little in the future.
type alertmanager struct{ hold time.Duration }

// postedAlert is an alert of POST /api/v2/alerts.
type postedAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

func (m alertmanager) message(a *schemas.Alert, p page, _ string, now time.Time) (message, error) {
	out := postedAlert{Labels: map[string]string{}, Annotations: map[string]string{}, StartsAt: a.StartsAt.UTC(), EndsAt: now.Add(m.hold).UTC()}
	if a.StartsAt.After(now) {
		out.EndsAt = a.StartsAt.Add(m.hold).UTC() // the clock of what reported it is ahead
	}
	if a.Status == schemas.AlertResolved {
		out.EndsAt = a.EndsAt.UTC()
		if !out.EndsAt.After(out.StartsAt) {
			// One event has no length, but Alertmanager takes an alert without one for a mistake in merging it with what it knows.
			out.EndsAt = out.StartsAt.Add(time.Millisecond)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		if a.Labels[k] != "" {
			out.Labels[promLabel(k)] = a.Labels[k]
		}
	}
	for k, v := range a.Annotations {
		out.Annotations[promLabel(k)] = v
	}
	for _, f := range p.Facts {
		name := promLabel(f.Name)
		if _, taken := out.Annotations[name]; !taken && out.Labels[name] == "" && f.Name != "started" && f.Name != "ended" {
			out.Annotations[name] = f.Value
		}
	}
	if p.Log != "" {
		out.Annotations["log"] = p.Log
	}
	if len(p.Members) > 0 {
		out.Annotations["alerts"] = strings.Join(p.Members, "\n")
	}
	for i, l := range p.Links {
		if out.Annotations[l.Name] = l.URL; i == 0 {
			out.GeneratorURL = l.URL
		}
	}
	body, err := marshal([]postedAlert{out})
	if err != nil {
		return message{}, fmt.Errorf("encoding alert: %w", err)
	}
	return message{body: body, path: "/api/v2/alerts"}, nil
}

func (alertmanager) judge([]byte) error { return nil }

// promLabel is a name as Prometheus has always allowed it: some of what reads Alertmanager still knows no others.
func promLabel(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}
