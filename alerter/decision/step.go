package decision

import (
	"time"

	"kubescribe/schemas"
)

// Outcome is what a match or a timer led to.
type Outcome struct {
	// Alerts are in the order in which they must be sent.
	Alerts []schemas.Alert
	Reason Reason
}

// Take takes m into account: in its own group, and in how that one hangs together with others. now is the wall clock.
func (s *Step) Take(m *schemas.Match, now time.Time) Outcome {
	key := schemas.AlertStateKey(m.Cluster, m.Fingerprint)
	r := Decide(s.state(key), m, now)
	if !r.Changed {
		return Outcome{Reason: r.Reason}
	}
	out := Outcome{Alerts: r.Alerts, Reason: r.Reason}
	switch {
	case r.Reason == Fired:
		s.fired(&r.State, m, now, &out)
	case r.State.Status == schemas.AlertFiring && r.State.MutedBy != "":
		s.muted(&r.State, m, now, &out)
	case r.Reason == Repeated:
		if by := s.inhibitor(m); by != "" {
			mute(&out.Alerts[len(out.Alerts)-1], by)
		}
	}
	s.set(key, r.State)
	return out
}

// fired keeps an alert quiet that has just fired, if something wants that.
func (s *Step) fired(state *schemas.AlertState, m *schemas.Match, now time.Time, out *Outcome) {
	page := len(out.Alerts) - 1
	by := s.keepQuiet(state, m, now, out)
	if by == "" {
		return
	}
	state.MutedBy, out.Reason = by, Muted
	mute(&out.Alerts[page], by)
}

// muted looks whether an alert that fires quietly still has to. If not, its receivers are told.
func (s *Step) muted(state *schemas.AlertState, m *schemas.Match, now time.Time, out *Outcome) {
	if s.inhibitor(m) == state.MutedBy || s.touch(state, m, now, out) {
		return
	}
	state.MutedBy = ""
	repeated := out.Reason == Repeated // then there is a record of it, without receivers
	if !repeated {
		state.Seq++
	}
	state.MutedBy = s.keepQuiet(state, m, now, out)
	switch {
	case state.MutedBy != "" && repeated:
		mute(&out.Alerts[0], state.MutedBy)
	case state.MutedBy != "":
	case repeated:
		out.Alerts[0], out.Reason = *record(state, schemas.AlertRepeated), Unmuted
	default:
		state.AlertedAt = m.Time
		out.Alerts, out.Reason = append(out.Alerts, *record(state, schemas.AlertRepeated)), Unmuted
	}
}

// keepQuiet is the fingerprint of what keeps quiet the alert that m made fire; "" if nobody does.
func (s *Step) keepQuiet(state *schemas.AlertState, m *schemas.Match, now time.Time, out *Outcome) string {
	if by := s.inhibitor(m); by != "" {
		return by
	}
	return s.storm(state, m, now, out)
}

// Expire lets time pass for a group: now is the wall clock. The caller must have taken every match into account that came before.
func (s *Step) Expire(key string, now time.Time) Outcome {
	r := Expire(s.state(key), now)
	if r.Changed {
		s.set(key, r.State)
	}
	return Outcome{Alerts: r.Alerts, Reason: r.Reason}
}
