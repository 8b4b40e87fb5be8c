package decision

import (
	"slices"
	"time"

	"kubescribe/schemas"
)

// What bounds a group's state. MaxWindow must not be below the largest AtLeast that a rule may ask for: then dropping the
// oldest entries can never keep an alert from firing.
const (
	// Lateness is how far, in event time, a match may lie behind the newest one of its group.
	Lateness = 2 * time.Minute
	// PendingLateness is the same while nothing fires yet.
	PendingLateness = time.Hour
	// MaxWindow is how many matches of a group are remembered.
	MaxWindow = 512
	// Keep is how long, by the wall clock, a group is remembered that does not fire.
	Keep = 6 * time.Hour

	firstEvidence, lastEvidence = 2, 3
)

// Reason says what a step did. Its values label a metric.
type Reason string

// The reasons.
const (
	Counted   Reason = "counted"   // pending: not enough yet
	Fired     Reason = "fired"     // it was enough
	Held      Reason = "held"      // firing already, within the dedup time
	Repeated  Reason = "repeated"  // firing still, the dedup time has passed
	Known     Reason = "known"     // the same record again: no change
	Late      Reason = "late"      // too old to be counted: no change
	Resolved  Reason = "resolved"  // quiet for long enough
	Ended     Reason = "ended"     // resolved by a document that meets the rule's resolve expression
	Cleared   Reason = "cleared"   // such a document while pending: what was counted before it counts no more
	Idle      Reason = "idle"      // such a document with nothing to resolve: no change
	Muted     Reason = "muted"     // it was enough, but another alert or a storm keeps it quiet
	Unmuted   Reason = "unmuted"   // nothing keeps it quiet any more, and it still fires
	Announced Reason = "announced" // the summary of a storm
	Forgotten Reason = "forgotten" // there is nothing left to know: a tombstone follows
	Waiting   Reason = "waiting"   // no timer has run out: no change
)

// Result is what a step leads to.
type Result struct {
	State schemas.AlertState
	// Alerts are in the order in which they must be sent: a resolve of the old alert comes before the firing of the new one.
	Alerts []schemas.Alert
	Reason Reason
	// Changed says whether State must be written. A Forgotten state is zero and written as a tombstone.
	Changed bool
}

// Decide takes m into account for its group by itself; Step.Take also sees the others. s is zero for a group that nothing is known
// of. now is the wall clock, from which the quiet time is measured.
func Decide(s schemas.AlertState, m *schemas.Match, now time.Time) Result {
	if m.Resolves {
		return end(s, m, now)
	}
	if s.Fingerprint == "" {
		s = schemas.AlertState{Fingerprint: m.Fingerprint, Cluster: m.Cluster, Rule: m.Rule, RuleHash: m.RuleHash, Group: m.Group, Status: schemas.AlertPending, Policy: m.Policy}
	}
	switch {
	case contains(s.Window, m.EventID):
		return Result{State: s, Reason: Known}
	case late(&s, m):
		return Result{State: s, Reason: Late}
	}
	var alerts []schemas.Alert
	if s.Status == schemas.AlertFiring && m.Time.Sub(s.LastAt) > quiet(s.Policy) {
		alerts = append(alerts, resolve(&s))
	}
	if s.Status != schemas.AlertFiring && s.RuleHash != m.RuleHash {
		s.Window, s.Evidence = spend(s.Window), nil
	}
	if s.Status == schemas.AlertResolved {
		s.Status, s.StartsAt, s.EndsAt, s.AlertedAt, s.Seq = schemas.AlertPending, time.Time{}, time.Time{}, time.Time{}, 0
	}
	note(&s, m, now)
	alert, reason := judge(&s, m)
	if alert != nil {
		alerts = append(alerts, *alert)
	}
	return Result{State: s, Alerts: alerts, Reason: reason, Changed: true}
}

// Expire lets time pass: now is the wall clock. The caller must have taken every match into account that came before.
func Expire(s schemas.AlertState, now time.Time) Result {
	idle := now.Sub(s.LastSeen)
	switch {
	case !s.AnnounceAt.IsZero() && now.After(s.AnnounceAt):
		alert := announce(&s)
		return Result{State: s, Alerts: []schemas.Alert{alert}, Reason: Announced, Changed: true}
	case s.Status == schemas.AlertFiring && idle > quiet(s.Policy):
		alert := resolve(&s)
		return Result{State: s, Alerts: []schemas.Alert{alert}, Reason: Resolved, Changed: true}
	case s.Status != schemas.AlertFiring && idle > Keep+s.Policy.Within:
		return Result{Reason: Forgotten, Changed: true}
	}
	return Result{State: s, Reason: Waiting}
}

// quiet is the time without a match after which an alert resolves.
func quiet(p schemas.Policy) time.Duration {
	if p.ResolveAfter > 0 {
		return p.ResolveAfter
	}
	return p.Dedup
}

// horizon is the event time before which s remembers no match.
func horizon(s *schemas.AlertState) time.Time {
	lateness := PendingLateness
	if s.Status == schemas.AlertFiring {
		lateness = Lateness
	}
	return s.LastAt.Add(-s.Policy.Within - lateness)
}

// late says whether m could be one that s has forgotten, or belongs to an alert that is over.
func late(s *schemas.AlertState, m *schemas.Match) bool {
	switch {
	case len(s.Window) == 0:
		return false
	case m.Time.Before(horizon(s)), len(s.Window) >= MaxWindow && m.Time.Before(s.Window[0].Time):
		return true
	case s.Status == schemas.AlertFiring && s.StartsAt.Sub(m.Time) > quiet(s.Policy):
		return true
	}
	until := spentUntil(s.Window)
	return !until.IsZero() && !m.Time.After(until)
}

// note adds m to what is known.
func note(s *schemas.AlertState, m *schemas.Match, now time.Time) {
	s.Window = insert(s.Window, schemas.WindowEntry{ID: m.EventID, Time: m.Time, N: m.Occurrences})
	s.Evidence = remember(s.Evidence, m.Evidence)
	if newest := s.Window[len(s.Window)-1]; newest.ID == m.EventID {
		adopt(s, m)
	}
	if m.Time.After(s.LastAt) {
		s.LastAt = m.Time
	}
	if now.After(s.LastSeen) {
		s.LastSeen = now
	}
}

// adopt takes over what the newest match says of the rule. Who was told that an alert fires is told of its end, even when the
// rule names others by then.
func adopt(s *schemas.AlertState, m *schemas.Match) {
	receivers := m.Receivers
	if s.Status == schemas.AlertFiring && !slices.Equal(receivers, s.Receivers) {
		receivers = slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.Receivers, receivers))))
	}
	s.RuleHash, s.Labels, s.Annotations, s.Receivers, s.Policy = m.RuleHash, m.Labels, m.Annotations, receivers, m.Policy
}

// judge decides what m, which s has noted, leads to.
func judge(s *schemas.AlertState, m *schemas.Match) (*schemas.Alert, Reason) {
	start, enough := reached(s.Window, s.Policy)
	defer func() { s.Window = prune(s.Window, horizon(s)) }()
	switch {
	case s.Status == schemas.AlertFiring:
		if !m.Time.Before(s.StartsAt) {
			s.Count += m.Occurrences
		}
		if enough && start.Before(s.StartsAt) {
			s.Count += sum(s.Window, start, s.StartsAt)
			s.StartsAt = start
		}
		if m.Time.Sub(s.AlertedAt) < s.Policy.Dedup {
			return nil, Held
		}
		s.Seq++
		s.AlertedAt = m.Time
		return record(s, schemas.AlertRepeated), Repeated
	case enough:
		s.Status, s.StartsAt, s.Seq, s.AlertedAt = schemas.AlertFiring, start, 0, s.LastAt
		s.Count = sum(s.Window, start, time.Time{})
		s.Evidence = slices.DeleteFunc(slices.Clone(s.Evidence), func(e schemas.Evidence) bool { return e.Time.Before(start) })
		return record(s, schemas.AlertFiring), Fired
	}
	return nil, Counted
}

// resolve ends the alert of s. Its matches stay known, so that none of them can start another.
func resolve(s *schemas.AlertState) schemas.Alert {
	s.Seq++
	a := record(s, schemas.AlertResolved)
	a.EndsAt = s.LastAt
	s.Status, s.Window, s.Evidence, s.Count = schemas.AlertResolved, spend(s.Window), nil, 0
	s.Labels, s.Annotations, s.Receivers, s.MutedBy, s.Members = nil, nil, nil, "", nil
	return *a
}

// end takes a document into account that meets the rule's resolve expression. What is known to be newer than it goes on.
func end(s schemas.AlertState, m *schemas.Match, now time.Time) Result {
	switch {
	case s.Fingerprint == "" || s.Status == schemas.AlertResolved:
		return Result{State: s, Reason: Idle}
	case contains(s.Window, m.EventID):
		return Result{State: s, Reason: Known}
	}
	mark := schemas.WindowEntry{ID: m.EventID, Time: m.Time}
	if s.Status == schemas.AlertFiring {
		if m.Time.Before(s.LastAt) {
			return Result{State: s, Reason: Late}
		}
		alert := resolve(&s)
		alert.EndsAt, s.EndsAt, s.LastSeen = m.Time, m.Time, now
		s.Window = insert(s.Window, mark)
		return Result{State: s, Alerts: []schemas.Alert{alert}, Reason: Ended, Changed: true}
	}
	before := func(w schemas.WindowEntry) bool { return w.N > 0 && !w.Time.After(m.Time) }
	if !slices.ContainsFunc(s.Window, before) {
		return Result{State: s, Reason: Idle}
	}
	s.Window = slices.Clone(s.Window)
	for i := range s.Window {
		if before(s.Window[i]) {
			s.Window[i].N = 0
		}
	}
	s.Window = insert(s.Window, mark)
	s.Evidence = slices.DeleteFunc(slices.Clone(s.Evidence), func(e schemas.Evidence) bool { return !e.Time.After(m.Time) })
	return Result{State: s, Reason: Cleared, Changed: true}
}

// record is a record of the alert of s. Of one that is kept quiet nobody is told.
func record(s *schemas.AlertState, status schemas.AlertStatus) *schemas.Alert {
	a := &schemas.Alert{
		ID: schemas.AlertID(s.Cluster, s.Fingerprint, s.StartsAt, s.Seq), Fingerprint: s.Fingerprint, Cluster: s.Cluster, Rule: s.Rule,
		Status: status, Seq: s.Seq, Labels: s.Labels, Annotations: s.Annotations, Receivers: s.Receivers,
		StartsAt: s.StartsAt, Count: s.Count, Evidence: s.Evidence, Members: s.Members,
	}
	if s.Rule == StormRule {
		describe(a, s)
	}
	if s.MutedBy != "" {
		mute(a, s.MutedBy)
	}
	return a
}

func mute(a *schemas.Alert, by string) { a.Receivers, a.MutedBy = nil, by }
