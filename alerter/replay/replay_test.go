package replay_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/replay"
	"kubescribe/alerter/rule"
	"kubescribe/schemas"
)

var epoch = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func load(t *testing.T) *rule.Set {
	t.Helper()
	set, report := rule.Load(fstest.MapFS{"a.yaml": {Data: []byte(`
groups:
- name: g
  rules:
  - {alert: Crash, expr: reason == "BackOff", group_by: [workload], count: {at_least: 2, within: 5m}, dedup: 1h, resolve: {after: 10m}, storm: none}
  - {alert: Broken, expr: 'reason == "Broken" and owners[3].kind == "x"', dedup: 1h}
`)}}, rule.Options{})
	require.NoError(t, report.Err())
	return set
}

func document(t *testing.T, reason, workload string, at time.Time) []byte {
	t.Helper()
	d := &schemas.Document{Timestamp: at}
	d.Event.ID, d.Event.Action, d.Event.Created = fmt.Sprint(workload, reason, at.Unix()), reason, at
	d.Orchestrator.Cluster.Name = "c"
	d.Kubescribe.Type, d.Kubescribe.Class = schemas.TypeEvent, schemas.ClassWarning
	d.Kubescribe.Workload = &schemas.Owner{Kind: "Deployment", Name: workload}
	b, err := d.Encode()
	require.NoError(t, err)
	return b
}

// TestRun plays two loops of each of three workloads, which end by quiet: the first in the midst, the second at the end of the time.
func TestRun(t *testing.T) {
	type entry struct {
		value []byte
		at    time.Time
	}
	var all []entry
	for w := range 3 {
		for _, minute := range []int{0, 1, 2, 30, 31} {
			at := epoch.Add(time.Duration(minute)*time.Minute + time.Duration(w)*time.Second)
			all = append(all, entry{document(t, "BackOff", fmt.Sprint("w", w), at), at})
		}
	}
	all = append(all, entry{document(t, "Broken", "w9", epoch), epoch}, entry{[]byte("{"), epoch})
	var want replay.Report
	rng := rand.New(rand.NewPCG(1, 2))
	for try := range 5 {
		r := replay.NewRun(load(t), []string{"default"}, epoch, epoch.Add(2*time.Hour))
		for _, e := range all {
			r.Add(e.value, e.at)
		}
		got := r.End()
		if try == 0 {
			want = got
		}
		assert.Equal(t, want, got, "the order in which documents are read leaves no trace")
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	assert.Equal(t, 16, want.Documents)
	assert.Equal(t, 1, want.Undecodable)
	assert.Equal(t, 15, want.Matches)
	assert.Equal(t, 1, want.Failures)
	assert.Equal(t, 6, want.Pages)
	assert.Equal(t, []replay.Hour{{Hour: epoch, Rule: "Crash", Pages: 6}}, want.Hours)
	require.Len(t, want.Alerts, 12)
	for _, a := range want.Alerts {
		assert.Equal(t, []string{"default"}, a.Receivers)
		if a.Status == schemas.AlertResolved {
			assert.Contains(t, []int{2, 31}, a.EndsAt.Minute(), "it ends with its last event, not with the quiet time")
		}
	}
}

// TestTimersRunInOrder: what is due first comes first, each at its own time, however long nobody looked.
func TestTimersRunInOrder(t *testing.T) {
	p := replay.NewPlayer(load(t), nil)
	for w := range 3 {
		for i := range 2 {
			at := epoch.Add(time.Duration(w)*time.Minute + time.Duration(i)*time.Second)
			d, err := schemas.DecodeDocument(document(t, "BackOff", fmt.Sprint("w", 2-w), at))
			require.NoError(t, err)
			p.Take(d, at)
		}
	}
	require.Len(t, p.States(), 3)
	ended := p.Advance(epoch.Add(time.Hour))
	require.Len(t, ended, 3)
	for i, a := range ended {
		assert.Equal(t, fmt.Sprint("Deployment/w", 2-i), a.Labels["workload"])
		assert.WithinDuration(t, epoch.Add(time.Duration(i)*time.Minute+time.Second+10*time.Minute), a.At, time.Second)
	}
	assert.Empty(t, p.Advance(epoch.Add(2*time.Hour)))
	p.Advance(epoch.Add(24 * time.Hour))
	assert.Empty(t, p.States(), "what is over is forgotten")
}
