package rule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/rule"
	"kubescribe/schemas"
)

func TestPolicy(t *testing.T) {
	set := load(t, `
groups:
- name: g
  rules:
  - alert: NodeNotReady
    expr: kind == "Node"
    resolve: {after: 30m, when: 'kind == "Node" and reason == "NodeReady"'}
    inhibit:
    - {alerts: [CrashLoop, "Pod*"], equal: [node]}
  - alert: CrashLoop
    expr: kind == "Pod"
    storm: {by: [workload], more_than: 5}
  - alert: PodQuiet
    expr: kind == "Pod"
    storm: none
`)
	node, crash, quiet := set.Rules[0], set.Rules[1], set.Rules[2]
	assert.Equal(t, `kind == "Node" and reason == "NodeReady"`, node.ResolveWhen)
	assert.Equal(t, []schemas.Inhibit{{Alerts: []string{"CrashLoop", "Pod*"}, Equal: []string{"node"}}}, node.Policy.Inhibit)
	assert.Nil(t, node.Policy.Storm, "as by default")
	assert.Equal(t, &schemas.Storm{By: []string{"workload"}, MoreThan: 5, Within: 5 * time.Minute}, crash.Policy.Storm)
	assert.Equal(t, &schemas.Storm{}, quiet.Policy.Storm)
}

func TestScopeByNamespaceLabels(t *testing.T) {
	scoped := func(scope string) int {
		d := pod("x")
		d.Kubernetes.NamespaceLabels = map[string]string{"team": "checkout", "tier": ""}
		m, _ := rule.NewMatcher(load(t, "groups: [{name: g, rules: [{alert: A, expr: 'true', scope: "+scope+"}]}]")).Match(d)
		return len(m)
	}
	assert.Equal(t, 1, scoped("{namespace_labels: {team: checkout}}"))
	assert.Equal(t, 1, scoped("{namespace_labels: {team: 'ch*', tier: '*'}}"))
	assert.Equal(t, 0, scoped("{namespace_labels: {team: checkout, zone: '*'}}"), "all must be there")
	assert.Equal(t, 0, scoped("{namespace_labels: {team: other}}"))
}

func TestScopeFleet(t *testing.T) {
	set := load(t, `
groups:
- name: g
  rules:
  - {alert: Everywhere, expr: 'true', scope: fleet, group_by: [image]}
  - {alert: Each, expr: 'true', scope: {fleet: true, clusters: [p*]}, group_by: [cluster]}
  - {alert: Other, expr: 'true', scope: {fleet: true, clusters: [q*]}}
`)
	matches, failed := rule.NewMatcher(set).Match(pod("x"))
	require.Empty(t, failed)
	require.Len(t, matches, 2)
	for _, m := range matches {
		assert.Equal(t, schemas.Fleet, m.Cluster)
		assert.Equal(t, "prod", m.Evidence.Cluster)
		require.NoError(t, m.Validate())
	}
	assert.NotContains(t, matches[0].Labels, "cluster")
	assert.Equal(t, "prod", matches[1].Labels["cluster"])
	assert.Error(t, schemas.ValidateClusterName(schemas.Fleet), "no cluster can have this name")
}

func TestLanguage(t *testing.T) {
	for expr, want := range map[string]bool{
		`normalise("took 15s") == "took #"`:                                     true,
		`normalise(message) == message`:                                         true,
		`duration("1d") == duration("24h") and duration("1w") > duration("6d")`: true,
		`time - date("2026-11-20") > duration("9h")`:                            true,
		`time - date("2026-11-20") > duration("11h")`:                           false,
		`namespace_labels.team == ""`:                                           true,
		`duration(reason == "" ? "x" : "5m") == duration("5m")`:                 true,
	} {
		m, failed := rule.NewMatcher(load(t, one(expr))).Match(pod("BackOff"))
		require.Empty(t, failed, expr)
		assert.Equal(t, want, len(m) == 1, expr)
	}
}

func TestResolveWhen(t *testing.T) {
	set := load(t, `
groups:
- name: g
  rules:
  - alert: Probe
    expr: reason == "Unhealthy" or reason == "Both"
    resolve: {after: 1h, when: 'reason in ["Started", "Both"] and kind == "Pod"'}
    group_by: [namespace, workload]
    labels: {severity: page}
    annotations: {summary: "{{ .Name }}"}
`)
	m := rule.NewMatcher(set)
	kinds := map[string][]bool{}
	for _, reason := range []string{"Unhealthy", "Started", "Both", "Other"} {
		matches, failed := m.Match(pod(reason))
		require.Empty(t, failed)
		for _, match := range matches {
			kinds[reason] = append(kinds[reason], match.Resolves)
			require.NoError(t, match.Validate())
		}
	}
	assert.Equal(t, map[string][]bool{"Unhealthy": {false}, "Started": {true}, "Both": {false}}, kinds)
	begin, _ := m.Match(pod("Unhealthy"))
	end, _ := m.Match(pod("Started"))
	assert.Equal(t, begin[0].Fingerprint, end[0].Fingerprint)
	assert.NotEqual(t, begin[0].ID, end[0].ID)
}
