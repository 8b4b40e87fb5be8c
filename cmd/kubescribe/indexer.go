package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"kubescribe/indexer"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

func newIndexer(con console) *cobra.Command {
	cmd := service{
		cmd: &cobra.Command{
			Use:   "indexer",
			Short: "Put the documents of all clusters into Elasticsearch",
			Long: `indexer reads enriched.* and writes each document once to the index of its retention class and period. Indices are deleted by
ILM when their retention is over. Any number may run; they share the partitions of all clusters.

At its start it creates the ILM policies and templates that are missing, unless elasticsearch.manage is false. Where its user may not
do that, run "kubescribe indexer setup" once as one who may.`,
			Example: "  kubescribe indexer --config kubescribe.yaml\n  kubescribe indexer --brokers kafka:9092 --elasticsearch http://elasticsearch:9200",
		},
		flags: func(cmd *cobra.Command, s *settings) {
			s.key(cmd, "elasticsearch", "elasticsearch.addresses", "Elasticsearch nodes, URLs separated by commas")
		},
		validate: func(c *config) error { return errors.Join(c.Elasticsearch.Validate(), c.Indexer.Validate()) },
		access:   (*config).indexerAccess,
		run: func(ctx context.Context, c *config, d stream.Deps) (err error) {
			// Nearly all of the heap is documents on their way: the collector gets half as much for its own, not as much again.
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(50)
			}
			st, err := store.OpenElasticsearch(c.Elasticsearch, d)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.Close()) }()
			return indexer.Run(ctx, c.Indexer, c.Kafka, d, st)
		},
	}.command(con)
	cmd.AddCommand(indexerSetup(con))
	return cmd
}
