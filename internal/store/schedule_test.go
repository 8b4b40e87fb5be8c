package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

func TestAScheduleChangesAtABoundaryThatIsFarEnoughAhead(t *testing.T) {
	now := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC) // a Friday
	for _, c := range []struct {
		was, to schemas.Period
		from    string
	}{
		{schemas.PeriodWeek, schemas.PeriodDay, "2026-11-23"},
		{schemas.PeriodDay, schemas.PeriodMonth, "2026-11-22"},
		{schemas.PeriodMonth, schemas.PeriodWeek, "2026-12-01"},
	} {
		s := schedule{{Period: c.was}}.change(c.to, now)
		require.NoError(t, s.validate())
		assert.Equal(t, c.from, s[1].From.Format(time.DateOnly), "%s to %s", c.was, c.to)
		assert.GreaterOrEqual(t, s[1].From.Sub(now), periodNotice)
		assert.Equal(t, c.to, s.last())
		assert.Equal(t, c.was, s.period(s[1].From.Add(-1)))
		assert.Equal(t, c.to, s.period(s[1].From))
		back := s.change(c.was, now)
		require.NoError(t, back.validate(), "what was recorded is not taken back, but followed by another change")
		assert.Equal(t, s, back[:2])
	}
}

func TestASchedulesDocumentsAreKeptForTheirRetention(t *testing.T) {
	now := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC)
	s := schedule{{Period: schemas.PeriodMonth}}.change(schemas.PeriodDay, now)
	for at := now; at.Before(now.AddDate(0, 1, 0)); at = at.Add(7 * time.Hour) {
		end := s.deletedAt(DefaultRetention(), schemas.ClassNormal, at)
		assert.GreaterOrEqual(t, end.Sub(at), 30*day, at)
	}
	assert.Equal(t, "kubescribe-normal-2026.11.01", s.index("kubescribe", "normal", now))
	assert.Equal(t, "kubescribe-normal-2026.12.02", s.index("kubescribe", "normal", now.AddDate(0, 0, 12)))
}

func TestASpoiledScheduleIsRefused(t *testing.T) {
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for name, s := range map[string]schedule{
		"nothing":          {},
		"no beginning":     {{From: at, Period: schemas.PeriodDay}},
		"no period":        {{Period: "year"}},
		"not in order":     {{Period: schemas.PeriodDay}, {From: at, Period: schemas.PeriodWeek}, {From: at, Period: schemas.PeriodDay}},
		"the second wrong": {{Period: schemas.PeriodDay}, {From: at, Period: "year"}},
	} {
		assert.Error(t, s.validate(), name)
	}
}
