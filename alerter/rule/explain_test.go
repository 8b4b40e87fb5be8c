package rule_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/rule"
)

func TestExplain(t *testing.T) {
	set, report := rule.Load(fstest.MapFS{"a.yaml": {Data: []byte(`
groups:
- name: g
  rules:
  - {alert: A, expr: 'reason == "BackOff" and (kind == "Node" or not (labels["app"] == "x")) and any(owners, .kind == "ReplicaSet")', group_by: [kind], count: {at_least: 3, within: 5m}, dedup: 1h}
  - {alert: B, expr: 'reason == "BackOff" ? count > 5 : true', dedup: 1h, scope: {namespaces: [other]}}
  - {alert: C, expr: reason == "x", dedup: 1h, resolve: {after: 1h, when: reason == "BackOff"}}
  - {alert: D, expr: 'owners[7].kind == "x"', dedup: 1h}
`)}}, rule.Options{})
	require.NoError(t, report.Err())
	d := pod("BackOff")
	d.Kubescribe.Owners = nil
	all := set.Explain(d)
	require.Len(t, all, 4)

	a := all[0]
	assert.False(t, a.Matched)
	require.Equal(t, "and", a.Expr.Op)
	require.Len(t, a.Expr.Parts, 3, "a chain is one list")
	assert.True(t, a.Expr.Parts[0].Met)
	assert.Equal(t, []rule.Value{{Field: "reason", Value: "BackOff"}}, a.Expr.Parts[0].Values)
	or := a.Expr.Parts[1]
	assert.True(t, or.Met)
	assert.Equal(t, "or", or.Op)
	assert.False(t, or.Parts[0].Met)
	assert.Equal(t, "not", or.Parts[1].Op)
	assert.True(t, or.Parts[1].Met)
	assert.False(t, a.Expr.Parts[2].Met, "this is why")

	assert.Contains(t, all[1].Scope, "scope")
	assert.Empty(t, all[1].Expr.Op, "what is no and, or, not is a whole")
	assert.True(t, all[2].Resolves)
	assert.False(t, all[2].Matched)
	assert.NotEmpty(t, all[3].Expr.Error)

	// It agrees with the matcher.
	for _, reason := range []string{"BackOff", "x", "y"} {
		d := pod(reason)
		matches, _ := rule.NewMatcher(set).Match(d)
		got := map[string]bool{}
		for _, m := range matches {
			got[m.Rule] = !m.Resolves
		}
		for _, e := range set.Explain(d) {
			fires, any := got[e.Rule]
			assert.Equal(t, fires, e.Matched, "%s of %s", e.Rule, reason)
			assert.Equal(t, any && !fires, e.Resolves, "%s of %s", e.Rule, reason)
		}
	}
}
