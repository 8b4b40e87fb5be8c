package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// CacheDir returns the folder of everything that is fetched or built once: $STACK_CACHE, by default
// kubescribe/stack in the user's cache directory. Its sub-folders are keyed by version.
func CacheDir() (string, error) {
	if dir := os.Getenv("STACK_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache directory (set STACK_CACHE): %w", err)
	}
	return filepath.Join(base, "kubescribe", "stack"), nil
}

// An artifact is one sub-folder of the cache. It is complete when its marker file holds key; the marker is written last,
// so that an interrupted make is made again and never half used.
type artifact struct {
	name string // folder name under CacheDir
	key  string // what the content was made from
	make func(ctx context.Context, tmp string) error
}

const marker = ".complete"

func (a artifact) dir() (string, error) {
	root, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, a.name), nil
}

func (a artifact) complete() bool {
	dir, err := a.dir()
	if err != nil {
		return false
	}
	have, err := os.ReadFile(filepath.Join(dir, marker))
	return err == nil && strings.TrimSpace(string(have)) == a.key
}

// ensure makes the artifact unless it is complete. One process at a time makes it; the others wait for it or for ctx.
func (a artifact) ensure(ctx context.Context) (string, error) {
	dir, err := a.dir()
	if err != nil {
		return "", err
	}
	if a.complete() {
		return dir, nil
	}
	unlock, err := lockFile(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if a.complete() {
		return dir, nil
	}
	tmp := dir + ".partial" // under the lock there is one maker; what a killed one left is worthless
	if err := os.RemoveAll(tmp); err != nil {
		return "", fmt.Errorf("clearing %s: %w", tmp, err)
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", tmp, err)
	}
	if err := a.make(ctx, tmp); err != nil {
		return "", errors.Join(fmt.Errorf("preparing %s: %w", a.name, err), os.RemoveAll(tmp))
	}
	if err := os.WriteFile(filepath.Join(tmp, marker), []byte(a.key+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("marking %s: %w", tmp, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("replacing %s: %w", dir, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return "", fmt.Errorf("replacing %s: %w", dir, err)
	}
	return dir, nil
}

// lockFile takes an exclusive lock that the kernel releases when the process ends, however it ends.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the lock's directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for another process that holds %s: %w", path, ctx.Err()), f.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// exclusively runs f while no other process runs one on the same dir, which it creates.
func exclusively(ctx context.Context, dir string, f func() error) error {
	unlock, err := lockFile(ctx, filepath.Join(dir, "start.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

// hashOf is a short key over named contents.
func hashOf(contents ...[]byte) string {
	h := sha256.New()
	for _, c := range contents {
		fmt.Fprintf(h, "%d\n", len(c))
		h.Write(c)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
