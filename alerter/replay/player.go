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
	groups    *decision.Groups
	// next is a time before which no timer runs out.
	next time.Time
}

// NewPlayer returns a Player that knows of nothing yet. receivers are notified by rules that name none.
func NewPlayer(set *rule.Set, receivers []string) *Player {
	return &Player{matcher: rule.NewMatcher(set), receivers: receivers, groups: decision.NewGroups()}
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
	var step Step
	step.Matches, step.Failures = p.Match(d)
	step.Alerts = p.Decide(step.Matches, now)
	return step
}

// Match says which rules d meets. It keeps nothing of d, so documents may come in any order.
func (p *Player) Match(d *schemas.Document) ([]schemas.Match, []rule.Failure) {
	matches, failures := p.matcher.Match(d)
	return p.received(matches), failures
}

// MatchValue is Match of the document in a record's value. An error means that the value is no document.
func (p *Player) MatchValue(value []byte) ([]schemas.Match, []rule.Failure, error) {
	matches, failures, err := p.matcher.MatchValue(value)
	return p.received(matches), failures, err
}

func (p *Player) received(matches []schemas.Match) []schemas.Match {
	for i := range matches {
		if len(matches[i].Receivers) == 0 {
			matches[i].Receivers = p.receivers
		}
	}
	return matches
}

// Decide lets time pass until now, which must not go back, and then decides what was matched.
func (p *Player) Decide(matches []schemas.Match, now time.Time) []Alert {
	alerts := p.Advance(now)
	decide := p.groups.Begin()
	for i := range matches {
		alerts = append(alerts, at(now, decide.Take(&matches[i], now).Alerts)...)
	}
	p.settle(decide)
	return alerts
}

// Advance lets time pass until now: timers run out, the earliest first.
func (p *Player) Advance(now time.Time) []Alert {
	var alerts []Alert
	// What a timer leads to can have a timer of its own.
	for due := p.due(now); len(due) > 0; due = p.due(now) {
		for _, t := range due {
			then := t.at.Add(1)
			step := p.groups.Begin()
			alerts = append(alerts, at(then, step.Expire(t.key, then).Alerts)...)
			step.Commit()
		}
	}
	return alerts
}

type timer struct {
	key string
	at  time.Time
}

// due are the timers that have run out before now, the earliest first. When there is none, it notes when the next is.
func (p *Player) due(now time.Time) []timer {
	if !p.next.Before(now) {
		return nil
	}
	var due []timer
	p.next = time.Time{}
	for key, s := range p.groups.All() {
		p.wake(s)
		if at := decision.Due(s); at.Before(now) {
			due = append(due, timer{key, at})
		}
	}
	slices.SortFunc(due, func(a, b timer) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.key, b.key)) })
	return due
}

// settle takes over what a step decided.
func (p *Player) settle(step *decision.Step) {
	for _, s := range step.Changes() {
		if s.Fingerprint != "" {
			p.wake(s)
		}
	}
	step.Commit()
}

func (p *Player) wake(s schemas.AlertState) {
	if due := decision.Due(s); p.next.IsZero() || due.Before(p.next) {
		p.next = due
	}
}

// at are alerts that came to be at a time.
func at(now time.Time, alerts []schemas.Alert) []Alert {
	var all []Alert
	for _, a := range alerts {
		all = append(all, Alert{At: now, Alert: a})
	}
	return all
}

// States are what is known of each group now, in the order of their keys.
func (p *Player) States() []schemas.AlertState {
	all := make([]schemas.AlertState, 0, p.groups.Len())
	for _, s := range p.groups.All() {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b schemas.AlertState) int {
		return cmp.Or(strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Fingerprint, b.Fingerprint))
	})
	return all
}
