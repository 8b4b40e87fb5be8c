// Command stack prepares, starts, shows and stops the real Kafka, Elasticsearch and Kubernetes of package stack, for people:
// `make stack-up` and `make stack-down` call it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"kubescribe/test/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
}

// flags are what the sub-commands share.
type flags struct {
	dir    string
	output string
}

func command() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use: "stack", Short: "A real Kafka, Elasticsearch and Kubernetes control plane on this machine, without Docker",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&f.dir, "dir", "", "folder of data, logs and PID files (default: run in the cache)")
	root.PersistentFlags().StringVarP(&f.output, "output", "o", "shell", "shell (NAME=value lines) or json")
	sub := func(use, short string, run func(ctx context.Context, dir string, parts []string) error) {
		valid := stack.Parts()
		if use == "prepare" {
			valid = append(valid, stack.PartAlertmanager) // which only tests start
		}
		root.AddCommand(&cobra.Command{
			Use: use + " [kafka] [elasticsearch] [kubernetes]", Short: short, ValidArgs: valid, Args: cobra.OnlyValidArgs,
			RunE: func(cmd *cobra.Command, args []string) error {
				dir, err := f.folder()
				if err != nil {
					return err
				}
				if len(args) == 0 && use != "prepare" {
					args = stack.Parts()
				}
				if err := run(cmd.Context(), dir, args); err != nil {
					return err
				}
				if use != "up" && use != "status" {
					return nil
				}
				return f.print(cmd, status(dir, args))
			},
		})
	}
	sub("prepare", "Fetch and build what is missing in the cache", func(ctx context.Context, _ string, parts []string) error {
		return stack.Prepare(ctx, parts...)
	})
	sub("up", "Start what does not run yet, leave it running, and print the addresses", up)
	sub("status", "Print the addresses of what runs", func(context.Context, string, []string) error { return nil })
	sub("down", "Stop what runs; its data stays in the folder", down)
	return root
}

func (f *flags) folder() (string, error) {
	if f.output != "shell" && f.output != "json" {
		return "", fmt.Errorf("unknown output %q: choose shell or json", f.output)
	}
	if f.dir != "" {
		return filepath.Abs(f.dir)
	}
	cache, err := stack.CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "run"), nil
}

func up(ctx context.Context, dir string, parts []string) error {
	if err := stack.Prepare(ctx, parts...); err != nil {
		return err
	}
	var group errgroup.Group // all of it: one part that fails does not stop the others half-way
	for _, part := range parts {
		group.Go(func() error { return start(ctx, part, filepath.Join(dir, part)) })
	}
	return group.Wait()
}

// start starts a part, or what is missing of it.
func start(ctx context.Context, part, dir string) error {
	var err error
	switch part {
	case stack.PartKafka:
		if _, missing := stack.OpenKafka(dir); missing != nil {
			_, err = stack.StartKafka(ctx, dir, stack.Detached())
		}
	case stack.PartElasticsearch:
		if _, missing := stack.OpenElasticsearch(dir); missing != nil {
			_, err = stack.StartElasticsearch(ctx, dir, stack.Detached())
		}
	case stack.PartKubernetes:
		k, missing := stack.OpenKubernetes(dir)
		if missing != nil {
			_, err = stack.StartKubernetes(ctx, dir, stack.Detached())
			break
		}
		for _, component := range stack.Components() {
			if k.PID(component) == 0 {
				err = errors.Join(err, k.Restart(ctx, component))
			}
		}
	}
	return err
}

func down(_ context.Context, dir string, parts []string) error {
	var errs []error
	for _, part := range slices.Backward(parts) {
		at := filepath.Join(dir, part)
		switch part {
		case stack.PartKafka:
			if k, err := stack.OpenKafka(at); err == nil {
				errs = append(errs, k.Stop())
			}
		case stack.PartElasticsearch:
			if e, err := stack.OpenElasticsearch(at); err == nil {
				errs = append(errs, e.Stop())
			}
		case stack.PartKubernetes:
			if k, err := stack.OpenKubernetes(at); err == nil {
				errs = append(errs, k.Stop())
			}
		}
	}
	return errors.Join(errs...)
}

// An address is one line of the output.
type address struct{ name, value string }

// status lists what runs. The names are those that the tests' helpers look for.
func status(dir string, parts []string) []address {
	var found []address
	for _, part := range parts {
		at := filepath.Join(dir, part)
		switch part {
		case stack.PartKafka:
			if k, err := stack.OpenKafka(at); err == nil {
				found = append(found, address{stack.EnvKafka, k.Bootstrap})
			}
		case stack.PartElasticsearch:
			if e, err := stack.OpenElasticsearch(at); err == nil {
				found = append(found, address{stack.EnvElasticsearch, e.URL})
			}
		case stack.PartKubernetes:
			if k, err := stack.OpenKubernetes(at); err == nil {
				found = append(found, address{stack.EnvKubeconfig, k.Kubeconfig}, address{"STACK_ETCD", k.EtcdEndpoint})
			}
		}
	}
	return found
}

func (f *flags) print(cmd *cobra.Command, found []address) error {
	out := cmd.OutOrStdout()
	if f.output == "json" {
		object := map[string]string{}
		for _, a := range found {
			object[a.name] = a.value
		}
		return json.NewEncoder(out).Encode(object)
	}
	for _, a := range found {
		if _, err := fmt.Fprintf(out, "%s=%s\n", a.name, a.value); err != nil {
			return err
		}
	}
	return nil
}
