package alerter_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter"
)

// health remembers the last reason of each component.
type health struct {
	mu      sync.Mutex
	reasons map[string]string
}

func (h *health) Set(component, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reasons[component] = reason
}

func (h *health) of(component string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reasons[component]
}

func oneRule(name, reason string) string {
	return "groups: [{name: g, rules: [{alert: " + name + ", expr: 'reason == \"" + reason + "\"', group_by: [name]}]}]\n"
}

func write(t *testing.T, text string, path ...string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(path...), []byte(text), 0o600))
}

// firedBy produces a document of this reason and waits for its alert.
func (w world) firedBy(t *testing.T, reason string) string {
	t.Helper()
	id := reason + time.Now().String()
	w.produce(t, document("prod", id, reason, id, epoch))
	var rule string
	eventually(t, "an alert of "+reason, func() bool {
		for _, a := range w.alerts(t) {
			if a.Labels["name"] == id {
				rule = a.Rule
			}
		}
		return rule != ""
	})
	return rule
}

func TestHotReload(t *testing.T) {
	t.Parallel()
	w := fakeWorld(t, "prod")
	cfg := config(t, oneRule("First", "One"), newWebhook(t))
	cfg.ReloadInterval = time.Hour // what changes must be seen by watching
	d := testDeps(t)
	h := &health{reasons: map[string]string{}}
	reg := prometheus.NewRegistry()
	d.Health, d.Metrics = h, reg
	w.start(t, cfg, d)
	assert.Equal(t, "First", w.firedBy(t, "One"))

	write(t, oneRule("Second", "Two"), cfg.Rules, "more.yaml")
	eventually(t, "two rules", func() bool { return gauge(t, reg, "kubescribe_alerter_rules") == 2 })
	assert.Equal(t, "Second", w.firedBy(t, "Two"))

	write(t, oneRule("Third", "Two")+"x: y\n", cfg.Rules, "more.yaml")
	eventually(t, "the problem in health", func() bool { return strings.Contains(h.of("alerter/rules"), "more.yaml:2:1: file: unknown key") })
	assert.Zero(t, gauge(t, reg, "kubescribe_alerter_rules_good"))
	assert.EqualValues(t, 2, gauge(t, reg, "kubescribe_alerter_rules"))
	assert.Equal(t, "Second", w.firedBy(t, "Two"), "the last good set runs, the good files of a bad set don't")

	require.NoError(t, os.MkdirAll(filepath.Join(cfg.Rules, "team"), 0o700))
	require.NoError(t, os.Rename(filepath.Join(cfg.Rules, "more.yaml"), filepath.Join(cfg.Rules, "team", "more.yaml")))
	write(t, oneRule("Third", "Two"), cfg.Rules, "team", "more.yaml")
	eventually(t, "the problem's end", func() bool { return gauge(t, reg, "kubescribe_alerter_rules_good") == 1 })
	assert.Empty(t, h.of("alerter/rules"))
	assert.Equal(t, "Third", w.firedBy(t, "Two"))

	require.NoError(t, os.RemoveAll(cfg.Rules))
	eventually(t, "the folder's loss in health", func() bool { return strings.Contains(h.of("alerter/rules"), "no such file") })
	assert.Equal(t, "Third", w.firedBy(t, "Two"))
}

// TestReloadFollowsLinks swaps links as git-sync and the kubelet (for a ConfigMap) do.
func TestReloadFollowsLinks(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	revision := func(name, rule string) {
		require.NoError(t, os.MkdirAll(filepath.Join(root, "worktrees", name, "rules"), 0o700))
		write(t, oneRule(rule, "One"), root, "worktrees", name, "rules", "r.yaml")
		require.NoError(t, os.Symlink(filepath.Join("worktrees", name), filepath.Join(root, "next")))
		require.NoError(t, os.Rename(filepath.Join(root, "next"), filepath.Join(root, "current")))
	}
	revision("a", "First")
	w := fakeWorld(t, "prod")
	cfg := config(t, "", newWebhook(t))
	cfg.Rules, cfg.ReloadInterval = filepath.Join(root, "current", "rules"), time.Hour
	w.start(t, cfg, testDeps(t))
	assert.Equal(t, "First", w.firedBy(t, "One"))
	for _, name := range []string{"b", "c"} {
		revision(name, "Next_"+name)
		eventually(t, "revision "+name, func() bool { return w.firedBy(t, "One") == "Next_"+name })
	}
}

func TestBrokenRulesAreAnErrorAtStart(t *testing.T) {
	cfg := config(t, oneRule("A", "x")+"y: z\n", newWebhook(t))
	write(t, "groups: [{name: g, rules: [{alert: B, expr: 'true', notify: [nobody]}]}]", cfg.Rules, "b.yaml")
	// No broker is asked for anything: there is none.
	err := alerter.Run(context.Background(), cfg, world{}.kafka, testDeps(t))
	assert.ErrorContains(t, err, "rules.yaml:2:1: file: unknown key \"y\"")
	assert.ErrorContains(t, err, "b.yaml:1:62: notify: receiver \"nobody\" is not configured: known are hook")

	report := alerter.Check(os.DirFS(cfg.Rules), nil)
	assert.Len(t, report.Problems, 1, "without a configuration every receiver may be named")
	assert.Equal(t, 2, report.Files)
}

func TestConfigReportsEverything(t *testing.T) {
	cfg := config(t, "", newWebhook(t))
	require.NoError(t, cfg.Validate())
	require.NoError(t, alerter.Default().Validate())
	cfg.Match, cfg.Decide, cfg.Notify, cfg.ReloadInterval, cfg.TickInterval = false, false, false, 0, 0
	cfg.Receivers = append(cfg.Receivers, cfg.Receivers[0])
	cfg.DefaultReceivers = []string{"none"}
	err := cfg.Validate()
	for _, want := range []string{"alerter.match", "alerter.reload_interval", "alerter.tick_interval", `alerter.receivers[1].name: "hook" is there twice`, `alerter.default_receivers: "none"`} {
		assert.ErrorContains(t, err, want)
	}
	cfg.Match, cfg.Rules = true, ""
	assert.ErrorContains(t, cfg.Validate(), "alerter.rules is empty")
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestMetricsAreWellFormed lints the names and help texts of what a run exports.
func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	w := fakeWorld(t, "prod")
	d := testDeps(t)
	reg := prometheus.NewRegistry()
	d.Metrics = reg
	stop := w.start(t, config(t, oneRule("A", "One"), newWebhook(t)), d)
	w.firedBy(t, "One")
	eventually(t, "the commit's metrics", func() bool {
		n, err := testutil.GatherAndCount(reg, "kubescribe_alerter_alerts_total", "kubescribe_alerter_matches_total", "kubescribe_alerter_decisions_total", "kubescribe_alerter_notifications_total")
		require.NoError(t, err)
		return n == 4
	})
	require.NoError(t, stop())
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	for _, p := range problems {
		assert.NotContains(t, p.Metric, "kubescribe_alerter_", p.Text)
	}
}
