package daemon

import "errors"

// The exit codes of every command.
const (
	ExitOK     = 0
	ExitFailed = 1 // it was asked rightly and did not work out
	ExitUsage  = 2 // bad usage or bad input: the same call will fail again
)

// UsageError says that the call or its input is wrong, so that trying again is of no use.
type UsageError struct{ Err error }

// Error is that of the cause.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Exit is the exit code for a command's error.
func Exit(err error) int {
	var usage *UsageError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		return ExitUsage
	}
	return ExitFailed
}
