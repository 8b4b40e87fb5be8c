package store

import "context"

// Words is words, for the test that compares it with Elasticsearch.
var Words = words

// Pragmas are the settings of the connection that writes.
func (s *SQLite) Pragmas(ctx context.Context) (mode string, synchronous int, err error) {
	if err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return "", 0, err
	}
	return mode, synchronous, s.writer.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous)
}
