package store

import (
	"fmt"
	"time"

	"kubescribe/schemas"
)

// stretch is event time, from From until the next stretch begins, that shares a period.
type stretch struct {
	From   time.Time      `json:"from"`
	Period schemas.Period `json:"period"`
}

// schedule is which period holds when, in ascending order; the first stretch begins at the zero time. It only ever grows at its end,
// and there only in the future: the index of a document must never become another one.
type schedule []stretch

func (s schedule) period(t time.Time) schemas.Period {
	for i := len(s) - 1; i > 0; i-- {
		if !t.Before(s[i].From) {
			return s[i].Period
		}
	}
	return s[0].Period
}

// last is the period that holds in the end.
func (s schedule) last() schemas.Period { return s[len(s)-1].Period }

// index is where a document of this class and time belongs.
func (s schedule) index(prefix, class string, t time.Time) string {
	return schemas.Index(prefix, class, s.period(t), t)
}

// longest is the greatest length of any of the periods. Every index waits that long before its retention begins, so that the policies
// need not know in which stretch it was made.
func (s schedule) longest() time.Duration {
	var d time.Duration
	for _, x := range s {
		d = max(d, x.Period.Longest())
	}
	return d
}

// deletedAt is when the index of a document is deleted: its origination date, plus the longest period, plus the retention.
func (s schedule) deletedAt(r Retention, class string, t time.Time) time.Time {
	return s.period(t).Start(t).Add(s.longest() + r.Of(class))
}

// periodNotice is how far ahead a change of the period is recorded at least. It is longer than layoutLease: every writer knows of the
// change before the first document that it concerns.
const periodNotice = 24 * time.Hour

// change is s with another period from the next boundary of the present one on that is far enough ahead.
func (s schedule) change(p schemas.Period, now time.Time) schedule {
	earliest := now.Add(periodNotice)
	if from := s[len(s)-1].From.Add(time.Second); from.After(earliest) {
		earliest = from
	}
	from := earliest.UTC().Truncate(day)
	for from.Before(earliest) || !s.last().Start(from).Equal(from) {
		from = from.AddDate(0, 0, 1)
	}
	return append(append(schedule(nil), s...), stretch{from, p})
}

func (s schedule) validate() error {
	if len(s) == 0 || !s[0].From.IsZero() {
		return fmt.Errorf("it does not say which period holds first")
	}
	for i, x := range s {
		if err := x.Period.Validate(); err != nil {
			return err
		}
		if i > 0 && !x.From.After(s[i-1].From) {
			return fmt.Errorf("its stretches are not in ascending order")
		}
	}
	return nil
}

// String is the schedule in words.
func (s schedule) String() string {
	words := string(s[0].Period)
	for _, x := range s[1:] {
		words += fmt.Sprintf(", %s from %s", x.Period, x.From.Format(time.RFC3339))
	}
	return words
}
