package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is one service of the real binary. It is used by one goroutine.
type process struct {
	name   string
	args   []string
	env    []string // added to the test's own environment
	binary string
	logs   string // its standard output and error, appended over restarts
	ready  string // the URL that answers 200 when it is ready
	cmd    *exec.Cmd
	exited chan error
}

func (p *process) start() error {
	f, err := os.OpenFile(p.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	p.cmd = exec.Command(p.binary, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.SysProcAttr = childAttr()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	exited := make(chan error, 1)
	go func(c *exec.Cmd) { exited <- c.Wait() }(p.cmd)
	p.exited = exited
	return nil
}

// signal sends it sig.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("sending %s to %s: %w", sig, p.name, err)
	}
	return nil
}

// kill ends it with SIGKILL and waits until it is gone.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited //nolint:errcheck // it says that it was killed
	return nil
}

// stop ends it the way Kubernetes does, and reports an exit that was not clean.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.exited:
		if err != nil {
			return fmt.Errorf("%s did not stop cleanly: %w\n%s", p.name, err, tail(p.logs))
		}
		return nil
	case <-time.After(30 * time.Second):
		_ = p.kill()
		return fmt.Errorf("%s did not stop within 30 s\n%s", p.name, tail(p.logs))
	}
}

// waitReady returns when the service says that it is ready, or with the end of its log when it exits before.
func (p *process) waitReady(ctx context.Context) error {
	for {
		select {
		case err := <-p.exited:
			return fmt.Errorf("%s exited: %w\n%s", p.name, errors.Join(err, ctx.Err()), tail(p.logs))
		default:
		}
		if resp, err := http.Get(p.ready); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s is not ready: %w\n%s", p.name, err, tail(p.logs))
		}
	}
}

// tail is the end of a log file.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if len(lines) > 15 {
		lines = lines[len(lines)-15:]
	}
	return filepath.Base(path) + ":\n" + string(bytes.Join(lines, []byte("\n")))
}

// pause waits; unlike time.Sleep it ends with the context, and says so.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
