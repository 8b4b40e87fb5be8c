package indexer

import (
	"errors"
	"fmt"
	"time"
)

// Group is the consumer group that indexers share by default.
const Group = "kubescribe-indexer"

// Config is the section `indexer`.
type Config struct {
	// Group is the consumer group. Another one writes every topic again from its start, which leaves documents that are there as
	// they are.
	Group string `koanf:"group"`
	// FlushBytes and FlushRecords bound one bulk request; a larger single document makes a request of its own.
	FlushBytes   int `koanf:"flush_bytes"`
	FlushRecords int `koanf:"flush_records"`
	// BulkRequests is how many bulk requests are on their way at once, over all partitions.
	BulkRequests int `koanf:"bulk_requests"`
	// Instance is a name that this replica keeps across restarts and shares with no other: it then keeps its partitions over a
	// restart. Empty for a replica without a stable name.
	Instance string `koanf:"instance"`
	// ShutdownTimeout is how long the batches in hand may take at a stop.
	ShutdownTimeout time.Duration `koanf:"shutdown_timeout"`
}

// Default suits an engine of any size: requests of a few MiB, some at once.
func Default() Config {
	return Config{Group: Group, FlushBytes: 4 << 20, FlushRecords: 5000, BulkRequests: 4, ShutdownTimeout: 20 * time.Second}
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	between := func(key string, v, least, most int) {
		if v < least || v > most {
			errs = append(errs, fmt.Errorf("indexer.%s: %d is not between %d and %d", key, v, least, most))
		}
	}
	if c.Group == "" {
		errs = append(errs, errors.New("indexer.group is empty: name the consumer group, like "+Group))
	}
	// Elasticsearch takes requests of up to 100 MB.
	between("flush_bytes", c.FlushBytes, 1<<10, 64<<20)
	between("flush_records", c.FlushRecords, 1, 100_000)
	between("bulk_requests", c.BulkRequests, 1, 64)
	if c.ShutdownTimeout < time.Second || c.ShutdownTimeout > 10*time.Minute {
		errs = append(errs, fmt.Errorf("indexer.shutdown_timeout: %s is not between 1s and 10m", c.ShutdownTimeout))
	}
	return errors.Join(errs...)
}
