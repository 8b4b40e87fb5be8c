package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stages are services that run side by side and stop one after the other, in the order in which they were started.
type stages struct {
	ctx    context.Context
	all    []*stage
	failed chan error // one that ended by itself
}

type stage struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// newStages makes stages that run until they are stopped, whatever becomes of the command's context.
func newStages(ctx context.Context) stages {
	return stages{ctx: ctx, failed: make(chan error, 16)}
}

func (s *stages) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(s.ctx)
	st := &stage{name: name, cancel: cancel, done: make(chan struct{})}
	s.all = append(s.all, st)
	go func() {
		defer close(st.done)
		err := run(ctx)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) {
				st.err = fmt.Errorf("stopping the %s: %w", name, err)
			}
			return
		}
		if err == nil {
			err = errors.New("it ended by itself")
		}
		s.failed <- fmt.Errorf("%s: %w", name, err)
	}()
}

// wait returns when ctx ends, or with the error of a stage that ended by itself.
func (s *stages) wait(ctx context.Context) error {
	select {
	case err := <-s.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// stop stops every stage, each when those before it have stopped, within the timeout for all of them.
func (s *stages) stop(timeout time.Duration) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	var errs []error
	for _, st := range s.all {
		st.cancel()
		select {
		case <-st.done:
			errs = append(errs, st.err)
		case <-deadline.C:
			for _, rest := range s.all {
				rest.cancel()
			}
			return errors.Join(append(errs, fmt.Errorf("stopping the %s: it took longer than shutdown_timeout (%s)", st.name, timeout))...)
		}
	}
	return errors.Join(errs...)
}
