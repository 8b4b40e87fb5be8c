package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"kubescribe/internal/daemon"
	"kubescribe/producer/capture"
)

const captureLong = `capture records what the API server shows into one file: Events, Pods, and the objects that give them context, each with the time
at which it arrived. "kubescribe local --replay" plays the file back in the same order. It needs no Kafka and changes nothing.

The end of the name decides: .zst for Zstandard, .gz for gzip, otherwise plain. It records until --for is over or until it is
interrupted. Every second it hands what it has to the file, so that a kill loses no more than that.

Secrets and ConfigMaps are never read. Environment, commands and arguments of containers, volumes, managed fields and annotations
that may hide something are left out. Messages stay: look through a capture before you send it to somebody.

It needs list and watch on what is to be recorded; what the account may not read, or what the server does not have, is skipped and
named.`

const captureExample = `  kubescribe capture --for 10m shop.ndjson.zst
  kubescribe capture --namespace shop --context prod shop.ndjson.gz
  kubescribe local --replay shop.ndjson.zst`

// captureOptions are the flags of capture that are no keys of the configuration.
type captureOptions struct {
	length      time.Duration
	namespace   string
	annotations []string
	force       bool
	format      output
}

func newCapture(con console) *cobra.Command {
	var o captureOptions
	cmd := &cobra.Command{
		Use: "capture FILE", Short: "Record a cluster's watch streams into a file that local plays back", Long: captureLong, Example: captureExample,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.DurationVar(&o.length, "for", 0, "how long to record (default: until interrupted)")
	f.StringVarP(&o.namespace, "namespace", "n", "", "the only namespace to record (default: all)")
	f.StringArrayVar(&o.annotations, "drop-annotation", nil, "pattern of annotations to leave out besides the usual ones, for example example.com/*; may be given several times")
	f.BoolVar(&o.force, "force", false, "overwrite FILE")
	o.format.flag(cmd)
	set := addSettings(cmd, con)
	set.key(cmd, "kubeconfig", "kubernetes.kubeconfig", "kubeconfig file")
	set.key(cmd, "context", "kubernetes.context", "context of the kubeconfig")
	_ = cmd.MarkFlagFilename("kubeconfig")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := set.load(cmd, o.validate, (*config).logging)
		if err != nil {
			return unlessShown(err)
		}
		rc, err := c.Kubernetes.rest()
		if err != nil {
			return err
		}
		return o.run(cmd.Context(), con, c, rc, args[0])
	}
	return cmd
}

func (o *captureOptions) validate(*config) error {
	var errs []error
	if o.length < 0 {
		errs = append(errs, fmt.Errorf("--for %s: use a positive duration, such as 10m", o.length))
	}
	if err := capture.CheckAnnotations(o.annotations); err != nil {
		errs = append(errs, fmt.Errorf("--drop-annotation: %w", err))
	}
	return errors.Join(errs...)
}

// captured is what -o json prints.
type captured struct {
	File       string           `json:"file"`
	Bytes      int64            `json:"bytes"`
	Unpacked   int64            `json:"unpackedBytes"`
	Seconds    float64          `json:"seconds"`
	ClusterUID string           `json:"clusterUID"`
	Lines      map[string]int64 `json:"lines"`
	Skipped    []string         `json:"skipped,omitempty"`
	Expired    int64            `json:"expiredWatches"`
}

func (o *captureOptions) run(ctx context.Context, con console, c *config, rc *rest.Config, name string) error {
	mode := os.O_CREATE | os.O_WRONLY | os.O_EXCL
	if o.force {
		mode = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	}
	file, err := os.OpenFile(name, mode, 0o600)
	if errors.Is(err, os.ErrExist) {
		return &daemon.UsageError{Err: fmt.Errorf("%s is there already: choose another name, or overwrite it with --force", name)}
	}
	if err != nil {
		return &daemon.UsageError{Err: err}
	}
	began := time.Now()
	out, err := capture.NewRecorder(file, name, time.Now)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if o.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.length)
		defer cancel()
	}
	sum, err := capture.Run(ctx, rc, out, capture.Options{
		Namespace: o.namespace, Annotations: append(capture.DefaultAnnotations(), o.annotations...), Log: daemon.NewLogger(con.err, c.Log),
	})
	if err := errors.Join(err, out.Close(), file.Close()); err != nil {
		return err
	}
	result := captured{File: name, Seconds: time.Since(began).Seconds(), ClusterUID: sum.ClusterUID, Skipped: sum.Skipped, Expired: sum.Expired}
	result.Lines, result.Unpacked, result.Bytes = out.Counts()
	if o.format.json() {
		return json.NewEncoder(con.out).Encode(result)
	}
	return result.print(con.out)
}

func (r captured) print(w io.Writer) error {
	total := int64(0)
	var parts []string
	for _, resource := range slices.Sorted(maps.Keys(r.Lines)) {
		total += r.Lines[resource]
		parts = append(parts, fmt.Sprintf("%s %d", resource, r.Lines[resource]))
	}
	text := fmt.Sprintf("captured %d lines in %.0f s, %d bytes: %s\n", total, r.Seconds, r.Bytes, strings.Join(parts, ", "))
	if len(r.Skipped) > 0 {
		text += "not recorded, because this account may not read it or the server does not have it: " + strings.Join(r.Skipped, ", ") + "\n"
	}
	if r.Expired > 0 {
		text += fmt.Sprintf("%d watches expired: what was superseded meanwhile is missing\n", r.Expired)
	}
	text += "play it: kubescribe local --replay " + r.File
	if r.ClusterUID != "" {
		text += " --cluster-uid " + r.ClusterUID
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
