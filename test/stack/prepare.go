package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The parts of the stack, as Prepare, Need and cmd/stack name them.
const (
	PartKafka         = "kafka"
	PartElasticsearch = "elasticsearch"
	PartKubernetes    = "kubernetes"
	PartAlertmanager  = "alertmanager"
)

// Parts lists the parts that make the stack.
func Parts() []string { return []string{PartKafka, PartElasticsearch, PartKubernetes} }

// preparable are all that Prepare knows. Alertmanager is started by the tests that need it and has no place in the stack.
func preparable() []string { return append(Parts(), PartAlertmanager) }

// Progress is where Prepare tells what it is doing, a line each time. It is silent when there is nothing to do.
var Progress io.Writer = os.Stderr

// Prepare fetches and builds what is missing in the cache for the parts named (all of them when none is named). From nothing
// Kafka and Elasticsearch take about half a minute each, Kubernetes 6 to 13 minutes on two cores; afterwards it returns at
// once. It blocks while another process prepares the same part. Missing tools are reported all at once, before any work.
func Prepare(ctx context.Context, parts ...string) error {
	if len(parts) == 0 {
		parts = preparable()
	}
	if err := MissingTools(parts...); err != nil {
		return err
	}
	for _, part := range parts {
		var err error
		switch part {
		case PartKafka:
			err = prepareKafka(ctx)
		case PartElasticsearch:
			err = prepareElasticsearch(ctx)
		case PartKubernetes:
			_, err = kubernetesBinaries().ensure(ctx)
		case PartAlertmanager:
			_, err = alertmanagerBinary().ensure(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MissingTools returns an error that names every tool that the parts need and the machine lacks, each with the command that
// installs it. Maven and the compiler count as needed only while the cache does not hold their product.
func MissingTools(parts ...string) error {
	var missing []error
	for _, part := range parts {
		if !slices.Contains(preparable(), part) {
			return fmt.Errorf("unknown part %q: choose from %s", part, strings.Join(preparable(), ", "))
		}
	}
	jvm := slices.Contains(parts, PartKafka) || slices.Contains(parts, PartElasticsearch)
	if jvm {
		if _, err := findJava(); err != nil {
			missing = append(missing, err)
		}
	}
	if slices.Contains(parts, PartElasticsearch) && !elasticsearchNode().complete() {
		if _, err := findInJDK("javac"); err != nil {
			missing = append(missing, fmt.Errorf("a JDK is missing (%w): %s", err, installJDK))
		}
	}
	fetch := slices.Contains(parts, PartKafka) && !kafkaJars().complete() ||
		slices.Contains(parts, PartElasticsearch) && !elasticsearchJars().complete()
	if fetch {
		if _, err := exec.LookPath("mvn"); err != nil {
			missing = append(missing, errors.New("Maven is missing: apt-get install maven"))
		}
	}
	if slices.Contains(parts, PartKubernetes) && !kubernetesBinaries().complete() || slices.Contains(parts, PartAlertmanager) && !alertmanagerBinary().complete() {
		if _, err := exec.LookPath("go"); err != nil {
			missing = append(missing, errors.New("the go command is missing (Go 1.26 or newer builds the Kubernetes binaries and Alertmanager): put it on PATH"))
		}
	}
	return errors.Join(missing...)
}

// runTool runs a command that has to succeed; its output is in the error only. The command and what it started end with ctx
// and with this process.
func runTool(ctx context.Context, dir string, env []string, name string, args ...string) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = childAttributes(false)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := startOnLastingThread(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		text := strings.TrimSpace(out.String())
		if len(text) > 4000 {
			text = "…" + text[len(text)-4000:]
		}
		return fmt.Errorf("running %s: %w\n%s", filepath.Base(name), err, text)
	}
	return nil
}

// reportStep prints one progress line now and one with the seconds it took when the returned function is called.
func reportStep(format string, args ...any) func() {
	what, start := fmt.Sprintf(format, args...), time.Now()
	fmt.Fprintf(Progress, "stack: %s …\n", what)
	return func() { fmt.Fprintf(Progress, "stack: %s: %.1f s\n", what, time.Since(start).Seconds()) }
}
