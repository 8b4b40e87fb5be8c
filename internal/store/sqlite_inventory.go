package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

var _ Inventory = (*SQLite)(nil)

// Hours counts the rows.
func (s *SQLite) Hours(ctx context.Context, cluster string, from time.Time) ([]Hour, error) {
	rows, err := s.readers.QueryContext(ctx, `SELECT class, time / ?, count(*) FROM documents WHERE time >= ? AND cluster = ? GROUP BY 1, 2`,
		int64(time.Hour), atLeast1970(from).UnixNano(), cluster)
	if err != nil {
		return nil, fmt.Errorf("counting documents by hour: %w", explainSQLite(err))
	}
	defer rows.Close()
	var hours []Hour
	for rows.Next() {
		var h Hour
		var n int64
		if err := rows.Scan(&h.Class, &n, &h.Count); err != nil {
			return nil, fmt.Errorf("counting documents by hour: %w", err)
		}
		h.Start = time.Unix(0, n*int64(time.Hour)).UTC()
		hours = append(hours, h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("counting documents by hour: %w", explainSQLite(err))
	}
	return hours, nil
}

// IDs reads them in parts, so that no reader stays open while fn works.
func (s *SQLite) IDs(ctx context.Context, cluster, class string, hour time.Time, fn func(ids []string) error) error {
	from := atLeast1970(hour).UnixNano()
	after := ""
	for {
		ids, err := s.strings(ctx, `SELECT id FROM documents WHERE time >= ? AND time < ? AND class = ? AND cluster = ? AND id > ? ORDER BY id LIMIT ?`,
			from, from+int64(time.Hour), class, cluster, after, idPage)
		if err != nil {
			return fmt.Errorf("listing ids: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		if err := fn(ids); err != nil || len(ids) < idPage {
			return err
		}
		after = ids[len(ids)-1]
	}
}

// Have looks the ids up.
func (s *SQLite) Have(ctx context.Context, items []Item) ([]bool, error) {
	have := make([]bool, len(items))
	if len(items) == 0 {
		return have, nil
	}
	args := make([]any, len(items))
	for i, it := range items {
		args[i] = it.ID
	}
	ids, err := s.strings(ctx, "SELECT id FROM documents WHERE id IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")+")", args...)
	if err != nil {
		return nil, fmt.Errorf("reading by id: %w", err)
	}
	found := make(map[string]bool, len(ids))
	for _, id := range ids {
		found[id] = true
	}
	for i, it := range items {
		have[i] = found[it.ID]
	}
	return have, nil
}

// strings gives the one column of a query.
func (s *SQLite) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, explainSQLite(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, explainSQLite(err)
	}
	return all, nil
}

// atLeast1970 keeps t within what nanoseconds in 64 bits can say.
func atLeast1970(t time.Time) time.Time {
	if t.Before(minTime) {
		return minTime
	}
	return t
}
