// Command run runs one end-to-end test on the real stack: `make e2e T=NAME`, or `T=list` for their names.
// The last line on standard output is the result; the exit code is 1 when a promise was broken.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"kubescribe/test/e2e"
)

func main() {
	binary := flag.String("binary", "bin/kubescribe", "the binary under test")
	dir := flag.String("dir", "", "where data and logs go (default: a temporary directory, removed when all is well)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: run [flags] NAME | list")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *binary, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		os.Exit(1)
	}
}

func run(name, binary, dir string) error {
	if name == "list" {
		for _, c := range e2e.Cases() {
			fmt.Printf("%-16s %s\n", c.Name, c.About)
		}
		return nil
	}
	c, err := e2e.Find(name)
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "kubescribe-e2e-"); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := e2e.Do(ctx, c, binary, dir, os.Stderr, os.Stdout); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
