package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tail prints what is there, then what comes in, each once, and ends with a signal.
func TestTailShowsWhatComesIn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	require.NoError(t, exec.CommandContext(ctx, "kubescribe", "local", "--replay", generate(t, 1), "--once", "--data-dir", dir).Run())
	put := func(n int) {
		file := filepath.Join(t.TempDir(), "documents.ndjson")
		text := fmt.Sprintf(`{"@timestamp":%q,"message":"number %d","event":{"id":"x/%d","action":"Test"},"kubescribe":{"class":"normal","type":"event"}}`,
			time.Now().UTC().Format(time.RFC3339Nano), n, n)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		out, err := exec.CommandContext(ctx, "kubescribe", "reindex", "--file", file, "--data-dir", dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	put(1)
	cmd := exec.CommandContext(ctx, "kubescribe", "tail", "reason:Test", "--data-dir", dir)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var seen []string
	lines := bufio.NewScanner(stdout)
	next := func() string {
		require.True(t, lines.Scan(), "after %q", seen)
		seen = append(seen, lines.Text())
		return lines.Text()
	}
	assert.True(t, strings.HasPrefix(next(), "TIME "))
	assert.Contains(t, next(), "number 1")
	for n := 2; n < 5; n++ {
		put(n)
		assert.Contains(t, next(), fmt.Sprintf("number %d", n))
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	assert.False(t, lines.Scan(), "each once")
	require.NoError(t, cmd.Wait())
}
