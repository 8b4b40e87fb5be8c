package decision

import (
	"path"
	"slices"
	"time"

	"kubescribe/schemas"
)

// inhibitor is the fingerprint of an alert that keeps the one of m quiet, the first by key; "" if none does.
func (s *Step) inhibitor(m *schemas.Match) string {
	var keys []string
	for key := range s.groups.inhibiting[m.Cluster] {
		keys = append(keys, key)
	}
	for _, key := range s.order {
		if state := s.changed[key]; state.Cluster == m.Cluster && len(state.Policy.Inhibit) > 0 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if by := s.state(key); holds(&by, m.Time) && by.Rule != m.Rule && inhibits(&by, m) {
			return by.Fingerprint
		}
	}
	return ""
}

// holds says whether the alert of s fires at an event time. What comes before it by no more than Lateness belongs to it: a node's
// pods are missed before the node is.
func holds(s *schemas.AlertState, at time.Time) bool {
	return s.Status == schemas.AlertFiring && s.StartsAt.Sub(at) <= Lateness && at.Sub(s.LastAt) <= quiet(s.Policy)
}

func inhibits(by *schemas.AlertState, m *schemas.Match) bool {
	return slices.ContainsFunc(by.Policy.Inhibit, func(i schemas.Inhibit) bool {
		return slices.ContainsFunc(i.Alerts, func(pattern string) bool { ok, err := path.Match(pattern, m.Rule); return ok && err == nil }) &&
			slices.ContainsFunc(by.Evidence, func(e schemas.Evidence) bool { return same(i.Equal, &e, &m.Evidence) })
	})
}

// namespaced are the fields whose values mean something only together with a namespace.
var namespaced = []string{"object", "workload", "service", "container"}

func same(fields []string, a, b *schemas.Evidence) bool {
	for _, f := range fields {
		if v := a.Field(f); v == "" || v != b.Field(f) || slices.Contains(namespaced, f) && a.Namespace != b.Namespace {
			return false
		}
	}
	return true
}
