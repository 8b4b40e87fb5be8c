package decision_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/decision"
	"kubescribe/schemas"
)

// cluster is a decider of one cluster in memory.
type cluster struct {
	t      *testing.T
	groups *decision.Groups
	now    time.Time
	alerts []schemas.Alert
	reason decision.Reason
}

func newCluster(t *testing.T) *cluster {
	return &cluster{t: t, groups: decision.NewGroups(), now: wall}
}

// take decides matches in one step.
func (c *cluster) take(matches ...*schemas.Match) {
	c.t.Helper()
	step := c.groups.Begin()
	for _, m := range matches {
		c.note(step.Take(m, c.now))
	}
	step.Commit()
}

func (c *cluster) note(o decision.Outcome) {
	c.t.Helper()
	c.reason = o.Reason
	for _, a := range o.Alerts {
		require.NoError(c.t, a.Validate())
	}
	c.alerts = append(c.alerts, o.Alerts...)
}

// pass lets time pass, and runs the timers as long as one is due.
func (c *cluster) pass(d time.Duration) {
	c.now = c.now.Add(d)
	for again := true; again; {
		again = false
		step := c.groups.Begin()
		for key, s := range c.groups.All() {
			if decision.Due(s).Before(c.now) {
				c.note(step.Expire(key, c.now))
				again = true
			}
		}
		step.Commit()
	}
}

// restart goes through what is on the topic.
func (c *cluster) restart() {
	next := decision.NewGroups()
	for key, s := range c.groups.All() {
		b, err := json.Marshal(s)
		require.NoError(c.t, err)
		read, err := schemas.DecodeAlertState(b)
		require.NoError(c.t, err)
		next.Put(key, *read)
	}
	c.groups = next
}

// sent are the alerts since the last call that have receivers, in a line each; others are counted.
func (c *cluster) sent() (lines []string, muted int) {
	seen := map[string]bool{}
	for _, a := range c.alerts {
		require.False(c.t, seen[a.ID], "%s comes twice", a.ID)
		seen[a.ID] = true
		if len(a.Receivers) == 0 {
			require.NotEmpty(c.t, a.MutedBy)
			muted++
			continue
		}
		require.Empty(c.t, a.MutedBy)
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %v", a.Rule, a.Status, a.Labels["on"], a.Receivers)))
	}
	c.alerts = nil
	return lines, muted
}

// about is a match of a rule of its own group about a pod of a workload on a node.
func about(rule, pod, workload, node string, after time.Duration, p schemas.Policy) *schemas.Match {
	m := match(fmt.Sprint(rule, pod, after), after, p)
	m.Rule, m.Labels = rule, map[string]string{"alertname": rule, "on": pod}
	m.Group = map[string]string{"name": pod}
	m.Fingerprint = schemas.Fingerprint(rule, m.Group)
	m.Annotations = map[string]string{"summary": pod + " is ill"}
	m.Evidence = schemas.Evidence{ID: m.EventID, Time: m.Time, Namespace: "shop", Object: "Pod/" + pod, Workload: workload, Node: node}
	return m
}

func TestAStormOf500PodsPagesThrice(t *testing.T) {
	one := policy(1, 0, time.Hour, 10*time.Minute)
	c := newCluster(t)
	for i := range 500 {
		pod := fmt.Sprint("web-", i)
		c.take(about("Crash", pod, "Deployment/web", fmt.Sprint("node-", i%20), time.Duration(i)*10*time.Millisecond, one))
		if i%100 == 50 {
			c.restart()
		}
		c.pass(10 * time.Millisecond)
	}
	c.pass(10 * time.Second)
	summary := c.alerts[len(c.alerts)-1]
	lines, muted := c.sent()
	assert.Equal(t, []string{"Crash firing web-0 [team]", "Crash firing web-1 [team]", "AlertStorm firing  [team]"}, lines)
	assert.Equal(t, 498, muted, "what is kept quiet is written all the same")
	assert.EqualValues(t, 500, summary.Count)
	assert.Len(t, summary.Members, decision.MaxMembers)
	assert.Equal(t, "web-0 is ill", summary.Members[0].Summary)
	assert.Equal(t, map[string]string{"namespace": "shop", "workload": "Deployment/web", "alertname": "AlertStorm"}, summary.Labels)
	assert.Equal(t, "storm: 500 alerts of namespace shop, workload Deployment/web", summary.Annotations["summary"])
	assert.Contains(t, summary.Annotations["description"], "and 480 more")

	// They go on for longer than the storm's own quiet time, and nobody is told again.
	for range 3 {
		c.now = c.now.Add(9 * time.Minute)
		at := c.now.Sub(wall)
		for i := range 500 {
			c.take(about("Crash", fmt.Sprint("web-", i), "Deployment/web", "", at, one))
		}
		c.pass(0)
	}
	lines, muted = c.sent()
	assert.Empty(t, lines)
	assert.Zero(t, muted)

	c.pass(11 * time.Minute)
	lines, muted = c.sent()
	assert.ElementsMatch(t, []string{"Crash resolved web-0 [team]", "Crash resolved web-1 [team]", "AlertStorm resolved  [team]"}, lines)
	assert.Equal(t, 498, muted)
}

func TestStormsOfOthers(t *testing.T) {
	one := policy(1, 0, time.Hour, 10*time.Minute)
	t.Run("several workloads on one node", func(t *testing.T) {
		c := newCluster(t)
		for i := range 5 {
			c.take(about("Crash", fmt.Sprint("p-", i), fmt.Sprint("Deployment/w-", i), "node-1", 0, one))
		}
		c.pass(11 * time.Second)
		lines, muted := c.sent()
		assert.Equal(t, []string{"Crash firing p-0 [team]", "Crash firing p-1 [team]", "AlertStorm firing  [team]"}, lines)
		assert.Equal(t, 3, muted)
	})
	t.Run("slowly is no storm", func(t *testing.T) {
		c := newCluster(t)
		for i := range 5 {
			c.take(about("Crash", fmt.Sprint("p-", i), "Deployment/w", "", time.Duration(i)*3*time.Minute, one))
		}
		c.pass(5 * time.Minute)
		lines, _ := c.sent()
		assert.Len(t, lines, 5)
	})
	t.Run("none is asked for", func(t *testing.T) {
		p := one
		p.Storm = &schemas.Storm{}
		c := newCluster(t)
		for i := range 5 {
			c.take(about("Crash", fmt.Sprint("p-", i), "Deployment/w", "n", 0, p))
		}
		lines, _ := c.sent()
		assert.Len(t, lines, 5)
	})
	t.Run("repeated records count once", func(t *testing.T) {
		c := newCluster(t)
		for range 5 {
			c.take(about("Crash", "p", "Deployment/w", "n", 0, one), about("Crash", "q", "Deployment/w", "n", 0, one))
		}
		lines, muted := c.sent()
		assert.Len(t, lines, 2)
		assert.Zero(t, muted)
	})
	t.Run("a receiver that joins later is told, alone", func(t *testing.T) {
		c := newCluster(t)
		for i := range 3 {
			c.take(about("Crash", fmt.Sprint("p-", i), "Deployment/w", "", 0, one))
		}
		c.pass(11 * time.Second)
		c.sent()
		m := about("Crash", "q", "Deployment/w", "", time.Second, one)
		m.Receivers = []string{"dba", "team"}
		c.take(m, about("Crash", "r", "Deployment/w", "", time.Second, one))
		lines, muted := c.sent()
		assert.Equal(t, []string{"AlertStorm repeated  [dba]"}, lines)
		assert.Equal(t, 2, muted)
		c.pass(11 * time.Minute)
		lines, _ = c.sent()
		assert.Contains(t, lines, "AlertStorm resolved  [dba team]")
	})
	t.Run("the summary of a backlog does not wait for the clock", func(t *testing.T) {
		c := newCluster(t)
		for i := range 6 {
			c.take(about("Crash", fmt.Sprint("p-", i), "Deployment/w", "", time.Duration(i)*4*time.Second, one))
		}
		lines, muted := c.sent()
		assert.Equal(t, []string{"Crash firing p-0 [team]", "Crash firing p-1 [team]", "AlertStorm firing  [team]"}, lines)
		assert.Equal(t, 4, muted)
		c.pass(11 * time.Second)
		lines, _ = c.sent()
		assert.Empty(t, lines)
	})
	t.Run("a storm that is over before its summary went out", func(t *testing.T) {
		p := policy(1, 0, time.Hour, 10*time.Minute)
		c := newCluster(t)
		for i := range 3 {
			c.take(about("Crash", fmt.Sprint("p-", i), "Deployment/w", "", 0, p))
		}
		c.take(about("Crash", "p-9", "Deployment/w", "", time.Hour, p))
		c.pass(time.Minute)
		lines, _ := c.sent()
		assert.Equal(t, []string{
			"Crash firing p-0 [team]", "Crash firing p-1 [team]", "Crash firing p-9 [team]", "AlertStorm firing  [team]", "AlertStorm resolved  [team]",
		}, lines)
	})
}

func TestInhibition(t *testing.T) {
	one := policy(1, 0, time.Hour, 30*time.Minute)
	one.Storm = &schemas.Storm{} // none, to see inhibition alone
	node := one
	node.Inhibit = []schemas.Inhibit{{Alerts: []string{"Pod*"}, Equal: []string{"node"}}}
	ready := func(after time.Duration) *schemas.Match {
		m := about("NodeNotReady", "node-1", "", "node-1", after, node)
		m.Resolves = true
		return m
	}
	c := newCluster(t)
	c.take(about("NodeNotReady", "node-1", "", "node-1", time.Minute, node))
	c.restart()
	c.take(
		about("PodCrash", "on-it", "Deployment/a", "node-1", 2*time.Minute, one),
		about("PodCrash", "just-before", "Deployment/b", "node-1", 0, one),
		about("PodCrash", "elsewhere", "Deployment/c", "node-2", 2*time.Minute, one),
		about("PodCrash", "nowhere", "Deployment/d", "", 2*time.Minute, one),
		about("OtherCrash", "other", "Deployment/e", "node-1", 2*time.Minute, one),
	)
	lines, muted := c.sent()
	assert.Equal(t, []string{
		"NodeNotReady firing node-1 [team]", "PodCrash firing elsewhere [team]", "PodCrash firing nowhere [team]", "OtherCrash firing other [team]",
	}, lines)
	assert.Equal(t, 2, muted)

	c.take(about("PodCrash", "on-it", "Deployment/a", "node-1", 3*time.Minute, one))
	assert.Equal(t, decision.Held, c.reason)
	c.take(ready(4 * time.Minute))
	lines, _ = c.sent()
	assert.Equal(t, []string{"NodeNotReady resolved node-1 [team]"}, lines)
	c.take(about("PodCrash", "on-it", "Deployment/a", "node-1", 5*time.Minute, one))
	assert.Equal(t, decision.Unmuted, c.reason)
	lines, muted = c.sent()
	assert.Equal(t, []string{"PodCrash repeated on-it [team]"}, lines, "the node is back, the pod is still ill")
	assert.Zero(t, muted)

	c.pass(31 * time.Minute)
	lines, muted = c.sent()
	assert.Len(t, lines, 4, "who was told is told of the end")
	assert.Equal(t, 1, muted, "nobody heard of just-before")
}

func TestInhibitionOfRepeats(t *testing.T) {
	node := policy(1, 0, time.Hour, 30*time.Minute)
	node.Inhibit = []schemas.Inhibit{{Alerts: []string{"PodCrash"}, Equal: []string{"node"}}}
	often := policy(1, 0, time.Minute, 30*time.Minute)
	c := newCluster(t)
	c.take(
		about("PodCrash", "p", "Deployment/a", "node-1", 0, often),
		about("NodeNotReady", "node-1", "", "node-1", time.Minute, node),
		about("PodCrash", "p", "Deployment/a", "node-1", 2*time.Minute, often),
	)
	lines, muted := c.sent()
	assert.Equal(t, []string{"PodCrash firing p [team]", "NodeNotReady firing node-1 [team]"}, lines)
	assert.Equal(t, 1, muted, "the repeat")
	c.pass(31 * time.Minute)
	lines, _ = c.sent()
	assert.Len(t, lines, 2, "its receivers are told of the end")
}
