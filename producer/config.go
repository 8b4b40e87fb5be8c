package producer

import (
	"errors"
	"fmt"
	"time"
)

// Where a producer begins when there is no checkpoint.
const (
	FromOldest = "oldest" // with what the API server still holds
	FromNow    = "now"
)

// Config is the section producer of the configuration file.
type Config struct {
	// From is where the very first start begins: "oldest" or "now".
	From string `koanf:"from"`
	// EventTTL is the API server's --event-ttl. An outage longer than it makes a gap certain instead of possible.
	EventTTL time.Duration `koanf:"event_ttl"`
	// Silence is how long the watch may say nothing before the producer lists to see that it missed nothing.
	Silence time.Duration `koanf:"silence"`
	// ListBufferBytes bounds the memory for sorting a list; a list that needs more is read in several passes.
	ListBufferBytes int         `koanf:"list_buffer_bytes"`
	Batch           BatchConfig `koanf:"batch"`
	Lease           LeaseConfig `koanf:"lease"`
	// Containers is the source that sees containers crash and hang.
	Containers ContainersConfig `koanf:"containers"`
	// Selection is what of the cluster is written down.
	Selection SelectionConfig `koanf:"selection"`
}

// BatchConfig says when what is buffered is written as a transaction: at whichever bound is reached first.
type BatchConfig struct {
	MaxRecords int           `koanf:"max_records"`
	MaxBytes   int           `koanf:"max_bytes"`
	MaxAge     time.Duration `koanf:"max_age"`
}

// LeaseConfig is the Lease that decides which replica is active.
type LeaseConfig struct {
	Enabled bool `koanf:"enabled"`
	// Name is the Lease's name. Producers of one cluster share it.
	Name string `koanf:"name"`
	// Namespace is where the Lease lives; empty: the pod's own namespace, or "default" outside a cluster.
	Namespace string `koanf:"namespace"`
	// Duration is how long a silent leader stays leader. RenewDeadline is when a leader that can't renew gives up, and
	// RetryPeriod the time between tries.
	Duration      time.Duration `koanf:"duration"`
	RenewDeadline time.Duration `koanf:"renew_deadline"`
	RetryPeriod   time.Duration `koanf:"retry_period"`
}

// Default is the configuration where the file says nothing.
func Default() Config {
	return Config{
		From: FromOldest, EventTTL: time.Hour, Silence: time.Minute, ListBufferBytes: 32 << 20,
		Batch: BatchConfig{MaxRecords: 5000, MaxBytes: 4 << 20, MaxAge: 50 * time.Millisecond},
		Lease: LeaseConfig{
			Enabled: true, Name: "kubescribe-producer",
			Duration: 8 * time.Second, RenewDeadline: 5 * time.Second, RetryPeriod: time.Second,
		},
		Containers: defaultContainers(),
	}
}

// leaseJitter is client-go's: the retry period is stretched by up to this factor.
const leaseJitter = 1.2

// Validate reports every problem of c at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("producer."+format, args...))
		}
	}
	check(c.From == FromOldest || c.From == FromNow, "from: %q is neither %q nor %q", c.From, FromOldest, FromNow)
	check(c.EventTTL > 0, "event_ttl: %s is not positive; set the API server's --event-ttl, for example 1h", c.EventTTL)
	check(c.Silence >= time.Second, "silence: %s is too short; use at least 1s", c.Silence)
	check(c.ListBufferBytes >= 4<<20, "list_buffer_bytes: %d is too small; use at least 4194304 (one record of the largest size)", c.ListBufferBytes)
	check(c.Batch.MaxRecords >= 1 && c.Batch.MaxRecords <= 100_000, "batch.max_records: %d is out of bounds; use 1 to 100000", c.Batch.MaxRecords)
	check(c.Batch.MaxBytes >= 1<<10 && c.Batch.MaxBytes <= 64<<20, "batch.max_bytes: %d is out of bounds; use 1024 to 67108864", c.Batch.MaxBytes)
	check(c.Batch.MaxAge >= time.Millisecond && c.Batch.MaxAge <= time.Minute, "batch.max_age: %s is out of bounds; use 1ms to 1m", c.Batch.MaxAge)
	c.Containers.problems(check)
	c.Selection.problems(check)
	if l := c.Lease; l.Enabled {
		check(l.Name != "", "lease.name: is missing")
		check(l.RetryPeriod >= 100*time.Millisecond, "lease.retry_period: %s is too short; use at least 100ms", l.RetryPeriod)
		check(l.RenewDeadline > time.Duration(leaseJitter*float64(l.RetryPeriod)),
			"lease.renew_deadline: %s must be longer than 1.2 times lease.retry_period (%s)", l.RenewDeadline, l.RetryPeriod)
		check(l.Duration > l.RenewDeadline, "lease.duration: %s must be longer than lease.renew_deadline (%s)", l.Duration, l.RenewDeadline)
		// The API server stores whole seconds.
		check(l.Duration >= time.Second && l.Duration%time.Second == 0, "lease.duration: %s must be whole seconds", l.Duration)
	}
	return errors.Join(errs...)
}
