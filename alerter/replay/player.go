package replay

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kubescribe/alerter/decision"
	"kubescribe/alerter/rule"
	"kubescribe/schemas"
)

// Player plays documents through the rules of a set.
type Player struct {
	matcher   *rule.Matcher
	receivers []string
	states    map[string]schemas.AlertState
	// next is a time before which no timer runs out.
	next time.Time
}

// NewPlayer returns a Player that knows of nothing yet. receivers are notified by rules that name none.
func NewPlayer(set *rule.Set, receivers []string) *Player {
	return &Player{matcher: rule.NewMatcher(set), receivers: receivers, states: map[string]schemas.AlertState{}}
}

// Step is what a document or the passing of time led to.
type Step struct {
	// Matches are the rules that the document met.
	Matches []schemas.Match
	// Alerts are the records that the alerter would write, each with the time at which it would.
	Alerts []Alert
	// Failures are the rules that could not be evaluated on the document.
	Failures []rule.Failure
}

// Alert is a record and the clock at which it came to be.
type Alert struct {
	At time.Time
	schemas.Alert
}

// Take lets time pass until now and then plays d. now is the clock of the alerter that would have read d then; it must not go back.
func (p *Player) Take(d *schemas.Document, now time.Time) Step {
	step := Step{Alerts: p.Advance(now)}
	step.Matches, step.Failures = p.matcher.Match(d)
	for i := range step.Matches {
		m := &step.Matches[i]
		if len(m.Receivers) == 0 {
			m.Receivers = p.receivers
		}
		key := schemas.AlertStateKey(m.Cluster, m.Fingerprint)
		step.Alerts = append(step.Alerts, p.settle(key, decision.Decide(p.states[key], m, now), now)...)
	}
	return step
}

// Advance lets time pass until now: timers run out, the earliest first.
func (p *Player) Advance(now time.Time) []Alert {
	if !p.next.Before(now) {
		return nil
	}
	type timer struct {
		key string
		at  time.Time
	}
	var due []timer
	for key, s := range p.states {
		if at := decision.Due(s); at.Before(now) {
			due = append(due, timer{key, at})
		}
	}
	slices.SortFunc(due, func(a, b timer) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.key, b.key)) })
	var alerts []Alert
	for _, t := range due {
		for s, ok := p.states[t.key]; ok && decision.Due(s).Before(now); s, ok = p.states[t.key] {
			at := decision.Due(s).Add(1)
			alerts = append(alerts, p.settle(t.key, decision.Expire(s, at), at)...)
		}
	}
	p.next = time.Time{}
	for _, s := range p.states {
		if at := decision.Due(s); p.next.IsZero() || at.Before(p.next) {
			p.next = at
		}
	}
	return alerts
}

// settle takes over what a decision says.
func (p *Player) settle(key string, r decision.Result, at time.Time) []Alert {
	if !r.Changed {
		return nil
	}
	if r.State.Fingerprint == "" {
		delete(p.states, key)
	} else {
		p.states[key] = r.State
		if due := decision.Due(r.State); p.next.IsZero() || due.Before(p.next) {
			p.next = due
		}
	}
	alerts := make([]Alert, len(r.Alerts))
	for i, a := range r.Alerts {
		alerts[i] = Alert{At: at, Alert: a}
	}
	return alerts
}

// States are what is known of each group now, in the order of their keys.
func (p *Player) States() []schemas.AlertState {
	all := make([]schemas.AlertState, 0, len(p.states))
	for _, s := range p.states {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b schemas.AlertState) int {
		return cmp.Or(strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Fingerprint, b.Fingerprint))
	})
	return all
}
