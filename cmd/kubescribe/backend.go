package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kubescribe/internal/daemon"
	"kubescribe/internal/embedded"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

// searchStore is a store that can also say what it holds.
type searchStore interface {
	store.Store
	store.Inventory
}

// backend says where a tool finds Kafka and the documents: where the configuration says, or in the data directory of
// `kubescribe local`.
type backend struct{ dataDir string }

func (b *backend) flags(cmd *cobra.Command, s *settings) {
	s.key(cmd, "elasticsearch", "elasticsearch.addresses", "Elasticsearch nodes, URLs separated by commas")
	cmd.Flags().StringVar(&b.dataDir, "data-dir", "", "data directory of kubescribe local, in place of Kafka and Elasticsearch")
	_ = cmd.MarkFlagDirname("data-dir")
}

// validate checks the sections that the backend reads.
func (b *backend) validate(c *config, kafka bool) error {
	errs := []error{c.logging()}
	if b.dataDir == "" {
		errs = append(errs, c.Elasticsearch.Validate())
		if kafka {
			errs = append(errs, c.Kafka.Validate())
		}
	}
	return errors.Join(errs...)
}

const documentsFile = "documents.sqlite"

// open opens the store and, with kafka, makes sure that Kafka answers; for a data directory it starts the embedded broker and
// changes c.Kafka to it. release frees everything.
func (b *backend) open(ctx context.Context, c *config, d stream.Deps, kafka bool) (st searchStore, release func() error, err error) {
	if b.dataDir != "" {
		return b.openLocal(ctx, c, d, kafka)
	}
	if kafka {
		if err := stream.Ping(ctx, c.Kafka, d); err != nil {
			return nil, nil, err
		}
	}
	es, err := store.OpenElasticsearch(c.Elasticsearch, d)
	if err != nil {
		return nil, nil, err
	}
	return es, es.Close, nil
}

func (b *backend) openLocal(ctx context.Context, c *config, d stream.Deps, kafka bool) (st searchStore, release func() error, err error) {
	dir, err := filepath.Abs(b.dataDir)
	if err != nil {
		return nil, nil, fmt.Errorf("finding the data directory: %w", err)
	}
	db := filepath.Join(dir, documentsFile)
	if _, err := os.Stat(db); err != nil {
		return nil, nil, &daemon.UsageError{Err: fmt.Errorf("--data-dir %s holds no documents of `kubescribe local`: %w", b.dataDir, err)}
	}
	// SQLite may be read beside a running local; its broker can't be shared.
	stop := func() {}
	if kafka {
		if stop, err = b.startBroker(dir, c, d); err != nil {
			return nil, nil, err
		}
	}
	sqlite, err := store.OpenSQLite(ctx, db)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return sqlite, func() error {
		err := sqlite.Close()
		stop()
		return err
	}, nil
}

func (b *backend) startBroker(dir string, c *config, d stream.Deps) (stop func(), err error) {
	unlock, err := embedded.LockDir(dir)
	switch {
	case errors.Is(err, embedded.ErrLocked):
		return nil, &daemon.UsageError{Err: fmt.Errorf("%w: stop it first", err)}
	case err != nil:
		return nil, err
	}
	broker, err := embedded.Start(filepath.Join(dir, "kafka"), d.Log)
	if err != nil {
		unlock()
		return nil, err
	}
	c.Kafka = stream.Default()
	c.Kafka.Brokers = []string{broker.Addr()}
	return func() {
		broker.Close()
		unlock()
	}, nil
}
