package stack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnArtifactIsMadeOnceWholeOrNotAtAll(t *testing.T) {
	t.Setenv("STACK_CACHE", t.TempDir())
	var made atomic.Int32
	a := artifact{name: "thing-1", key: "k1", make: func(_ context.Context, tmp string) error {
		made.Add(1)
		return os.WriteFile(filepath.Join(tmp, "part"), []byte("whole"), 0o644)
	}}
	dir, err := a.dir()
	require.NoError(t, err)

	broken := a
	broken.make = func(_ context.Context, tmp string) error {
		require.NoError(t, os.WriteFile(filepath.Join(tmp, "part"), []byte("half"), 0o644))
		return errors.New("no network")
	}
	_, err = broken.ensure(t.Context())
	require.EqualError(t, err, "preparing thing-1: no network")
	require.NoDirExists(t, dir)

	// What a killed process leaves: a partial folder, or a whole one without its marker.
	require.NoError(t, writeFile(filepath.Join(dir+".partial", "rubbish"), nil, 0o644))
	require.NoError(t, writeFile(filepath.Join(dir, "part"), []byte("half"), 0o644))

	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, err := a.ensure(t.Context())
			require.NoError(t, err)
		})
	}
	group.Wait()
	require.EqualValues(t, 1, made.Load())
	content, err := os.ReadFile(filepath.Join(dir, "part"))
	require.NoError(t, err)
	require.Equal(t, "whole", string(content))
	require.NoFileExists(t, filepath.Join(dir, "rubbish"))
	require.NoDirExists(t, dir+".partial")

	a.key = "k2"
	_, err = a.ensure(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, made.Load(), "another key is made anew")
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path)
	require.NoError(t, err)
	_, err = lockFile(testContext(t, 50*time.Millisecond), path)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	unlock()
	unlock, err = lockFile(t.Context(), path)
	require.NoError(t, err)
	unlock()
}
