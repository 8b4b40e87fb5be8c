package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func shell(t *testing.T, dir, script string) *process {
	p := &process{name: "sh", dir: dir, argv: []string{"/bin/sh", "-c", script}}
	t.Cleanup(func() { require.NoError(t, p.kill()) })
	return p
}

func TestAProcessIsFoundByItsPIDFile(t *testing.T) {
	dir := t.TempDir()
	p := shell(t, dir, "echo hello; exec sleep 1000")
	p.argv = []string{"/bin/sleep", "1000"}
	require.NoError(t, p.start())
	require.True(t, p.running())
	require.ErrorContains(t, p.start(), "already running")
	require.ErrorContains(t, (&process{name: "sh", dir: dir}).requireStopped(), fmt.Sprint("PID ", p.pid))

	other := &process{name: "sh", dir: dir}
	require.NoError(t, other.open())
	require.True(t, other.running())
	require.NoError(t, other.kill())
	require.False(t, p.running())
	require.NoError(t, p.requireStopped())
	require.NoError(t, p.kill(), "killing what is gone is no error")
}

// A PID is reused: a PID file that is left over must not make us kill somebody else.
func TestAnotherProcessUnderAnOldPIDIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	bystander := exec.Command("/bin/sleep", "1000")
	require.NoError(t, bystander.Start())
	t.Cleanup(func() {
		require.NoError(t, bystander.Process.Kill())
		_ = bystander.Wait() // it reports the kill
	})
	require.NoError(t, writeFile(dir+"/sh.pid", fmt.Appendf(nil, `{"pid":%d,"argv":["/bin/kafka"]}`, bystander.Process.Pid), 0o644))
	p := &process{name: "sh", dir: dir}
	require.NoError(t, p.open())
	require.False(t, p.running())
	require.NoError(t, p.kill())
	require.NoError(t, syscall.Kill(bystander.Process.Pid, 0))
}

func TestStopKillsWhatIgnoresSIGTERM(t *testing.T) {
	p := shell(t, t.TempDir(), `trap "" TERM; echo ready; while :; do sleep 1; done`)
	require.NoError(t, p.start())
	require.NoError(t, p.await(testContext(t, 10*time.Second), func(context.Context) error {
		if p.tail(1) != "ready" {
			return errors.New("not yet")
		}
		return nil
	}))
	require.NoError(t, p.stop(100*time.Millisecond))
	require.False(t, p.running())
}

func TestAFailedStartShowsTheEndOfItsOwnLog(t *testing.T) {
	dir := t.TempDir()
	never := func(context.Context) error { return errors.New("connection refused") }
	first := shell(t, dir, "echo from an earlier start")
	require.NoError(t, first.start())
	require.Error(t, first.await(t.Context(), never))

	p := shell(t, dir, "seq 1 100; echo the reason >&2; exit 1")
	require.NoError(t, p.start())
	err := p.await(t.Context(), never)
	require.ErrorContains(t, err, "ended before it served")
	require.ErrorContains(t, err, "\n100\nthe reason")
	require.NotContains(t, err.Error(), "\n1\n")
	require.NotContains(t, err.Error(), "earlier")

	slow := shell(t, dir, "exec sleep 1000")
	require.NoError(t, slow.start())
	err = slow.await(testContext(t, 200*time.Millisecond), never)
	require.ErrorContains(t, err, "not serving: connection refused")
	require.False(t, slow.running())

	var clash portClash
	taken := shell(t, dir, "echo java.net.BindException: Address already in use; exit 1")
	require.NoError(t, taken.start())
	require.ErrorAs(t, taken.await(t.Context(), never), &clash)
}

// The test binary plays the process that dies: with this variable set it starts a child, prints its PID and waits to be killed.
const dyingParent = "STACK_TEST_DYING_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dyingParent); dir != "" {
		p := &process{name: "sleep", dir: dir, argv: []string{"/bin/sleep", "1000"}, detached: os.Getenv("DETACHED") == "true"}
		if err := p.start(); err != nil {
			panic(err)
		}
		fmt.Println(p.pid)
		select {}
	}
	os.Exit(m.Run())
}

func TestAChildDiesWithItsParentUnlessDetached(t *testing.T) {
	for _, detached := range []bool{false, true} {
		dir := t.TempDir()
		parent := exec.Command(os.Args[0])
		parent.Env = append(os.Environ(), dyingParent+"="+dir, "DETACHED="+strconv.FormatBool(detached))
		out, err := parent.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, parent.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		child := &process{name: "sleep", dir: dir}
		require.NoError(t, child.open())
		require.Equal(t, strings.TrimSpace(line), strconv.Itoa(child.pid))
		require.True(t, child.running())
		require.NoError(t, parent.Process.Kill())
		require.Error(t, parent.Wait(), "it was killed")
		if detached {
			require.True(t, child.running())
			require.NoError(t, child.kill())
		}
		require.Eventually(t, func() bool { return !child.running() }, 10*time.Second, 10*time.Millisecond)
	}
}
