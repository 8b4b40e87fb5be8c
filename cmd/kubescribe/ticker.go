package main

import (
	"fmt"
	"io"
	"time"

	"kubescribe/internal/daemon"
)

// ticker says on standard error how far a long command is: often on a terminal, else now and then. It is for one goroutine.
type ticker struct {
	to       io.Writer
	terminal bool
	every    time.Duration
	last     time.Time
	said     bool
}

func newTicker(con console) *ticker {
	t := &ticker{to: con.err, terminal: daemon.IsTerminal(con.err), every: 10 * time.Second, last: time.Now()}
	if t.terminal {
		t.every = 200 * time.Millisecond
	}
	return t
}

// say prints the text when it is time to.
func (t *ticker) say(text func() string) {
	if now := time.Now(); now.Sub(t.last) >= t.every {
		t.last, t.said = now, true
		line(t.to, t.terminal, text())
	}
}

// end leaves the line.
func (t *ticker) end() {
	if t.said && t.terminal {
		fmt.Fprintln(t.to)
	}
}
