package crashlog

import (
	"errors"
	"fmt"
	"time"

	"kubescribe/internal/redact"
)

// The limits of what is read.
const (
	// MaxLines is the most lines that may be asked for.
	MaxLines = 1000
	// MaxBytes is the longest log that is kept.
	MaxBytes = 64 << 10
	// maxRead is how much of an answer is read. Lines may be long, and the last ones matter.
	maxRead = 1 << 20
)

// Config is the section enricher.logs of the configuration.
type Config struct {
	// Enabled turns the reading of logs on. It needs get on pods/log.
	Enabled bool `koanf:"enabled"`
	// Lines is how many of a container's last lines are read, at most 1000; of them at most the last 64 KiB are kept.
	Lines int `koanf:"lines"`
	// Reasons are the Events that get the log of the container they are about. A container's end always does.
	Reasons []string `koanf:"reasons"`
	// Wait is how long a batch waits for the logs of all its records together. What comes later is for later records.
	Wait time.Duration `koanf:"wait"`
	// Timeout bounds one request.
	Timeout time.Duration `koanf:"timeout"`
	// Concurrency is how many requests are on their way at once, half of them to the kubelet of one node.
	Concurrency int `koanf:"concurrency"`
	// RequestsPerMinute, WorkloadRequestsPerMinute and BytesPerMinute are this replica's budget: of all requests, of those for the
	// pods of one controller, and of what is read. Each may be spent at once.
	RequestsPerMinute         int `koanf:"requests_per_minute"`
	WorkloadRequestsPerMinute int `koanf:"workload_requests_per_minute"`
	BytesPerMinute            int `koanf:"bytes_per_minute"`
	// Redact are further patterns of secrets, as Go regular expressions. What their group (?P<secret>…) matches is replaced, or else
	// the whole match. Tokens, keys, passwords and PEM blocks are known without.
	Redact []string `koanf:"redact"`
}

// Default is what a cluster of any size can start with.
func Default() Config {
	return Config{
		Enabled: true, Lines: 100, Reasons: []string{"BackOff", "Unhealthy", "Failed"},
		Wait: 500 * time.Millisecond, Timeout: 5 * time.Second, Concurrency: 8,
		RequestsPerMinute: 300, WorkloadRequestsPerMinute: 10, BytesPerMinute: 16 << 20,
	}
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Lines >= 1 && c.Lines <= MaxLines, "enricher.logs.lines: %d is not in 1..%d", c.Lines, MaxLines)
	for i, r := range c.Reasons {
		check(r != "", "enricher.logs.reasons[%d] is empty: name a reason or remove it", i)
	}
	check(c.Wait >= 0 && c.Wait <= 8*time.Second, "enricher.logs.wait: %s is not in 0..8s: a transaction must end within 10s", c.Wait)
	check(c.Timeout > 0 && c.Timeout <= time.Minute, "enricher.logs.timeout: %s is not in (0, 1m]", c.Timeout)
	check(c.Concurrency >= 1 && c.Concurrency <= 64, "enricher.logs.concurrency: %d is not in 1..64", c.Concurrency)
	check(c.RequestsPerMinute >= 1, "enricher.logs.requests_per_minute: %d is not at least 1: to read no logs, set enricher.logs.enabled to false", c.RequestsPerMinute)
	check(c.WorkloadRequestsPerMinute >= 1, "enricher.logs.workload_requests_per_minute: %d is not at least 1", c.WorkloadRequestsPerMinute)
	check(c.BytesPerMinute >= MaxBytes, "enricher.logs.bytes_per_minute: %d is not at least %d, the longest log", c.BytesPerMinute, MaxBytes)
	if _, err := redact.New(c.Redact); err != nil {
		errs = append(errs, fmt.Errorf("enricher.logs.redact: %w", err))
	}
	return errors.Join(errs...)
}
