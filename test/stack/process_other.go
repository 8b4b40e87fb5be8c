//go:build unix && !linux

package stack

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes cannot tie a child's life to its parent's here: that is Linux only.
func childAttributes(detached bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !detached, Setsid: detached}
}

func startOnLastingThread(cmd *exec.Cmd) error { return cmd.Start() }

// runs reports whether PID is a process with exactly this command line.
func runs(pid int, argv []string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.TrimSpace(string(out)) == strings.Join(argv, " ")
}
