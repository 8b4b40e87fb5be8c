package store_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
)

func openSQLite(t *testing.T) opened {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "documents # of 100%?.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return opened{s, func(*testing.T) {}}
}

func TestSQLiteConforms(t *testing.T) { conformance(t, openSQLite) }
