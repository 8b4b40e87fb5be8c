package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Search reads one row more than the page has, to know whether another page follows.
func (s *SQLite) Search(ctx context.Context, q Query) (Page, error) {
	if err := q.Validate(); err != nil {
		return Page{}, err
	}
	where, args := q.where()
	c, err := parseCursor(q.After)
	if err != nil {
		return Page{}, err
	}
	if c != nil {
		where = append(where, "(time, id) < (?, ?)")
		args = append(args, c.nanos, c.id)
	}
	rows, err := s.readers.QueryContext(ctx, "SELECT id, class, time, body FROM documents"+clause(where)+
		" ORDER BY time DESC, id DESC LIMIT ?", append(args, q.limit()+1)...)
	if err != nil {
		return Page{}, fmt.Errorf("searching: %w", explainSQLite(err))
	}
	defer rows.Close()
	var page Page
	for rows.Next() {
		if len(page.Hits) == q.limit() {
			last := page.Hits[len(page.Hits)-1]
			page.Next = cursor{last.Time.UnixNano(), last.ID}.String()
			break
		}
		var h Hit
		var nanos int64
		var body []byte
		if err := rows.Scan(&h.ID, &h.Class, &nanos, &body); err != nil {
			return Page{}, fmt.Errorf("searching: %w", err)
		}
		h.Time, h.Body = time.Unix(0, nanos).UTC(), body
		page.Hits = append(page.Hits, h)
	}
	if err := rows.Err(); err != nil {
		return Page{}, fmt.Errorf("searching: %w", explainSQLite(err))
	}
	return page, nil
}

// Count counts the rows.
func (s *SQLite) Count(ctx context.Context, q Query) (int64, error) {
	if err := q.Validate(); err != nil {
		return 0, err
	}
	where, args := q.where()
	var n int64
	if err := s.readers.QueryRowContext(ctx, "SELECT count(*) FROM documents"+clause(where), args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting: %w", explainSQLite(err))
	}
	return n, nil
}

func clause(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(where, " AND ")
}

// where is q as SQL. Column names come from fields alone; all that a user gave is an argument.
func (q Query) where() (where []string, args []any) {
	from, to := q.bounds()
	if from != nil {
		where = append(where, "time >= ?")
		args = append(args, from.UnixNano())
	}
	if to != nil {
		where = append(where, "time < ?")
		args = append(args, to.UnixNano())
	}
	for _, f := range q.Filters {
		field, _ := fieldByName(f.Field)
		where = append(where, field.Name+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(f.Values)), ", ")+")")
		for _, v := range f.Values {
			args = append(args, field.value(v))
		}
	}
	if q.Text != "" {
		where = append(where, "seq IN (SELECT rowid FROM messages WHERE messages MATCH ?)")
		args = append(args, match(q.Text))
	}
	if !q.Where.IsZero() {
		text, more := q.Where.root.sqlite()
		where, args = append(where, text), append(args, more...)
	}
	return where, args
}

// match is text in the language of FTS5: each word quoted, all of them required.
func match(text string) string {
	found := words(text)
	for i, w := range found {
		found[i] = `"` + strings.ReplaceAll(w, `"`, `""`) + `"`
	}
	return strings.Join(found, " AND ")
}
