package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is one server: its command, its PID file <dir>/<name>.pid and its log <dir>/log/<name>.log. It may be a child
// of this process, or one that another process started on the same dir and that open found by its PID file.
type process struct {
	name     string
	dir      string
	argv     []string
	env      []string
	detached bool

	mu       sync.Mutex
	pid      int           // 0: never started
	exited   chan struct{} // of a child: closed when it was waited for
	logStart int64         // where the log of the present start begins
}

// pidFile is what a PID file holds. The command is compared with the running one before any signal is sent, because a PID
// is reused. The file stays when the process ends: it tells how to start it again.
type pidFile struct {
	PID      int      `json:"pid"`
	Argv     []string `json:"argv"`
	Detached bool     `json:"detached,omitempty"`
}

func (p *process) pidPath() string { return filepath.Join(p.dir, p.name+".pid") }
func (p *process) logPath() string { return filepath.Join(p.dir, "log", p.name+".log") }

// open finds the process that was started on dir by anybody; one that has died since can be started again as it was. A missing PID
// file is no error: the process is not running.
func (p *process) open() error {
	b, err := os.ReadFile(p.pidPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading PID file: %w", err)
	}
	var f pidFile
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("decoding %s: %w", p.pidPath(), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid, p.argv, p.detached = f.PID, f.Argv, f.Detached
	return nil
}

// requireStopped is an error when anybody runs the process on its dir.
func (p *process) requireStopped() error {
	found := process{name: p.name, dir: p.dir}
	if err := found.open(); err != nil {
		return err
	}
	if found.running() {
		return fmt.Errorf("starting %s: already running with PID %d on %s", p.name, found.pid, p.dir)
	}
	return nil
}

// running reports whether the process exists now.
func (p *process) running() bool {
	p.mu.Lock()
	pid, exited, argv := p.pid, p.exited, p.argv
	p.mu.Unlock()
	if pid == 0 {
		return false
	}
	if exited != nil {
		select {
		case <-exited:
			return false
		default:
			return true
		}
	}
	return runs(pid, argv)
}

// start runs the command in a process group of its own, with its output appended to the log.
func (p *process) start() error {
	if p.running() {
		return fmt.Errorf("starting %s: already running with PID %d on %s", p.name, p.pid, p.dir)
	}
	if len(p.argv) == 0 {
		return fmt.Errorf("starting %s: it was never started on %s", p.name, p.dir)
	}
	if err := os.MkdirAll(filepath.Dir(p.logPath()), 0o755); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	log, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes(p.detached)
	if err := startOnLastingThread(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log; here only that it ended counts
		close(exited)
	}()
	p.mu.Lock()
	p.pid, p.exited, p.logStart = cmd.Process.Pid, exited, info.Size()
	p.mu.Unlock()
	b, err := json.Marshal(pidFile{PID: cmd.Process.Pid, Argv: p.argv, Detached: p.detached})
	if err == nil {
		err = writeFile(p.pidPath(), b, 0o644)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("starting %s: %w", p.name, err), p.kill())
	}
	return nil
}

// await polls ready until it returns nil. When the process dies or ctx ends first, the process is killed and the error
// holds the last lines of its log.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	var last error
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		last = ready(attempt)
		cancel()
		if last == nil {
			return nil
		}
		if !p.running() {
			return p.failure("it ended before it served")
		}
		select {
		case <-ctx.Done():
			err := p.failure(fmt.Sprintf("not serving: %v (%v)", last, ctx.Err()))
			return errors.Join(err, p.kill())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *process) failure(what string) error {
	log := p.tail(1000)
	var lines []string
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "\tat ") { // Java's stack frames would push the reason out of the excerpt
			lines = append(lines, line)
		}
	}
	excerpt := strings.Join(lines[max(0, len(lines)-25):], "")
	return asStartFailure(fmt.Errorf("starting %s: %s; the end of %s:\n%s", p.name, what, p.logPath(), excerpt), log)
}

// tail returns the last n lines that the present start has logged.
func (p *process) tail(n int) string {
	f, err := os.Open(p.logPath())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if _, err := f.Seek(p.logStart, io.SeekStart); err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// kill sends SIGKILL and waits until the process is gone. Killing what does not run is no error.
func (p *process) kill() error { return p.end(syscall.SIGKILL, 30*time.Second) }

// stop sends SIGTERM, waits for grace, and then kills.
func (p *process) stop(grace time.Duration) error {
	if err := p.end(syscall.SIGTERM, grace); err == nil {
		return nil
	}
	return p.kill()
}

func (p *process) end(sig syscall.Signal, wait time.Duration) error {
	if p.running() {
		if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("sending %s to %s (PID %d): %w", sig, p.name, p.pid, err)
		}
	}
	deadline := time.Now().Add(wait)
	for p.running() {
		if time.Now().After(deadline) {
			return fmt.Errorf("stopping %s (PID %d): still there %s after %s", p.name, p.pid, wait, sig)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// exists reports whether there is a process with this PID, whosever it is.
func exists(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
