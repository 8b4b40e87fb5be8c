package replay

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kubescribe/alerter/rule"
	"kubescribe/schemas"
)

// Run plays documents that come in no order, in batches that do: every document of a batch was read after those of the batch before.
// It keeps a batch's matches, and no documents.
type Run struct {
	player *Player
	batch  []matched
	report Report
	hours  map[Hour]int
}

// matched is what one document met.
type matched struct {
	at      time.Time
	id      string
	matches []schemas.Match
}

// Report is what a replay found.
type Report struct {
	// From and To are the times that were asked for, by the clock of the alerter.
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Rules     int       `json:"rules"`
	Documents int       `json:"documents"`
	// Undecodable are records that hold no document.
	Undecodable int `json:"undecodable"`
	Matches     int `json:"matches"`
	Failures    int `json:"failures"`
	// Pages are the alerts that would have called somebody: firing and repeated, but not what another alert keeps quiet.
	Pages int `json:"pages"`
	// Hours are the pages by hour and rule, in their order, without those that had none.
	Hours []Hour `json:"hours"`
	// Alerts are the records that would have been on the topic alerts, in the order in which they came to be.
	Alerts []schemas.Alert `json:"alerts"`
}

// Hour is how many pages a rule would have sent in an hour.
type Hour struct {
	Hour  time.Time `json:"hour"`
	Rule  string    `json:"rule"`
	Pages int       `json:"pages"`
}

// NewRun returns a Run of the rules of set. receivers are notified by rules that name none.
func NewRun(set *rule.Set, receivers []string, from, to time.Time) *Run {
	return &Run{
		player: NewPlayer(set, receivers), hours: map[Hour]int{},
		report: Report{From: from.UTC(), To: to.UTC(), Rules: len(set.Rules), Hours: []Hour{}, Alerts: []schemas.Alert{}},
	}
}

// Add matches the document in value, which was read at at. A value that holds none is counted.
func (r *Run) Add(value []byte, at time.Time) {
	matches, failures, err := r.player.MatchValue(value)
	if err != nil {
		r.report.Undecodable++ // the alerter puts it into the dead letter
		return
	}
	r.report.Documents++
	r.report.Failures += len(failures)
	if len(matches) > 0 {
		r.report.Matches += len(matches)
		r.batch = append(r.batch, matched{at, matches[0].EventID, matches})
	}
}

// Flush decides the batch.
func (r *Run) Flush() {
	slices.SortStableFunc(r.batch, func(a, b matched) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id)) })
	for _, m := range r.batch {
		r.note(r.player.Decide(m.matches, m.at))
	}
	r.batch = r.batch[:0]
}

// End lets the time pass until the end and returns the report.
func (r *Run) End() Report {
	r.Flush()
	r.note(r.player.Advance(r.report.To))
	for h, n := range r.hours {
		h.Pages = n
		r.report.Hours = append(r.report.Hours, h)
	}
	slices.SortFunc(r.report.Hours, func(a, b Hour) int { return cmp.Or(a.Hour.Compare(b.Hour), strings.Compare(a.Rule, b.Rule)) })
	return r.report
}

func (r *Run) note(alerts []Alert) {
	for _, a := range alerts {
		r.report.Alerts = append(r.report.Alerts, a.Alert)
		if a.Status == schemas.AlertResolved || a.MutedBy != "" {
			continue
		}
		r.report.Pages++
		r.hours[Hour{Hour: a.At.UTC().Truncate(time.Hour), Rule: a.Rule}]++
	}
}
