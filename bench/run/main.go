// Command run measures one stage or all of them: `make bench-STAGE`, `make bench`. See package bench.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"kubescribe/bench"
)

func main() {
	update := flag.String("update", "", "write the results of all stages to this baseline file")
	profile := flag.String("cpuprofile", "", "write a CPU profile of this process, ceilings included, to this file")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: run [flags] STAGE | all | list")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := profiled(*profile, func() error { return run(ctx, flag.Arg(0), *update) }); err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		os.Exit(1)
	}
}

// profiled runs fn, under the CPU profiler if there is a path to write to.
func profiled(path string, fn func() error) error {
	if path == "" {
		return fn()
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = fn()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

func run(ctx context.Context, name, update string) error {
	switch name {
	case "list":
		for _, s := range bench.Stages() {
			fmt.Printf("%-10s against %s\n", s.Name, s.Ceiling)
		}
		return nil
	case "all":
		return all(ctx, update)
	}
	s, err := bench.Find(name)
	if err != nil {
		return err
	}
	_, err = one(ctx, s)
	return err
}

func one(ctx context.Context, s bench.Stage) (bench.Result, error) {
	dir, err := os.MkdirTemp("", "kubescribe-bench-")
	if err != nil {
		return bench.Result{}, err
	}
	r, err := bench.Run(ctx, s, dir, os.Stderr, os.Stdout)
	return r, errors.Join(err, os.RemoveAll(dir))
}

func all(ctx context.Context, update string) error {
	was, err := bench.Baseline()
	if err != nil {
		return err
	}
	var results []bench.Result
	var errs []error
	now := map[string]bench.Result{}
	for _, s := range bench.Stages() {
		r, err := one(ctx, s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		results, now[s.Name] = append(results, r), r
	}
	errs = append(errs, bench.Compare(os.Stderr, was, results))
	if update != "" && errors.Join(errs...) == nil {
		errs = append(errs, bench.WriteBaseline(update, now))
	}
	return errors.Join(errs...)
}
