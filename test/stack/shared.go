package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Environment variables that point tests at servers that run already, in place of ones of their own. `stack up` prints them.
const (
	EnvKafka         = "STACK_KAFKA"         // host:port
	EnvElasticsearch = "STACK_ELASTICSEARCH" // URL
	EnvKubeconfig    = "STACK_KUBECONFIG"    // path
)

// Need prepares the parts for a test, and waits while another process does. A missing tool skips the test, and so does -short;
// with CI=true a missing tool fails it and -short is ignored: there nothing is skipped.
func Need(t testing.TB, parts ...string) {
	t.Helper()
	inCI := os.Getenv("CI") == "true"
	if testing.Short() && !inCI {
		t.Skip("needs the real stack, which -short leaves out")
	}
	if err := MissingTools(parts...); err != nil {
		if inCI {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err := Prepare(t.Context(), parts...); err != nil {
		t.Fatal(err)
	}
}

// SharedKafka returns the bootstrap address of a broker that all tests of this binary share: the one that $STACK_KAFKA names, else
// one that the first call starts. Tests use topic names, group names and transactional ids of their own. Nobody may stop it.
func SharedKafka(t testing.TB) string {
	t.Helper()
	return share(t, &sharedKafka, PartKafka, EnvKafka, func(ctx context.Context, dir string) (string, error) {
		k, err := StartKafka(ctx, dir)
		if err != nil {
			return "", err
		}
		return k.Bootstrap, nil
	})
}

// SharedElasticsearch returns the URL of a node that all tests of this binary share: the one that $STACK_ELASTICSEARCH names, else
// one that the first call starts. Tests use index and policy names of their own. Nobody may stop it.
func SharedElasticsearch(t testing.TB) string {
	t.Helper()
	return share(t, &sharedElasticsearch, PartElasticsearch, EnvElasticsearch, func(ctx context.Context, dir string) (string, error) {
		e, err := StartElasticsearch(ctx, dir)
		if err != nil {
			return "", err
		}
		return e.URL, nil
	})
}

// SharedKubernetes returns the path of an administrator's kubeconfig for a control plane that all tests of this binary share: the one
// that $STACK_KUBECONFIG names, else one that the first call starts. Tests use namespaces of their own. Nobody may stop it.
func SharedKubernetes(t testing.TB) string {
	t.Helper()
	return share(t, &sharedKubernetes, PartKubernetes, EnvKubeconfig, func(ctx context.Context, dir string) (string, error) {
		k, err := StartKubernetes(ctx, dir)
		if err != nil {
			return "", err
		}
		return k.Kubeconfig, nil
	})
}

// A shared server lives as long as the test binary: the kernel kills it then. Its folder is removed by the next binary.
type shared struct {
	once    sync.Once
	address string
	err     error
}

var sharedKafka, sharedElasticsearch, sharedKubernetes shared

func share(t testing.TB, s *shared, part, env string, start func(context.Context, string) (string, error)) string {
	t.Helper()
	if address := os.Getenv(env); address != "" {
		return address
	}
	Need(t, part)
	s.once.Do(func() {
		dir := filepath.Join(os.TempDir(), fmt.Sprintf("kubescribe-stack-%d-%s", os.Getpid(), part))
		if s.err = errors.Join(sweep(), os.RemoveAll(dir)); s.err == nil {
			// Not the test's context: the server outlives the test.
			ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
			defer cancel()
			s.address, s.err = start(ctx, dir)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.address
}

var sharedDir = regexp.MustCompile(`kubescribe-stack-(\d+)-[a-z]+$`)

// sweep removes the folders of shared servers whose test binary is gone.
func sweep() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "kubescribe-stack-*"))
	if err != nil {
		return fmt.Errorf("looking for old folders: %w", err)
	}
	for _, dir := range dirs {
		m := sharedDir.FindStringSubmatch(dir)
		if m == nil {
			continue
		}
		if pid, err := strconv.Atoi(m[1]); err == nil && !exists(pid) {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("removing an old folder: %w", err)
			}
		}
	}
	return nil
}
