package decision_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/decision"
	"kubescribe/schemas"
)

var (
	epoch = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	wall  = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
)

func policy(atLeast int64, within, dedup, resolve time.Duration) schemas.Policy {
	return schemas.Policy{AtLeast: atLeast, Within: within, Dedup: dedup, ResolveAfter: resolve}
}

func match(id string, after time.Duration, p schemas.Policy) *schemas.Match {
	at := epoch.Add(after)
	return &schemas.Match{
		ID: id + "/r", EventID: id, Cluster: "c", Rule: "r", RuleHash: "h1", Fingerprint: "f", Time: at, ObservedAt: at, Occurrences: 1, Policy: p,
		Labels: map[string]string{"alertname": "r"}, Annotations: map[string]string{"from": id}, Receivers: []string{"team"},
		Evidence: schemas.Evidence{ID: id, Time: at},
	}
}

// history applies steps like "a@0m" (a match), "h2:a@0m" (of another rule text), "a@0m*3" (three occurrences) and "+5m" (the wall
// clock moves and timers run), and writes down what came of it.
func history(t *testing.T, p schemas.Policy, steps string) (string, schemas.AlertState) {
	t.Helper()
	var s schemas.AlertState
	var out []string
	now := wall
	for step := range strings.FieldsSeq(steps) {
		var r decision.Result
		if d, ok := strings.CutPrefix(step, "+"); ok {
			now = now.Add(duration(t, d))
			if s.Fingerprint == "" {
				continue
			}
			r = decision.Expire(s, now)
		} else {
			hash, rest, ok := strings.Cut(step, ":")
			if !ok {
				hash, rest = "h1", step
			}
			rest, resolves := strings.CutPrefix(rest, "!")
			id, at, ok := strings.Cut(rest, "@")
			require.True(t, ok, step)
			at, n, many := strings.Cut(at, "*")
			m := match(id, duration(t, at), p)
			m.RuleHash, m.Resolves = hash, resolves
			if hash != "h1" {
				m.Receivers = []string{"other"}
			}
			if many {
				_, err := fmt.Sscan(n, &m.Occurrences)
				require.NoError(t, err)
			}
			before := s
			r = decision.Decide(s, m, now)
			if !r.Changed && before.Fingerprint != "" {
				assert.Equal(t, before, r.State, "unchanged means unchanged")
			}
		}
		line := string(r.Reason)
		for _, a := range r.Alerts {
			line += fmt.Sprintf(" %s#%d(%s", a.Status, a.Seq, a.StartsAt.Sub(epoch))
			if !a.EndsAt.IsZero() {
				line += fmt.Sprintf("-%s", a.EndsAt.Sub(epoch))
			}
			line += fmt.Sprintf(" n=%d)", a.Count)
			require.NoError(t, a.Validate())
		}
		if r.Changed && r.Reason != decision.Forgotten {
			require.NoError(t, r.State.Validate())
		}
		out = append(out, line)
		s = r.State
	}
	return strings.Join(out, "; "), s
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	require.NoError(t, err)
	return d
}

func TestDecide(t *testing.T) {
	one := policy(1, 0, time.Hour, 10*time.Minute)
	three := policy(3, 5*time.Minute, time.Hour, 10*time.Minute)
	for _, tt := range []struct {
		name   string
		policy schemas.Policy
		steps  string
		want   string
	}{
		{"the first match fires", one, "a@0m", "fired firing#0(0s n=1)"},
		{"more of it is held", one, "a@0m b@1m c@2m", "fired firing#0(0s n=1); held; held"},
		{
			"the dedup time is event time", policy(1, 0, 5*time.Minute, 10*time.Minute), "a@0m b@4m c@5m d@9m e@10m",
			"fired firing#0(0s n=1); held; repeated repeated#1(0s n=3); held; repeated repeated#2(0s n=5)",
		},
		{"a repeated record changes nothing", one, "a@0m a@0m b@1m a@0m b@1m", "fired firing#0(0s n=1); known; held; known; known"},
		{"too few don't fire", three, "a@0m b@1m", "counted; counted"},
		{"enough fire, from the first of them", three, "a@0m b@1m c@2m", "counted; counted; fired firing#0(0s n=3)"},
		{"exactly the window is within", three, "a@0m b@1m c@5m", "counted; counted; fired firing#0(0s n=3)"},
		{"beyond the window is not", three, "a@0m b@1m c@6m1s", "counted; counted; counted"},
		{"the window slides", three, "a@0m b@4m c@8m d@8m30s", "counted; counted; counted; fired firing#0(4m0s n=3)"},
		{"repeats don't fill the window", three, "a@0m a@0m a@0m b@1m b@1m", "counted; known; known; counted; known"},
		{"occurrences count", three, "a@0m*2 b@1m*5", "counted; fired firing#0(0s n=7)"},
		{"out of order within the window", three, "c@2m a@0m b@1m", "counted; counted; fired firing#0(0s n=3)"},
		{"a late one completes an earlier window", three, "a@0m b@3m d@6m c@4m", "counted; counted; counted; fired firing#0(0s n=4)"},
		{"late while firing moves the start", one, "b@1m a@0m +20m", "fired firing#0(1m0s n=1); held; resolved resolved#1(0s-1m0s n=2)"},
		{"too late while firing is left out", one, "b@10m a@7m59s", "fired firing#0(10m0s n=1); late"},
		{"long late while pending counts", three, "d@50m a@0m b@1m c@2m", "counted; counted; counted; fired firing#0(0s n=4)"},
		{"quiet by the clock resolves at the last evidence", one, "a@0m b@3m +9m +2m", "fired firing#0(0s n=1); held; waiting; resolved resolved#1(0s-3m0s n=2)"},
		{
			"quiet by event time resolves alike, first", one, "a@0m b@3m c@14m",
			"fired firing#0(0s n=1); held; fired resolved#1(0s-3m0s n=2) firing#0(14m0s n=1)",
		},
		{"resolved once", one, "a@0m +11m +11m +11m", "fired firing#0(0s n=1); resolved resolved#1(0s-0s n=1); waiting; waiting"},
		{"a repeat after the resolve starts nothing", one, "a@0m b@1m +11m a@0m b@1m", "fired firing#0(0s n=1); held; resolved resolved#1(0s-1m0s n=2); known; known"},
		{"a straggler after the resolve starts nothing", one, "b@1m +11m a@0m", "fired firing#0(1m0s n=1); resolved resolved#1(1m0s-1m0s n=1); late"},
		{"new evidence after the resolve fires anew", one, "a@0m +11m b@20m", "fired firing#0(0s n=1); resolved resolved#1(0s-0s n=1); fired firing#0(20m0s n=1)"},
		{
			"what fired once does not count again", three, "a@0m b@1m c@2m +11m d@3m e@4m f@5m",
			"counted; counted; fired firing#0(0s n=3); resolved resolved#1(0s-2m0s n=3); counted; counted; fired firing#0(3m0s n=3)",
		},
		{"a changed rule counts anew", three, "a@0m b@1m h2:c@2m h2:d@3m h2:e@4m", "counted; counted; counted; counted; fired firing#0(2m0s n=3)"},
		{"a changed rule does not fire again", one, "a@0m h2:b@1m", "fired firing#0(0s n=1); held"},
		{"pending is forgotten after long", three, "a@0m +5h +2h", "counted; waiting; forgotten"},
		{"resolved is forgotten after long", one, "a@0m +11m +5h +2h", "fired firing#0(0s n=1); resolved resolved#1(0s-0s n=1); waiting; forgotten"},
		{"a document resolves at its time", one, "a@0m !b@3m +20m", "fired firing#0(0s n=1); ended resolved#1(0s-3m0s n=1); waiting"},
		{"it resolves once", one, "a@0m !b@3m !b@3m !c@4m", "fired firing#0(0s n=1); ended resolved#1(0s-3m0s n=1); idle; idle"},
		{"with nothing to resolve it is nothing", one, "!b@3m a@0m", "idle; fired firing#0(0s n=1)"},
		{"an old one does not resolve what is newer", one, "a@0m b@5m !c@3m", "fired firing#0(0s n=1); held; late"},
		{"what came before the resolve starts nothing", one, "a@0m !b@3m c@2m d@3m", "fired firing#0(0s n=1); ended resolved#1(0s-3m0s n=1); late; late"},
		{"what comes after the resolve fires anew", one, "a@0m !b@3m c@4m", "fired firing#0(0s n=1); ended resolved#1(0s-3m0s n=1); fired firing#0(4m0s n=1)"},
		{"the resolve of an earlier firing is known", one, "a@0m !b@3m c@3m1s !b@3m", "fired firing#0(0s n=1); ended resolved#1(0s-3m0s n=1); fired firing#0(3m1s n=1); known"},
		{"a resolve clears what was counted", three, "a@0m b@1m !c@2m d@3m e@4m f@4m30s", "counted; counted; cleared; counted; counted; fired firing#0(3m0s n=3)"},
		{"but not what is newer than it", three, "a@0m b@3m !c@2m d@4m e@4m30s", "counted; counted; cleared; counted; fired firing#0(3m0s n=3)"},
		{"and comes back without effect", three, "a@0m !c@2m !c@2m !d@2m b@3m", "counted; cleared; known; idle; counted"},
		{"without a resolve time it is the dedup time", policy(1, 0, time.Hour, 0), "a@0m +59m +2m", "fired firing#0(0s n=1); waiting; resolved resolved#1(0s-0s n=1)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := history(t, tt.policy, tt.steps)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestDecideTellsOldReceiversOfTheEnd(t *testing.T) {
	_, s := history(t, policy(1, 0, time.Hour, time.Minute), "a@0m h2:b@1m")
	assert.Equal(t, []string{"other", "team"}, s.Receivers)
	assert.Equal(t, "h2", s.RuleHash)
}

func TestDecideTakesTheNewestMatchsWords(t *testing.T) {
	_, s := history(t, policy(1, 0, time.Hour, time.Hour), "a@0m c@2m b@1m")
	assert.Equal(t, "c", s.Annotations["from"])
	assert.Equal(t, epoch.Add(2*time.Minute), s.LastAt)
}

func TestDecideBoundsTheState(t *testing.T) {
	p := policy(1, 0, time.Hour, time.Hour)
	var s schemas.AlertState
	for i := range 3000 {
		s = decision.Decide(s, match(fmt.Sprint("e", i), time.Duration(i)*time.Millisecond, p), wall).State
	}
	assert.Len(t, s.Window, decision.MaxWindow)
	assert.Len(t, s.Evidence, 5)
	assert.Equal(t, "e0", s.Evidence[0].ID)
	assert.Equal(t, "e2999", s.Evidence[4].ID)
	assert.EqualValues(t, 3000, s.Count)
	r := decision.Decide(s, match("e7", 7*time.Millisecond, p), wall)
	assert.Equal(t, decision.Late, r.Reason, "one whose id is forgotten must not count again")
}

func TestDecideLeavesItsInputAlone(t *testing.T) {
	p := policy(3, 5*time.Minute, time.Hour, 10*time.Minute)
	_, s := history(t, p, "a@0m b@2m")
	kept := s
	kept.Window = append([]schemas.WindowEntry(nil), s.Window...)
	kept.Evidence = append([]schemas.Evidence(nil), s.Evidence...)
	first := decision.Decide(s, match("c", time.Minute, p), wall)
	second := decision.Decide(s, match("c", time.Minute, p), wall)
	decision.Decide(first.State, match("z", time.Hour, p), wall)
	assert.Equal(t, kept, s)
	assert.Equal(t, first, second)
}
