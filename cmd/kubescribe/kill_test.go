package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	progressOf = regexp.MustCompile(`^observed (\d+)  enriched (\d+)  documents (\d+)`)
	searchAt   = regexp.MustCompile(`search at http://`)
)

// Every revision is stored once and every alert raised once, however often the process is killed on the way.
func TestLocalSurvivesKills(t *testing.T) {
	const revisions, kills = 4000, 8
	file := generate(t, revisions)
	whole := t.TempDir()
	want := runLocalOnce(t, file, whole)
	require.EqualValues(t, revisions, want.Documents)
	// Across graceful stops the topics repeat nothing either.
	second := runLocalOnce(t, file, whole)
	assert.Zero(t, second.Enriched, "nothing was left to do")
	assert.Equal(t, want.Alerts, second.Alerts)
	require.NotEmpty(t, want.Alerts, "the recording must raise alerts for this test to see one too many")

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	inFlight := 0
	for range kills {
		if killLocal(t, file, dir, random.IntN(3), 1+random.Int64N(revisions/kills)) {
			inFlight++
		}
	}
	require.Positive(t, inFlight, "no kill came while records were on their way")
	t.Logf("kills=%d in_flight=%d", kills, inFlight)

	got := runLocalOnce(t, file, dir)
	assert.EqualValues(t, revisions, got.Observed)
	assert.EqualValues(t, revisions, got.Documents, "documents are neither lost nor doubled")
	assert.Zero(t, got.Deadlettered)
	assert.Equal(t, want.Alerts, got.Alerts, "the same alerts as without kills")

	again := runLocalOnce(t, file, dir)
	assert.Zero(t, again.Enriched, "a kill repeats what was on its way, and nothing in later runs")
	assert.EqualValues(t, revisions, again.Documents)
	assert.Equal(t, want.Alerts, again.Alerts)
}

func localCommand(ctx context.Context, file, dir string) *exec.Cmd {
	return exec.CommandContext(ctx, "kubescribe", "local", "--replay", file, "--once", "--data-dir", dir, "-o", "json", "--progress", "5ms")
}

func runLocalOnce(t *testing.T, file, dir string) (s summary) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := localCommand(ctx, file, dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", tail(stderr.String()))
	require.NoError(t, json.Unmarshal(out, &s))
	return s
}

// killLocal kills a run with SIGKILL as soon as a number of its progress line (0 observed, 1 enriched, 2 documents) has reached
// at. It says whether records were on their way at that instant.
func killLocal(t *testing.T, file, dir string, number int, at int64) (inFlight bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := localCommand(ctx, file, dir)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var last [3]int64
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		m := progressOf.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		for i := range last {
			last[i], err = strconv.ParseInt(m[i+1], 10, 64)
			require.NoError(t, err)
		}
		if last[number] >= at {
			break
		}
	}
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	return last[0] != last[2] || last[1] != last[2]
}

// tail is the end of a log.
func tail(s string) string { return s[max(0, len(s)-2000):] }
