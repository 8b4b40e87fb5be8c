package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kubescribe/internal/stream"
)

// ProcessConfig is what every service's process has in common.
type ProcessConfig struct {
	Log  LogConfig
	HTTP HTTPConfig
	// ShutdownTimeout bounds the time between the signal and the end of the process. It should be below the pod's
	// terminationGracePeriodSeconds.
	ShutdownTimeout time.Duration
}

// Validate reports every problem at once.
func (c ProcessConfig) Validate() error {
	errs := append(c.Log.problems(), c.HTTP.problems()...)
	if c.ShutdownTimeout <= 0 {
		errs = append(errs, fmt.Errorf("shutdown_timeout: %s is not positive: use for example 25s", c.ShutdownTimeout))
	}
	return errors.Join(errs...)
}

// Service is one service of a process. Start checks what can be checked before anything is written, within ctx; Run works
// until ctx ends and then returns nil.
type Service struct {
	Name  string
	Start func(ctx context.Context, d stream.Deps) error
	Run   func(ctx context.Context, d stream.Deps) error
}

// Serve gives s a logger on logs, metrics, a tracer and health, runs it, and stops it in bounded time when ctx ends. It
// blocks until then and returns the service's error, or one that says that it did not stop in time.
func Serve(ctx context.Context, logs io.Writer, c ProcessConfig, s Service) error {
	log := NewLogger(logs, c.Log).With("service", s.Name)
	registry := newRegistry(s.Name)
	tracer, closeTracer, err := newTracer(ctx, s.Name, log)
	if err != nil {
		return err
	}
	defer closeTracer()
	health := &Health{}
	health.Set(s.Name, "starting")
	d := stream.Deps{Log: log, Metrics: registry, Tracer: tracer, Now: time.Now, Health: health}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.HTTP.Listen != "" {
		addr, stop, err := serveHTTP(c.HTTP, health, registry, func(err error) { cancel(err) })
		if err != nil {
			return err
		}
		defer stop()
		log.Info("serving health and metrics", "addr", addr)
	}
	if s.Start != nil {
		if err := s.Start(ctx, d); err != nil {
			return err
		}
	}
	health.Set(s.Name, "")
	log.Info("started", "version", ReadVersion().Version)
	err = Bounded(ctx, c.ShutdownTimeout, func(ctx context.Context) error { return s.Run(ctx, d) })
	if cause := context.Cause(ctx); err == nil && cause != nil && errors.Is(cause, errServing) {
		err = cause
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// Bounded runs fn. When ctx ends, fn has the given time to return; then Bounded returns an error without waiting longer.
func Bounded(ctx context.Context, timeout time.Duration, fn func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("stopping took longer than shutdown_timeout (%s): what was not committed is done again at the next start", timeout)
	}
}
