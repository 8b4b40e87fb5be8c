package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kubescribe/internal/daemon"
)

// settings are a command's configuration flags: the file, and flags that stand for a key.
type settings struct {
	con   console
	file  string
	check bool
	show  bool
	keys  map[string]string // the key that a flag stands for
	// defaults, if set, changes defaults for this command.
	defaults func(*config)
}

// errConfigShown ends a command that was only asked about its configuration.
var errConfigShown = errors.New("the configuration was shown")

func addSettings(cmd *cobra.Command, con console) *settings {
	s := &settings{con: con, keys: map[string]string{}}
	f := cmd.Flags()
	f.StringVarP(&s.file, "config", "c", "", "configuration file (YAML)")
	f.BoolVar(&s.check, "check-config", false, "check the configuration, report every problem, and exit")
	f.BoolVar(&s.show, "print-config", false, "print the configuration as it is after file, environment and flags, secrets redacted, and exit")
	s.key(cmd, "log-level", "log.level", "debug, info, warn or error")
	s.key(cmd, "log-format", "log.format", "auto, json or text")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return s
}

// brokers adds the flag of every command that talks to Kafka.
func (s *settings) brokers(cmd *cobra.Command) *settings {
	s.key(cmd, "brokers", "kafka.brokers", "Kafka brokers, host:port, separated by commas")
	return s
}

// key adds a flag that stands for a key of the configuration.
func (s *settings) key(cmd *cobra.Command, flag, path, usage string) {
	cmd.Flags().String(flag, "", usage+" (key "+path+")")
	s.keys[flag] = path
}

// load reads the configuration and validates the sections that the command uses. Every problem comes at once, as a usage
// error. With --check-config or --print-config it answers and returns errConfigShown.
func (s *settings) load(cmd *cobra.Command, validate ...func(*config) error) (*config, error) {
	flags := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if path, ok := s.keys[f.Name]; ok {
			flags[path] = f.Value.String()
		}
	})
	c := defaultConfig()
	if s.defaults != nil {
		s.defaults(c)
	}
	errs := []error{daemon.Load(c, daemon.Sources{File: s.file, Environ: s.con.environ, Flags: flags})}
	for _, v := range validate {
		errs = append(errs, v(c))
	}
	err := errors.Join(errs...)
	if s.show {
		if perr := daemon.Print(s.con.out, c); perr != nil {
			return nil, perr
		}
	}
	switch {
	case err != nil:
		return nil, &daemon.UsageError{Err: fmt.Errorf("the configuration is wrong:\n%s", indent(err))}
	case s.check:
		fmt.Fprintln(s.con.err, "kubescribe: the configuration is valid")
	}
	if s.check || s.show {
		return nil, errConfigShown
	}
	return c, nil
}
