// Command kubescribe is every service of the flight recorder in one binary, one subcommand each, and the tools around
// them. It wires: configuration in, a service's Run out. What a subcommand does is in the file of its name.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"kubescribe/internal/daemon"
)

func main() {
	ctx, stop := daemon.Signals(context.Background())
	err := run(ctx, os.Args[1:], console{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()})
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "kubescribe: %v\n", err)
	}
	os.Exit(daemon.Exit(err))
}

// console is what a command sees of the world around it.
type console struct {
	in      io.Reader
	out     io.Writer // results
	err     io.Writer // logs, progress, notices
	environ []string
}

// run runs one command line and returns its error, which nothing has printed yet.
func run(ctx context.Context, args []string, con console) error {
	root, ran := newRoot(con)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !*ran {
		// Cobra refused the command line itself.
		return &daemon.UsageError{Err: fmt.Errorf("%w\nrun `%s --help` for how to use it", err, root.Name())}
	}
	return err
}
