package schemas_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

func TestIndex(t *testing.T) {
	for _, c := range []struct {
		period schemas.Period
		at     string
		want   string
	}{
		{schemas.PeriodDay, "2026-11-20T10:07:02Z", "kubescribe-warning-2026.11.20"},
		{schemas.PeriodDay, "2026-11-20T23:59:59.999999999Z", "kubescribe-warning-2026.11.20"},
		{schemas.PeriodDay, "2026-11-21T00:30:00+01:00", "kubescribe-warning-2026.11.20"},       // UTC decides
		{schemas.PeriodWeek, "2026-11-20T10:07:02Z", "kubescribe-warning-2026.11.16"},           // a Friday
		{schemas.PeriodWeek, "2026-11-16T00:00:00Z", "kubescribe-warning-2026.11.16"},           // a Monday begins
		{schemas.PeriodWeek, "2026-11-15T23:59:59.999999999Z", "kubescribe-warning-2026.11.09"}, // a Sunday ends
		{schemas.PeriodWeek, "2027-01-01T12:00:00Z", "kubescribe-warning-2026.12.28"},           // over the year's edge
		{schemas.PeriodWeek, "2024-03-01T00:00:00Z", "kubescribe-warning-2024.02.26"},           // over 29 February
		{schemas.PeriodMonth, "2026-11-01T00:00:00Z", "kubescribe-warning-2026.11.01"},
		{schemas.PeriodMonth, "2026-12-31T23:59:59Z", "kubescribe-warning-2026.12.01"},
		{schemas.PeriodMonth, "2027-01-01T00:30:00+01:00", "kubescribe-warning-2026.12.01"},
	} {
		at, err := time.Parse(time.RFC3339Nano, c.at)
		require.NoError(t, err)
		require.Equal(t, c.want, schemas.Index("kubescribe", schemas.ClassWarning, c.period, at), "%s %s", c.period, c.at)
	}
}

// TestPeriods walks three years by the hour: each instant lies in its period, which is no longer than Longest, and the
// start of a period is its own start, so that an index's name tells which times it holds.
func TestPeriods(t *testing.T) {
	for _, p := range []schemas.Period{schemas.PeriodDay, schemas.PeriodWeek, schemas.PeriodMonth} {
		require.NoError(t, p.Validate())
		var longest time.Duration
		for at := time.Date(2023, 12, 30, 0, 0, 0, 0, time.UTC); at.Year() < 2027; at = at.Add(time.Hour) {
			start := p.Start(at)
			require.False(t, start.After(at))
			require.Equal(t, start, p.Start(start))
			longest = max(longest, at.Sub(start)+time.Hour)
			if p == schemas.PeriodWeek {
				require.Equal(t, time.Monday, start.Weekday())
			}
		}
		require.Equal(t, p.Longest(), longest, p)
	}
	require.ErrorContains(t, schemas.Period("year").Validate(), `"week"`)
}

func TestValidateClass(t *testing.T) {
	for _, ok := range []string{schemas.ClassNormal, schemas.ClassWarning, schemas.ClassCrash, schemas.ClassGap, "audit_7y"} {
		require.NoError(t, schemas.ValidateClass(ok), ok)
	}
	for _, bad := range []string{"", "Warning", "7y", "a-b", "a/b", "a*", "a234567890123456789012345678901234"} {
		require.Error(t, schemas.ValidateClass(bad), bad)
	}
}
