package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// back is a flag that says from when on: so long ago, or a time. It is a pflag.Value.
type back struct {
	age time.Duration
	at  time.Time
}

// time is when it was, for a command that runs at now. Without a value it is the zero time.
func (b back) time(now time.Time) time.Time {
	switch {
	case !b.at.IsZero():
		return b.at
	case b.age == 0:
		return time.Time{}
	}
	return now.Add(-b.age)
}

// String is the value.
func (b *back) String() string {
	switch {
	case !b.at.IsZero():
		return b.at.Format(time.RFC3339)
	case b.age == 0:
		return ""
	case b.age%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", b.age/(24*time.Hour))
	}
	return strings.TrimSuffix(strings.TrimSuffix(b.age.String(), "0s"), "0m")
}

// Type is what help calls the value.
func (b *back) Type() string { return "when" }

// Set takes a duration, also in days, or a time.
func (b *back) Set(s string) error {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		*b = back{at: t}
		return nil
	}
	age, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int64
		if n, err = strconv.ParseInt(days, 10, 32); err == nil {
			age = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || age <= 0 {
		return fmt.Errorf("use how long ago, such as 90m, 24h or 7d, or a time such as 2026-11-20T10:00:00Z")
	}
	*b = back{age: age}
	return nil
}
