package e2e

import "syscall"

// childAttr makes the kernel kill the child when the test dies, so that a broken run leaves nothing behind.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
