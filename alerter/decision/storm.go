package decision

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kubescribe/schemas"
)

const (
	// StormRule is the name of the alerts that sum up a storm. No file defines it.
	StormRule = "AlertStorm"
	// AnnounceAfter is how long a storm's summary waits so that its list says something: by the wall clock, and no longer than that
	// by event time.
	AnnounceAfter = 10 * time.Second
	// MaxMembers is how many alerts a storm lists; its count goes on.
	MaxMembers = 100
	maxSummary = 160
)

// storm counts an alert that fires for each of its origins, and is the fingerprint of the storm that it belongs to, "" for none.
// A storm is an alert whose evidence is alerts, so it counts, repeats, resolves and survives restarts as they do.
func (s *Step) storm(state *schemas.AlertState, m *schemas.Match, now time.Time, out *Outcome) string {
	spec := schemas.DefaultStorm()
	if m.Policy.Storm != nil {
		spec = *m.Policy.Storm
	}
	for _, by := range spec.By {
		group := origin(by, &m.Evidence)
		if group == nil {
			continue
		}
		fingerprint := schemas.Fingerprint(StormRule, group)
		key := schemas.AlertStateKey(m.Cluster, fingerprint)
		before := s.state(key)
		of := stormMatch(&before, state, m, spec, group, fingerprint)
		if before.Status == schemas.AlertFiring && !before.AnnounceAt.IsZero() && of.Time.Sub(before.LastAt) > quiet(before.Policy) {
			out.Alerts = append(out.Alerts, announce(&before))
		}
		r := Decide(before, of, now)
		if !r.Changed {
			continue
		}
		join(&before, &r, state, m, now)
		out.Alerts = append(out.Alerts, r.Alerts...)
		announceBy(&r.State, m.Time, out)
		s.set(key, r.State)
		if r.State.Status == schemas.AlertFiring {
			return fingerprint
		}
	}
	return ""
}

// origin are the group labels of a storm of what e is about; nil if e has no such origin.
func origin(by string, e *schemas.Evidence) map[string]string {
	v := e.Field(by)
	if v == "" {
		return nil
	}
	group := map[string]string{by: v}
	if slices.Contains(namespaced, by) && e.Namespace != "" {
		group["namespace"] = e.Namespace
	}
	return group
}

// stormMatch is the alert that m made fire as evidence for a storm.
func stormMatch(before, state *schemas.AlertState, m *schemas.Match, spec schemas.Storm, group map[string]string, fingerprint string) *schemas.Match {
	id := schemas.AlertID(state.Cluster, state.Fingerprint, state.StartsAt, state.Seq)
	labels := map[string]string{"alertname": StormRule}
	maps.Copy(labels, group)
	for _, name := range []string{"cluster", "severity"} {
		if v := m.Labels[name]; v != "" {
			labels[name] = v
		}
	}
	if was := before.Labels["severity"]; was == "page" || was == "critical" {
		labels["severity"] = was
	}
	receivers := slices.Compact(slices.Sorted(slices.Values(slices.Concat(before.Receivers, m.Receivers))))
	return &schemas.Match{
		ID: id + "/" + StormRule, EventID: id, Cluster: m.Cluster, Rule: StormRule, RuleHash: StormRule, Fingerprint: fingerprint,
		Group: group, Labels: labels, Receivers: receivers, Time: m.Time, ObservedAt: m.ObservedAt, Occurrences: 1, Evidence: m.Evidence,
		Policy: schemas.Policy{
			AtLeast: spec.MoreThan + 1, Within: spec.Within, Dedup: max(before.Policy.Dedup, m.Policy.Dedup),
			ResolveAfter: max(quiet(before.Policy), quiet(m.Policy)),
		},
	}
}

// join adds an alert to the storm that r has counted it for.
func join(before *schemas.AlertState, r *Result, state *schemas.AlertState, m *schemas.Match, now time.Time) {
	storm := &r.State
	member := schemas.Member{Fingerprint: state.Fingerprint, Rule: state.Rule, StartsAt: state.StartsAt, Summary: summary(state, m)}
	members := slices.DeleteFunc(slices.Clone(storm.Members), func(x schemas.Member) bool {
		return x.Fingerprint == member.Fingerprint || storm.Status == schemas.AlertPending && !counted(storm.Window, x)
	})
	if len(members) < MaxMembers {
		members = append(members, member)
	}
	slices.SortFunc(members, func(a, b schemas.Member) int {
		return cmp.Or(a.StartsAt.Compare(b.StartsAt), strings.Compare(a.Fingerprint, b.Fingerprint))
	})
	storm.Members = members
	switch r.Reason {
	case Fired:
		// Its record waits for more members; what resolved before it goes out.
		storm.AnnounceAt = now.Add(AnnounceAfter)
		r.Alerts = r.Alerts[:len(r.Alerts)-1]
	case Repeated:
		r.Alerts[len(r.Alerts)-1] = *record(storm, schemas.AlertRepeated)
	case Held:
		if news := newcomers(before.Receivers, storm.Receivers); len(news) > 0 && storm.AnnounceAt.IsZero() {
			storm.Seq++
			a := record(storm, schemas.AlertRepeated)
			a.Receivers = news
			r.Alerts = append(r.Alerts, *a)
		}
	}
}

func counted(window []schemas.WindowEntry, x schemas.Member) bool {
	return slices.ContainsFunc(window, func(w schemas.WindowEntry) bool { return w.N > 0 && strings.Contains(w.ID, "/"+x.Fingerprint+"/") })
}

func newcomers(known, all []string) []string {
	var news []string
	for _, r := range all {
		if !slices.Contains(known, r) {
			news = append(news, r)
		}
	}
	return news
}

// touch keeps the storm that an alert belongs to going for as long as the alert does. false means that there is none any more.
func (s *Step) touch(state *schemas.AlertState, m *schemas.Match, now time.Time, out *Outcome) bool {
	key := schemas.AlertStateKey(state.Cluster, state.MutedBy)
	storm := s.state(key)
	if storm.Rule != StormRule || storm.Status != schemas.AlertFiring || m.Time.Sub(storm.LastAt) > quiet(storm.Policy) {
		return false
	}
	if m.Time.After(storm.LastAt) {
		storm.LastAt = m.Time
	}
	if now.After(storm.LastSeen) {
		storm.LastSeen = now
	}
	announceBy(&storm, m.Time, out)
	s.set(key, storm)
	return true
}

// announceBy announces a storm that has waited long enough by event time: when a backlog is read, the wall clock stands still.
func announceBy(storm *schemas.AlertState, at time.Time, out *Outcome) {
	if !storm.AnnounceAt.IsZero() && at.Sub(storm.StartsAt) > AnnounceAfter {
		out.Alerts = append(out.Alerts, announce(storm))
	}
}

// announce is the record that says that a storm fires.
func announce(s *schemas.AlertState) schemas.Alert {
	s.AnnounceAt = time.Time{}
	return *record(s, schemas.AlertFiring)
}

// describe writes what a storm's receivers read.
func describe(a *schemas.Alert, s *schemas.AlertState) {
	var of []string
	for _, k := range slices.Sorted(maps.Keys(s.Group)) {
		of = append(of, k+" "+s.Group[k])
	}
	var list strings.Builder
	for i, m := range s.Members {
		if i == 20 {
			break
		}
		fmt.Fprintf(&list, "%s: %s\n", m.Rule, m.Summary)
	}
	if more := s.Count - int64(min(len(s.Members), 20)); more > 0 {
		fmt.Fprintf(&list, "and %d more\n", more)
	}
	a.Annotations = map[string]string{
		"summary":     fmt.Sprintf("storm: %d alerts of %s", s.Count, strings.Join(of, ", ")),
		"description": strings.TrimSpace(list.String()),
	}
}

// summary is one line about an alert.
func summary(state *schemas.AlertState, m *schemas.Match) string {
	text := state.Annotations["summary"]
	if text == "" {
		text = strings.TrimSpace(m.Evidence.Namespace + " " + m.Evidence.Object + " " + m.Evidence.Reason)
	}
	return strings.ToValidUTF8(text[:min(len(text), maxSummary)], "")
}
