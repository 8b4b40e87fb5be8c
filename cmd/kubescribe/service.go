package main

import (
	"context"

	"github.com/spf13/cobra"

	"kubescribe/internal/daemon"
	"kubescribe/internal/stream"
)

// service describes a service's subcommand.
type service struct {
	cmd *cobra.Command
	// flags adds flags of its own.
	flags func(cmd *cobra.Command, s *settings)
	// validate checks the sections that this service reads, beyond those of every service.
	validate func(c *config) error
	// access is what Kafka must have and allow before it starts.
	access func(c *config) []stream.Access
	// offline services don't use Kafka.
	offline bool
	run     func(ctx context.Context, c *config, d stream.Deps) error
}

// command is the subcommand that checks the configuration, then Kafka and its topics, then runs until a signal.
func (s service) command(con console) *cobra.Command {
	set := addSettings(s.cmd, con)
	if !s.offline {
		set.brokers(s.cmd)
	}
	set.key(s.cmd, "http-listen", "http.listen", "address of /livez, /readyz and /metrics")
	if s.flags != nil {
		s.flags(s.cmd, set)
	}
	s.cmd.Args = cobra.NoArgs
	s.cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := set.load(cmd,
			func(c *config) error { return c.process().Validate() },
			func(c *config) error {
				if s.offline {
					return nil
				}
				return c.Kafka.Validate()
			},
			s.validate,
		)
		if err != nil {
			return unlessShown(err)
		}
		return daemon.Serve(cmd.Context(), con.err, c.process(), daemon.Service{
			Name: s.cmd.Name(),
			Start: func(ctx context.Context, d stream.Deps) error {
				if s.offline {
					return nil
				}
				if err := stream.Ping(ctx, c.Kafka, d); err != nil {
					return err
				}
				return stream.CheckAccess(ctx, c.Kafka, d, s.access(c)...)
			},
			Run: func(ctx context.Context, d stream.Deps) error { return s.run(ctx, c, d) },
		})
	}
	return s.cmd
}
