package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked says that another process uses the directory.
var ErrLocked = errors.New("is in use by another process")

// LockDir takes dir, which is created if missing, for this process until release is called or the process ends, however
// it ends. It does not wait: if another process has it, the error is ErrLocked with that process's id.
func LockDir(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory's lock: %w", err)
	}
	if err := tryLock(f); err != nil {
		_ = f.Close()
		if !errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("locking the data directory: %w", err)
		}
		pid := ""
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			pid = " (process " + strings.TrimSpace(string(b)) + ")"
		}
		return nil, fmt.Errorf("the data directory %s %w%s", dir, ErrLocked, pid)
	}
	// Who it is helps people only; the lock itself is the file's.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return func() { _ = f.Close() }, nil
}
