// Package daemon is what every service's start and stop share: configuration, logging, signals, health, metrics, tracing.
//
// It knows no service: a command hands it a struct of configuration with defaults and a function to run. It does not
// restart anything, and it keeps no global state except slog's default logger, which is left alone.
//
// What it guarantees:
//   - Configuration comes from defaults, then a YAML file, then the environment, then flags. A key or a KUBESCRIBE_
//     variable that nothing reads is an error with a suggestion, and all problems are reported at once (Load).
//   - The first SIGINT or SIGTERM ends the context, and the run has a bounded time to stop; the second ends the process
//     at once (Signals, Serve).
//   - An error is printed once, at the top, and its exit code says whose fault it is (Exit).
//
// Only cmd/kubescribe calls it.
package daemon
