package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/daemon"
	"kubescribe/internal/embedded"
	"kubescribe/internal/stream"
)

// A signal in mid-flight is a graceful stop: exit 0, a summary, and the next run does the rest.
func TestLocalStopsGracefully(t *testing.T) {
	const revisions = 3000
	file, dir := generate(t, revisions), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubescribe", "local", "--replay", file, "--data-dir", dir, "-o", "json", "--progress", "5ms", "--listen", "127.0.0.1:0")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	asked := false
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "search at "); ok {
			resp, err := http.Get(url + "api/v1/search?limit=1")
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			asked = resp.Body.Close() == nil
		}
		if m := progressOf.FindStringSubmatch(lines.Text()); m != nil && m[1] != "0" {
			break
		}
	}
	require.True(t, asked, "the search API was there before the first record")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_, _ = io.Copy(io.Discard, stderr)
	require.NoError(t, cmd.Wait(), "a signal is no failure")
	var s summary
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &s))
	assert.LessOrEqual(t, s.Documents, int64(revisions))

	got := runLocalOnce(t, file, dir)
	assert.EqualValues(t, revisions, got.Observed)
	assert.EqualValues(t, revisions, got.Documents)
	assert.Zero(t, got.Deadlettered)
}

// The topics of an earlier run fit those of the next, and nothing has retention by age.
func TestLocalTopics(t *testing.T) {
	broker, err := embedded.Start(t.TempDir(), nil)
	require.NoError(t, err)
	defer broker.Close()
	c := defaultConfig()
	c.Cluster = "local"
	c.Kafka.Brokers = []string{broker.Addr()}
	changes, err := stream.ApplyTopics(t.Context(), c.Kafka, stream.Deps{}, localSpecs(c), false)
	require.NoError(t, err)
	assert.Len(t, changes, 9)
	changes, err = stream.ApplyTopics(t.Context(), c.Kafka, stream.Deps{}, localSpecs(c), false)
	require.NoError(t, err)
	assert.Empty(t, changes)
	for _, s := range localSpecs(c) {
		if s.Compacted {
			assert.Equal(t, "compact", s.Configs["cleanup.policy"], s.Name)
			assert.NotContains(t, s.Configs, "retention.ms", s.Name)
		} else {
			assert.Equal(t, "-1", s.Configs["retention.ms"], s.Name)
		}
	}
}

func TestStagesStopInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStages(t.Context())
		var stopped []string
		for _, name := range []string{"producer", "enricher", "indexer"} {
			s.start(name, func(ctx context.Context) error {
				<-ctx.Done()
				<-time.After(3 * time.Second)
				stopped = append(stopped, name)
				return nil
			})
		}
		require.NoError(t, s.stop(10*time.Second))
		assert.Equal(t, []string{"producer", "enricher", "indexer"}, stopped)
	})
}

func TestStagesStopInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStages(t.Context())
		ended := make(chan struct{})
		s.start("stuck", func(ctx context.Context) error {
			<-ended
			return nil
		})
		s.start("good", func(ctx context.Context) error {
			<-ctx.Done()
			close(ended)
			return nil
		})
		began := time.Now()
		err := s.stop(5 * time.Second)
		assert.ErrorContains(t, err, "stopping the stuck: it took longer than shutdown_timeout (5s)")
		assert.Equal(t, 5*time.Second, time.Since(began))
		<-ended // the others were stopped all the same
	})
}

func TestStagesReportWhoEnds(t *testing.T) {
	broken := errors.New("broken")
	s := newStages(t.Context())
	s.start("indexer", func(context.Context) error { return broken })
	err := s.wait(t.Context())
	require.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "indexer: ")
	s.start("enricher", func(context.Context) error { return nil })
	assert.ErrorContains(t, s.wait(t.Context()), "enricher: it ended by itself")
	s.start("slow", func(ctx context.Context) error {
		<-ctx.Done()
		return broken
	})
	assert.ErrorContains(t, s.stop(time.Minute), "stopping the slow: broken")
}

// With the usual port taken, local takes another and says so.
func TestLocalPortFallsBack(t *testing.T) {
	l, err := net.Listen("tcp", localListen)
	if err == nil {
		defer l.Close() // otherwise somebody else has it, which serves as well
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubescribe", "local", "--replay", generate(t, 5), "--data-dir", t.TempDir())
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	require.NoError(t, cmd.Start())
	var seen []string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		seen = append(seen, lines.Text())
		if strings.Contains(lines.Text(), "all is through") {
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	require.NoError(t, cmd.Wait())
	assert.Contains(t, strings.Join(seen, "\n"), "something listens on "+localListen+" already, taking a free port")
	assert.Equal(t, 1, strings.Count(stdout.String(), "documents     5\n"), "one summary, when all is through")
}

// With --once, what only a person can mend ends the wait instead of hanging for ever.
func TestLocalDoesNotWaitForAPerson(t *testing.T) {
	l := &local{health: &daemon.Health{}}
	l.o.once = true
	l.health.Set("kubescribe-indexer", "kubescribe.enriched.local/0: Elasticsearch is away")
	require.NoError(t, l.stuck())
	l.health.Set("kubescribe-enricher-local", "kubescribe.events.local/0: stopped: more than 5 % of its last records are poison")
	assert.ErrorContains(t, l.stuck(), "it does not go on by itself: kubescribe-enricher-local")
	l.o.once = false
	require.NoError(t, l.stuck(), "somebody may still accept")
}
