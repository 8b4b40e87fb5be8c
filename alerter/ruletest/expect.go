package ruletest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kubescribe/alerter/replay"
	"kubescribe/schemas"
)

// compare notes what differs between the expected alerts of a case and those that came.
func (f *file) compare(c *testCase, where string, got []replay.Alert) {
	taken := make([]bool, len(got))
	for i := range c.Alerts {
		at := fmt.Sprintf("%s.alerts[%d]", where, i)
		want := f.wanted(&c.Alerts[i], at)
		found := 0
		for found < len(got) && (taken[found] || want.differs(got[found]) != "") {
			found++
		}
		if found < len(got) {
			taken[found] = true
			continue
		}
		f.at(at, "%s: expected %s did not come%s", c.Name, want, nearest(want, got, taken))
	}
	for i, a := range got {
		if !taken[i] {
			f.at(where+".name", "%s: unexpected %s", c.Name, describe(a))
		}
	}
	if c.Pages != nil {
		if n := pages(got); n != *c.Pages {
			f.at(where+".pages", "%s: expected %d pages, got %d", c.Name, *c.Pages, n)
		}
	}
}

// pages counts the alerts that call somebody: firing and repeated, but not the ends, nor what another alert keeps quiet.
func pages(got []replay.Alert) int {
	n := 0
	for _, a := range got {
		if a.Status != schemas.AlertResolved && a.MutedBy == "" {
			n++
		}
	}
	return n
}

// nearest says in what the alert differs that comes closest to want.
func nearest(want wanted, got []replay.Alert, taken []bool) string {
	for i, a := range got {
		if !taken[i] && a.Rule == want.Rule && string(a.Status) == want.Status {
			return ": " + want.differs(a)
		}
	}
	return ""
}

// wanted is an expected alert with its times read.
type wanted struct {
	*expectedAlert
	at, starts, ends time.Duration
}

func (f *file) wanted(e *expectedAlert, where string) wanted {
	if e.Status == "" {
		e.Status = string(schemas.AlertFiring)
	}
	if !slices.Contains([]string{"firing", "repeated", "resolved"}, e.Status) {
		f.at(where+".status", "status: %q is none of firing, repeated, resolved", e.Status)
	}
	return wanted{e, f.span(where+".at", e.At), f.span(where+".starts", e.Starts), f.span(where+".ends", e.Ends)}
}

func (w wanted) String() string {
	s := w.Rule + " " + w.Status
	if w.At != "" {
		s += " at " + w.At
	}
	return s + labels(w.Labels)
}

// differs says in what a differs from w, "" when in nothing.
func (w wanted) differs(a replay.Alert) string {
	var diffs []string
	add := func(what string, want, got any) {
		diffs = append(diffs, fmt.Sprintf("%s is %v, expected %v", what, got, want))
	}
	if w.Rule != a.Rule {
		add("rule", w.Rule, a.Rule)
	}
	if w.Status != string(a.Status) {
		add("status", w.Status, a.Status)
	}
	times := []struct {
		name string
		text string
		want time.Duration
		got  time.Time
		slop time.Duration
	}{{"at", w.At, w.at, a.At, time.Second}, {"starts", w.Starts, w.starts, a.StartsAt, 0}, {"ends", w.Ends, w.ends, a.EndsAt, 0}}
	for _, t := range times {
		// The alerter looks at its timers each second, so an end may be that much later than it is due.
		if late := t.got.Sub(start) - t.want; t.text != "" && (late < 0 || late > t.slop) {
			add(t.name, t.text, since(t.got))
		}
	}
	if w.Count != nil && *w.Count != a.Count {
		add("count", *w.Count, a.Count)
	}
	for _, k := range slices.Sorted(maps.Keys(w.Labels)) {
		if a.Labels[k] != w.Labels[k] {
			add("label "+k, fmt.Sprintf("%q", w.Labels[k]), fmt.Sprintf("%q", a.Labels[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(w.Annotations)) {
		if strings.TrimSpace(a.Annotations[k]) != strings.TrimSpace(w.Annotations[k]) {
			add("annotation "+k, fmt.Sprintf("%q", w.Annotations[k]), fmt.Sprintf("%q", a.Annotations[k]))
		}
	}
	if w.Receivers != nil && !slices.Equal(slices.Sorted(slices.Values(w.Receivers)), slices.Sorted(slices.Values(a.Receivers))) {
		add("receivers", w.Receivers, a.Receivers)
	}
	if w.Muted != nil && *w.Muted != (a.MutedBy != "") {
		add("muted", *w.Muted, a.MutedBy != "")
	}
	return strings.Join(diffs, "; ")
}

// look compares the states at a moment with what is expected of them.
func (f *file) look(m moment, states []schemas.AlertState) {
	e := m.state
	var got []string
	n := 0
	for _, s := range states {
		if s.Rule != e.Rule || !subset(e.Labels, s.Group) {
			continue
		}
		n++
		if !slices.Contains(got, string(s.Status)) {
			got = append(got, string(s.Status))
		}
	}
	slices.Sort(got)
	if n == 0 {
		got = []string{"none"}
	}
	if e.Status != "" && !slices.Equal(got, []string{e.Status}) {
		f.at(m.where, "state of %s at %s is %s, expected %s", e.Rule, e.At, strings.Join(got, " and "), e.Status)
	}
	if e.Groups != nil && *e.Groups != n {
		f.at(m.where, "%s has %d groups at %s, expected %d", e.Rule, n, e.At, *e.Groups)
	}
}

func subset(want, got map[string]string) bool {
	for k, v := range want {
		if got[k] != v {
			return false
		}
	}
	return true
}

// describe is an alert in one line.
func describe(a replay.Alert) string {
	s := fmt.Sprintf("%s %s at %s", a.Rule, a.Status, since(a.At))
	group := maps.Clone(a.Labels)
	for _, k := range []string{"alertname", "cluster", "severity"} {
		delete(group, k)
	}
	return s + labels(group)
}

func since(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return t.Sub(start).Truncate(time.Millisecond)
}

func labels(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fmt.Sprintf("%s=%q", k, m[k]))
	}
	return " {" + strings.Join(all, ", ") + "}"
}
