package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestCases runs every end-to-end test on the real stack with a freshly built binary: first those that need the machine for
// themselves, then the others, as many at a time as -parallel says. Most of their time they wait.
func TestCases(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the end-to-end tests need the real stack")
	}
	binary := filepath.Join(t.TempDir(), "kubescribe")
	if out, err := exec.Command("go", "build", "-o", binary, "kubescribe/cmd/kubescribe").CombinedOutput(); err != nil {
		t.Fatalf("building the binary: %v\n%s", err, out)
	}
	run := func(t *testing.T, c Case) {
		dir, err := os.MkdirTemp("", "kubescribe-e2e-"+c.Name+"-")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
		defer cancel()
		if err := Do(ctx, c, binary, dir, t.Output(), t.Output()); err != nil {
			t.Fatal(err)
		}
		_ = os.RemoveAll(dir)
	}
	for _, c := range Cases() {
		if c.Alone {
			t.Run(c.Name, func(t *testing.T) { run(t, c) })
		}
	}
	for _, c := range Cases() {
		if !c.Alone {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				run(t, c)
			})
		}
	}
}

// A comparison that can't fail proves nothing.
func TestCompareSeesEveryFault(t *testing.T) {
	missing, extra, twice := compare(map[string]bool{"a": true, "b": true}, map[string]int{"b": 2, "c": 1})
	if len(missing) != 1 || missing[0] != "a" || len(extra) != 1 || extra[0] != "c" || twice != 1 {
		t.Fatalf("missing %v, extra %v, twice %d", missing, extra, twice)
	}
}

func TestLatencyLeavesOutKillWindows(t *testing.T) {
	at := time.Unix(1000, 0)
	s := &spineRun{
		load:  &load{},
		ref:   &reference{clusterUID: "c"},
		found: &watcher{seen: map[string]time.Time{}},
	}
	for i, seconds := range []int{1, 2, 60} {
		w := written{uid: "u", rv: string(rune('1' + i)), at: at.Add(time.Duration(i) * 100 * time.Second)}
		s.load.done = append(s.load.done, w)
		s.found.seen[s.id(w)] = w.at.Add(time.Duration(seconds) * time.Second)
	}
	if p99, n := s.latency(); p99 != time.Minute || n != 3 {
		t.Fatalf("without windows: p99 %s of %d", p99, n)
	}
	s.windows = []window{{at.Add(230 * time.Second), at.Add(240 * time.Second)}}
	if p99, n := s.latency(); p99 != 2*time.Second || n != 2 {
		t.Fatalf("with a window over the slow one: p99 %s of %d", p99, n)
	}
}

func TestResultLine(t *testing.T) {
	got := Figures{{"records", 3}, {"p99_s", 1.239}}.Line("spine")
	if want := "spine: records=3 p99_s=1.24"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}
