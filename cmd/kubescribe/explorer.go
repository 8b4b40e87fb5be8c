package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kubescribe/explorer"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

func newExplorer(con console) *cobra.Command {
	return service{
		cmd: &cobra.Command{
			Use:     "explorer",
			Short:   "Answer searches over the documents",
			Long:    `explorer serves the search API over the documents in Elasticsearch. It needs no Kafka, and may run any number of times.`,
			Example: "  kubescribe explorer --config kubescribe.yaml\n  kubescribe explorer --elasticsearch http://elasticsearch:9200 --listen 127.0.0.1:8360",
		},
		flags: func(cmd *cobra.Command, s *settings) {
			s.key(cmd, "elasticsearch", "elasticsearch.addresses", "Elasticsearch nodes, URLs separated by commas")
			s.key(cmd, "listen", "explorer.listen", "address of the API")
		},
		offline:  true,
		validate: func(c *config) error { return errors.Join(c.Elasticsearch.Validate(), c.Explorer.Validate()) },
		run: func(ctx context.Context, c *config, d stream.Deps) (err error) {
			st, err := store.OpenElasticsearch(c.Elasticsearch, d)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.Close()) }()
			return explorer.Run(ctx, c.Explorer, d, st)
		},
	}.command(con)
}
