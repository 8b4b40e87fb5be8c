package schemas

import (
	"fmt"
	"regexp"
	"time"
)

// Period is the stretch of event time whose documents share an index.
type Period string

// The periods. A week starts on Monday, all are in UTC.
const (
	PeriodDay   Period = "day"
	PeriodWeek  Period = "week"
	PeriodMonth Period = "month"
)

// Validate returns an error that names the valid periods.
func (p Period) Validate() error {
	switch p {
	case PeriodDay, PeriodWeek, PeriodMonth:
		return nil
	}
	return fmt.Errorf("period %q: use %q, %q or %q", p, PeriodDay, PeriodWeek, PeriodMonth)
}

// Start is the first instant of the period that t lies in.
func (p Period) Start(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	switch p {
	case PeriodMonth:
		d = 1
	case PeriodWeek:
		d -= (int(t.UTC().Weekday()) + 6) % 7
	}
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// Longest is the greatest length of a period, for the age at which its index may be deleted.
func (p Period) Longest() time.Duration {
	day := 24 * time.Hour
	switch p {
	case PeriodMonth:
		return 31 * day
	case PeriodWeek:
		return 7 * day
	}
	return day
}

// The retention classes that ship. A class is lower-case letters, digits and '_'.
const (
	ClassNormal  = "normal"
	ClassWarning = "warning"
	ClassCrash   = "crash"
	ClassGap     = "gap"
)

var className = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// ValidateClass returns an error when class can't be part of an index's name.
func ValidateClass(class string) error {
	if !className.MatchString(class) {
		return fmt.Errorf("retention class %q: use lower-case letters, digits and '_', a letter first, at most 32", class)
	}
	return nil
}

// Index is the name of the index that a document of this class and time belongs to. It is a pure function of immutable
// headers, so that a replay of any age lands on itself: no roll-over, no look-up.
func Index(prefix, class string, period Period, t time.Time) string {
	return prefix + "-" + class + "-" + period.Start(t).Format("2006.01.02")
}
