package store_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/schemas"
)

func openSQLite(t *testing.T) opened {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "documents # of 100%?.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	s.Retain(store.DefaultSQLite())
	return opened{Store: s, refresh: func(*testing.T) {}, retain: func(t *testing.T) {
		_, err := s.Trim(t.Context(), time.Now())
		require.NoError(t, err)
	}}
}

func TestSQLiteConforms(t *testing.T) { conformance(t, openSQLite) }

func TestSQLiteKeepsDocumentsAcrossOpenings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	for n := range 3 {
		s, err := store.OpenSQLite(t.Context(), path)
		require.NoError(t, err)
		out, err := s.Index(t.Context(), storetest.Items(10, origin))
		require.NoError(t, err)
		assert.Equal(t, n > 0, out[0].Existed)
		found, err := s.Count(t.Context(), store.Query{Text: "restarting"})
		require.NoError(t, err)
		assert.EqualValues(t, 10, found, "the full text has each document once")
		require.NoError(t, s.Close())
	}
}

// A commit that has returned is on the disk: WAL with synchronous=FULL, on the connection that writes.
func TestSQLiteIsDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	s, err := store.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	defer s.Close()
	mode, synchronous, err := s.Pragmas(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "wal", mode)
	assert.Equal(t, 2, synchronous)
}

func TestSQLiteKeepsEverythingUnlessToldOtherwise(t *testing.T) {
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "d.db"))
	require.NoError(t, err)
	defer s.Close()
	assert.True(t, s.DeletedAt(schemas.ClassNormal, time.Unix(0, 0)).IsZero())
	_, err = s.Index(t.Context(), storetest.Items(10, time.Unix(0, 0)))
	require.NoError(t, err)
	n, err := s.Trim(t.Context(), time.Now())
	require.NoError(t, err)
	assert.Zero(t, n)
}

func TestSQLiteKeepsTheNewestThatFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	s, err := store.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	defer s.Close()
	const limit, batch = 2 << 20, 2000
	s.Retain(store.SQLiteConfig{Retention: store.DefaultRetention(), MaxBytes: limit})
	var size int64
	for n := range 5 {
		_, err = s.Index(t.Context(), storetest.Items(batch*(n+1), origin)[batch*n:])
		require.NoError(t, err)
		deleted, err := s.Trim(t.Context(), time.Now())
		require.NoError(t, err)
		assert.Positive(t, deleted)
		again, err := s.Trim(t.Context(), time.Now())
		require.NoError(t, err)
		assert.Zero(t, again)
		left, err := s.Count(t.Context(), store.Query{})
		require.NoError(t, err)
		found, err := s.Count(t.Context(), store.Query{Text: "restarting"})
		require.NoError(t, err)
		assert.Equal(t, left, found, "the full text goes with its document")
		assert.Positive(t, left)
		page, err := s.Search(t.Context(), store.Query{Limit: 1})
		require.NoError(t, err)
		assert.Equal(t, storetest.Document(batch*(n+1)-1, origin).Event.ID, page.Hits[0].ID, "the newest stays")
		from := origin.Add(time.Duration(batch*(n+1)-int(left)) * time.Second)
		newest, err := s.Count(t.Context(), store.Query{From: from})
		require.NoError(t, err)
		assert.Equal(t, left, newest, "what is left is the newest, without a hole")
		info, err := os.Stat(path)
		require.NoError(t, err)
		if n == 1 {
			size = info.Size()
		}
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.LessOrEqual(t, info.Size(), size*3/2, "the room is used again")
}

func TestSQLiteConfigNamesEveryProblem(t *testing.T) {
	require.NoError(t, store.DefaultSQLite().Validate())
	err := store.SQLiteConfig{Retention: store.Retention{Default: time.Minute}, MaxBytes: 17}.Validate()
	require.ErrorContains(t, err, "sqlite.retention.default")
	require.ErrorContains(t, err, "sqlite.max_bytes")
}

func TestSQLiteOfANewerVersionIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	s, err := store.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.Exec("PRAGMA user_version = 99")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = store.OpenSQLite(t.Context(), path)
	require.ErrorContains(t, err, "schema 99")
	assert.True(t, store.IsRefused(err))
}

func TestSQLiteFilesThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	require.NoError(t, os.WriteFile(text, []byte("this is no database, only a text that is long enough to be read as a header of one"), 0o600))
	for _, path := range []string{"", ":memory:", text, filepath.Join(dir, "no", "such", "dir.db")} {
		_, err := store.OpenSQLite(t.Context(), path)
		require.Error(t, err, path)
	}
	_, err := store.OpenSQLite(t.Context(), text)
	assert.True(t, store.IsRefused(err), "trying again makes it no database: %v", err)
}

// A search beside a writer neither waits for it nor sees half of a batch.
func TestSQLiteReadsBesideTheWriter(t *testing.T) {
	s := openSQLite(t)
	items := storetest.Items(4000, origin)
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				n, err := s.Count(t.Context(), store.Query{})
				assert.NoError(t, err)
				assert.Zero(t, n%200, "a batch is there as a whole")
			}
		})
	}
	for i := 0; i < len(items); i += 200 {
		out, err := s.Index(t.Context(), items[i:i+200])
		require.NoError(t, err)
		require.Equal(t, map[store.Verdict]int{store.Done: 200}, verdicts(out))
	}
	cancel()
	readers.Wait()
}

func BenchmarkSQLiteIndex(b *testing.B) {
	s, err := store.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "d.db"))
	require.NoError(b, err)
	defer s.Close()
	const size = 2000
	n, bytes := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		items := make([]store.Item, size)
		for i := range items {
			items[i] = storetest.Item(storetest.Document(n, origin))
			bytes += len(items[i].Body)
			n++
		}
		b.StartTimer()
		if _, err := s.Index(b.Context(), items); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "docs/s")
	b.ReportMetric(float64(bytes)/float64(n), "B/doc")
}
