package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	sqlite "modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// SQLite is the store in one file, for the embedded default. It writes one batch at a time, reads beside it, and keeps
// documents for ever unless Retain says otherwise. It is safe for concurrent use by one process.
type SQLite struct {
	writer  *sql.DB // one connection
	readers *sql.DB
	write   sync.Mutex
	limits  *SQLiteConfig // nil keeps everything
}

var _ Store = (*SQLite)(nil)

// readConnections is how many searches run at once.
const readConnections = 4

// OpenSQLite opens the file at path, creates it if need be, and brings its tables to this version's schema.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	if path == "" || strings.HasPrefix(path, ":") {
		return nil, fmt.Errorf("opening the SQLite store: %q is no path of a file", path)
	}
	// A commit is on the disk when it returns: WAL alone would lose the last ones with the machine.
	writer, err := sql.Open("sqlite", dsn(path, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)"))
	if err != nil {
		return nil, fmt.Errorf("opening the SQLite store: %w", err)
	}
	writer.SetMaxOpenConns(1)
	s := &SQLite{writer: writer}
	if err := s.Setup(ctx); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	s.readers, err = sql.Open("sqlite", dsn(path, "_pragma=query_only(1)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the SQLite store: %w", err), writer.Close())
	}
	s.readers.SetMaxOpenConns(readConnections)
	s.readers.SetMaxIdleConns(readConnections)
	return s, nil
}

func dsn(path string, options ...string) string {
	options = append(options, "_pragma=busy_timeout(10000)")
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(options, "&")
}

// Setup creates the tables that are missing. OpenSQLite has called it already.
func (s *SQLite) Setup(ctx context.Context) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("setting up the SQLite store: %w", explainSQLite(err))
	}
	return nil
}

// DeletedAt is when Trim deletes a document for its age; never without Retain.
func (s *SQLite) DeletedAt(class string, t time.Time) time.Time {
	if s.limits == nil {
		return time.Time{}
	}
	return t.Add(s.limits.Retention.Of(class))
}

// Close closes the file.
func (s *SQLite) Close() error { return errors.Join(s.readers.Close(), s.writer.Close()) }

// Index writes the items in one transaction.
func (s *SQLite) Index(ctx context.Context, items []Item) ([]Outcome, error) {
	out := make([]Outcome, len(items))
	rows := make([]row, len(items))
	for i, it := range items {
		reason := check(it)
		if reason == "" {
			var err error
			if rows[i], err = extract(it.Body); err == nil {
				continue
			}
			reason = err.Error()
		}
		out[i] = Outcome{Verdict: Poison, Reason: reason}
	}
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.insert(ctx, items, rows, out); err != nil {
		return nil, fmt.Errorf("writing to the SQLite store: %w", explainSQLite(err))
	}
	return out, nil
}

// insert writes the items that have no outcome yet.
func (s *SQLite) insert(ctx context.Context, items []Item, rows []row, out []Outcome) (err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rollback(tx))
		}
	}()
	document, err := tx.PrepareContext(ctx, insertDocument)
	if err != nil {
		return err
	}
	defer document.Close()
	text, err := tx.PrepareContext(ctx, insertMessage)
	if err != nil {
		return err
	}
	defer text.Close()
	for i, it := range items {
		if out[i].Verdict != Done {
			continue
		}
		r := rows[i]
		args := append([]any{it.ID, it.Class, it.Time.UnixNano(), it.Body}, r.columns()...)
		result, err := document.ExecContext(ctx, args...)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			out[i].Existed = true
			continue
		}
		if r.words == "" {
			continue
		}
		seq, err := result.LastInsertId()
		if err != nil {
			return err
		}
		if _, err := text.ExecContext(ctx, seq, r.words); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// rollback ends tx; that a failed statement or a cancelled context has ended it already is no error.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// explainSQLite makes an error a refusal when trying again can't help.
func explainSQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlitelib.SQLITE_READONLY, sqlitelib.SQLITE_PERM, sqlitelib.SQLITE_CANTOPEN, sqlitelib.SQLITE_CORRUPT,
		sqlitelib.SQLITE_NOTADB, sqlitelib.SQLITE_AUTH, sqlitelib.SQLITE_ERROR, sqlitelib.SQLITE_SCHEMA:
		return &refusedError{err}
	}
	return err
}
