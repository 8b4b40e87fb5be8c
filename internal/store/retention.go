package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"kubescribe/schemas"
)

const day = 24 * time.Hour

// Retention says how long documents are kept after the end of their index's period.
type Retention struct {
	// Default holds for classes that Classes does not name.
	Default time.Duration `koanf:"default"`
	// Classes holds the retention of a class by its name.
	Classes map[string]time.Duration `koanf:"classes"`
}

// DefaultRetention is what ships: normal events for a month, gaps for more than a year, all else for four months.
func DefaultRetention() Retention {
	return Retention{Default: 120 * day, Classes: map[string]time.Duration{
		schemas.ClassNormal: 30 * day, schemas.ClassWarning: 120 * day, schemas.ClassCrash: 120 * day, schemas.ClassGap: 400 * day,
	}}
}

// Of is the retention of class.
func (r Retention) Of(class string) time.Duration {
	if d, ok := r.Classes[class]; ok {
		return d
	}
	return r.Default
}

// names lists the classes that have a retention of their own, in order.
func (r Retention) names() []string {
	names := make([]string, 0, len(r.Classes))
	for c := range r.Classes {
		names = append(names, c)
	}
	slices.Sort(names)
	return names
}

func (r Retention) validate(key string) error {
	var errs []error
	check := func(key string, d time.Duration) {
		if d < time.Hour || d%time.Hour != 0 {
			errs = append(errs, fmt.Errorf("%s: %s is no whole number of hours, at least 1h: write for example 720h", key, d))
		}
	}
	check(key+".default", r.Default)
	for _, c := range r.names() {
		if err := schemas.ValidateClass(c); err != nil {
			errs = append(errs, fmt.Errorf("%s.classes: %w", key, err))
		}
		check(key+".classes."+c, r.Classes[c])
	}
	return errors.Join(errs...)
}
