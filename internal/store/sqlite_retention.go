package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"
)

// SQLiteConfig is the section `sqlite`: how long the embedded default keeps documents. Age is that of the event, and size is what the
// documents and their indices take in the file; the room of what is deleted is used again.
type SQLiteConfig struct {
	// Retention keeps documents by class and age.
	Retention Retention `koanf:"retention"`
	// MaxBytes is how much the file may hold before the oldest documents are deleted, whatever their class; 0 is no limit.
	MaxBytes int64 `koanf:"max_bytes"`
}

// DefaultSQLite keeps documents for as long as Elasticsearch would, and at most 8 GiB.
func DefaultSQLite() SQLiteConfig {
	return SQLiteConfig{Retention: DefaultRetention(), MaxBytes: 8 << 30}
}

// Validate reports every problem at once.
func (c SQLiteConfig) Validate() error {
	err := c.Retention.validate("sqlite.retention")
	if c.MaxBytes != 0 && c.MaxBytes < 1<<20 {
		err = errors.Join(err, fmt.Errorf("sqlite.max_bytes: %d is too little: use at least 1048576, or 0 for no limit", c.MaxBytes))
	}
	return err
}

const (
	trimEvery = time.Minute
	// trimRows bounds one transaction of a trim: the indexer waits for no longer than that.
	trimRows = 1000
)

// Retain sets how long documents are kept, for DeletedAt and Trim. Without it everything is kept for ever. It may not be called while
// another method runs.
func (s *SQLite) Retain(c SQLiteConfig) { s.limits = &c }

// RunTrim trims until ctx ends. A failure is logged and tried again.
func (s *SQLite) RunTrim(ctx context.Context, log *slog.Logger, now func() time.Time) {
	for {
		n, err := s.Trim(ctx, now())
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.WarnContext(ctx, "deleting what is past its retention failed; tried again", "err", err)
		case n > 0:
			log.InfoContext(ctx, "deleted what is past its retention", "documents", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(trimEvery):
		}
	}
}

// Trim deletes the documents that are past their retention at now, then the oldest until the file holds at most MaxBytes. It returns how
// many it deleted. Documents are written and found meanwhile.
func (s *SQLite) Trim(ctx context.Context, now time.Time) (deleted int64, err error) {
	if s.limits == nil {
		return 0, nil
	}
	for _, class := range append(s.limits.Retention.names(), "") {
		where, args := "class = ? AND time < ?", []any{class, now.Add(-s.limits.Retention.Of(class)).UnixNano()}
		if class == "" { // the classes without a retention of their own
			where, args = "time < ?", args[1:]
			for _, named := range s.limits.Retention.names() {
				where, args = where+" AND class <> ?", append(args, named)
			}
		}
		for {
			n, err := s.remove(ctx, "SELECT seq FROM documents WHERE "+where+" LIMIT ?", append(args[:len(args):len(args)], trimRows)...)
			deleted += n
			if err != nil {
				return deleted, fmt.Errorf("deleting what is past its retention: %w", explainSQLite(err))
			}
			if n < trimRows {
				break
			}
		}
	}
	for s.limits.MaxBytes > 0 {
		n, err := s.excess(ctx)
		if err == nil && n > 0 {
			n, err = s.remove(ctx, "SELECT seq FROM documents ORDER BY time, id LIMIT ?", min(n, trimRows))
			deleted += n
		}
		if err != nil {
			return deleted, fmt.Errorf("deleting the oldest documents: %w", explainSQLite(err))
		}
		if n == 0 {
			break
		}
	}
	return deleted, nil
}

// excess is about how many documents are too many for MaxBytes; none is 0.
func (s *SQLite) excess(ctx context.Context) (int64, error) {
	var pages, free, size, rows int64
	for pragma, into := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
		if err := s.writer.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(into); err != nil {
			return 0, err
		}
	}
	used := (pages - free) * size
	if used <= s.limits.MaxBytes {
		return 0, nil
	}
	if err := s.writer.QueryRowContext(ctx, "SELECT count(*) FROM documents").Scan(&rows); err != nil || rows == 0 {
		return 0, err
	}
	return max(1, int64(math.Ceil(float64(rows)*float64(used-s.limits.MaxBytes)/float64(used)))), nil
}

// remove deletes the documents whose seq the query selects, in one transaction, and says how many there were.
func (s *SQLite) remove(ctx context.Context, query string, args ...any) (n int64, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rollback(tx))
		}
	}()
	if _, err := tx.ExecContext(ctx, "CREATE TEMP TABLE IF NOT EXISTS past (seq INTEGER PRIMARY KEY)"); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM past"); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO past "+query, args...); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM messages WHERE rowid IN (SELECT seq FROM past)"); err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, "DELETE FROM documents WHERE seq IN (SELECT seq FROM past)")
	if err != nil {
		return 0, err
	}
	if n, err = result.RowsAffected(); err != nil {
		return 0, err
	}
	return n, tx.Commit()
}
