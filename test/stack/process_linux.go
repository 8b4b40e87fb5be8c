package stack

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// childAttributes makes the kernel kill the child when its parent ends, unless it is detached.
func childAttributes(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// Pdeathsig is bound to the thread that forked, not to the process, and the runtime ends threads. So one goroutine, locked
// for ever to a thread that therefore never ends, forks for everybody.
var forkThread = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func startOnLastingThread(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	forkThread() <- func() { result <- cmd.Start() }
	return <-result
}

// runs reports whether PID is a process with exactly this command line. A zombie has none.
func runs(pid int, argv []string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && string(b) == strings.Join(argv, "\x00")+"\x00"
}
