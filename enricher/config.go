package enricher

import (
	"errors"
	"fmt"
	"time"
)

// Config is the section enricher of the configuration.
type Config struct {
	// Instance is a name that this replica keeps across restarts and shares with no other, such as a StatefulSet's pod
	// name: a restarted replica then ends the transaction that its last life left open at once. Empty: what a killed
	// replica left open waits for the transaction timeout.
	Instance string `koanf:"instance"`
	// LookupTimeout is the one deadline that all look-ups of a batch share.
	LookupTimeout time.Duration `koanf:"lookup_timeout"`
	// LookupConcurrency is how many objects are looked up at once.
	LookupConcurrency int `koanf:"lookup_concurrency"`
	// SyncWait is how long after the first event of a kind its look-ups wait for the cache of that kind to fill before
	// they ask for single objects.
	SyncWait time.Duration `koanf:"sync_wait"`
	// APIQPS and APIBurst bound the requests for single objects. Lists and watches are not counted.
	APIQPS   float64 `koanf:"api_qps"`
	APIBurst int     `koanf:"api_burst"`
	// KeepDeleted is how long a deleted object stays known, for the events that arrive after its deletion.
	KeepDeleted time.Duration `koanf:"keep_deleted"`
	// ServiceLabels are the labels of the involved object that may name its service; the first that is set wins.
	ServiceLabels []string `koanf:"service_labels"`
	// KeepOriginal copies the observation's payload to event.original, up to MaxOriginalBytes.
	KeepOriginal bool `koanf:"keep_original"`
}

// Default is what a cluster of any size can start with.
func Default() Config {
	return Config{
		LookupTimeout:     2 * time.Second,
		LookupConcurrency: 16,
		SyncWait:          time.Second,
		APIQPS:            50,
		APIBurst:          100,
		KeepDeleted:       15 * time.Minute,
		ServiceLabels:     []string{"app.kubernetes.io/name", "app"},
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
	check(c.LookupTimeout > 0 && c.LookupTimeout <= 8*time.Second,
		"enricher.lookup_timeout: %s is not in (0, 8s]: a transaction must end within 10s", c.LookupTimeout)
	check(c.LookupConcurrency >= 1 && c.LookupConcurrency <= 256,
		"enricher.lookup_concurrency: %d is not in 1..256", c.LookupConcurrency)
	check(c.SyncWait >= 0 && c.SyncWait <= c.LookupTimeout,
		"enricher.sync_wait: %s is not in 0..lookup_timeout (%s): look-ups can't wait longer than their deadline", c.SyncWait, c.LookupTimeout)
	check(c.APIQPS > 0, "enricher.api_qps: %g is not above 0", c.APIQPS)
	check(c.APIBurst >= 1, "enricher.api_burst: %d is not at least 1", c.APIBurst)
	check(c.KeepDeleted >= 0 && c.KeepDeleted <= 24*time.Hour, "enricher.keep_deleted: %s is not in 0..24h: deleted objects stay in memory", c.KeepDeleted)
	for i, l := range c.ServiceLabels {
		check(l != "", "enricher.service_labels[%d] is empty: name a label or remove it", i)
	}
	return errors.Join(errs...)
}
