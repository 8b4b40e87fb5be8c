package store

import (
	"context"
	"time"

	"kubescribe/schemas"
)

// Words is words, for the test that compares it with Elasticsearch.
var Words = words

// Pragmas are the settings of the connection that writes.
func (s *SQLite) Pragmas(ctx context.Context) (mode string, synchronous int, err error) {
	if err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return "", 0, err
	}
	return mode, synchronous, s.writer.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous)
}

// Path is where t lives in the engine.
func (t Template) Path() string { return t.path() }

// CreateLayout is the last step of a setup.
func (e *Elasticsearch) CreateLayout(ctx context.Context) error { return e.createLayout(ctx) }

// ChangePeriod records a change of the period.
func (e *Elasticsearch) ChangePeriod(ctx context.Context, p schemas.Period, now time.Time) error {
	return e.recordLayout(ctx, e.known().schedule.change(p, now))
}
