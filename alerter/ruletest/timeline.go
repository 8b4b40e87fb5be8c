package ruletest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"kubescribe/alerter/replay"
	"kubescribe/alerter/rule"
	"kubescribe/schemas"
)

// start is when every timeline begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// maxEvents bounds a timeline.
const maxEvents = 100_000

// moment is something that is due on a timeline.
type moment struct {
	at    time.Duration
	doc   *schemas.Document
	state *expectedState
	where string
}

// timeline puts the events and looks of a case in order; what is wrong with them is noted in f.
func (f *file) timeline(c *testCase, where string) []moment {
	var all []moment
	cluster := cmp.Or(c.Cluster, "test")
	for i := range c.Events {
		all = append(all, f.event(&c.Events[i], fmt.Sprintf("%s.events[%d]", where, i), fmt.Sprint("event-", i), cluster)...)
		if len(all) > maxEvents {
			f.at(where, "a case may have %d events at most", maxEvents)
			return nil
		}
	}
	for i := range c.States {
		at := fmt.Sprintf("%s.states[%d]", where, i)
		all = append(all, moment{at: f.span(at+".at", c.States[i].At), state: &c.States[i], where: at})
	}
	// What happens comes before who looks.
	slices.SortStableFunc(all, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	return all
}

func (f *file) event(e *event, where, id, cluster string) []moment {
	at, every := f.span(where+".at", e.At), f.span(where+".every", e.Every)
	when := at
	if e.Time != "" {
		if when = f.span(where+".time", e.Time); when > at {
			f.at(where+".time", "time: %s is after at: it can't have been seen before it happened", e.Time)
		}
	}
	times := max(e.Times, 1)
	if (e.Every == "") != (e.Times == 0) {
		f.at(where, "events: every and times go together")
	}
	if times > maxEvents {
		f.at(where+".times", "times: at most %d", maxEvents)
		return nil
	}
	var all []moment
	for n := range times {
		later := time.Duration(n) * every
		name := fmt.Sprintf("%s-%d", id, n)
		if e.ID != "" {
			name = e.ID
		}
		d, err := e.document(name, cluster, start.Add(when+later), start.Add(at+later))
		if err != nil {
			f.at(where, "events: %s", err)
			return nil
		}
		all = append(all, moment{at: at + later, doc: d, where: where})
	}
	return all
}

func (f *file) span(where, text string) time.Duration {
	d, err := duration(text)
	if err != nil {
		f.at(where, "%s", err)
	}
	return d
}

// play runs a case and returns the alerts that came.
func (f *file) play(c *testCase, where string, set *rule.Set, moments []moment, until time.Duration) []replay.Alert {
	p := replay.NewPlayer(set, []string{"default"})
	var alerts []replay.Alert
	failed := map[string]bool{}
	for _, m := range moments {
		if m.state != nil {
			alerts = append(alerts, p.Advance(start.Add(m.at))...)
			f.look(m, p.States())
			continue
		}
		// As the alerter does it, from the record's bytes: there are short cuts on that way.
		value, err := m.doc.Encode()
		if err != nil {
			f.at(m.where, "encoding the document: %s", err)
			continue
		}
		matches, failures, err := p.MatchValue(value)
		if err != nil {
			f.at(m.where, "decoding the document: %s", err)
			continue
		}
		alerts = append(alerts, p.Decide(matches, start.Add(m.at))...)
		for _, fail := range failures {
			if !failed[fail.Rule.Name] {
				f.at(m.where, "rule %s failed on this event: %s", fail.Rule.Name, fail.Err)
			}
			failed[fail.Rule.Name] = true
		}
	}
	return append(alerts, p.Advance(start.Add(until))...)
}
