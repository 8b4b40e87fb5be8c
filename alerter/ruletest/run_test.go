package ruletest_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/rule"
	"kubescribe/alerter/ruletest"
)

func run(t *testing.T, files fstest.MapFS, only *regexp.Regexp) ruletest.Report {
	t.Helper()
	set, report := rule.Load(files, rule.Options{Strict: true})
	require.NoError(t, report.Err())
	return ruletest.Run(files, set, only)
}

var block = regexp.MustCompile("(?s)```yaml\n# (rules/\\S+)\n(.*?)```")

// TestGuide runs the rules and tests that the guide shows.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/rules.md")
	require.NoError(t, err)
	files := fstest.MapFS{}
	for _, m := range block.FindAllSubmatch(guide, -1) {
		files[string(m[1])] = &fstest.MapFile{Data: m[2]}
	}
	require.Len(t, files, 2)
	r := run(t, files, nil)
	assert.Empty(t, r.Problems)
	assert.Equal(t, 1, r.Tested)
}

const rules = `
groups:
- name: g
  rules:
  - {alert: Crash, expr: reason == "BackOff", group_by: [namespace, workload], dedup: 10m, resolve: {after: 1h, when: reason == "Started"}, notify: [team]}
  - {alert: Node, expr: kind == "Node" and reason == "NodeNotReady", group_by: [node], dedup: 1h, inhibit: [{alerts: [Crash], equal: [node]}]}
  - {alert: Fleet, expr: event_type == "gap" and gap.certainty == "certain", scope: fleet, dedup: 1h}
`

// TestWhatACaseCanSay uses every key once in a case that passes.
func TestWhatACaseCanSay(t *testing.T) {
	r := run(t, fstest.MapFS{"a.yaml": {Data: []byte(rules)}, "sub/a_test.yml": {Data: []byte(`
tests:
- name: repeats and ends by a document
  cluster: prod
  events:
  - {at: 0s, reason: BackOff, namespace: shop, workload: Deployment/web, node: n1}
  - {at: 11m, reason: BackOff, namespace: shop, workload: Deployment/web, node: n1}
  - {at: 12m, reason: Started, type: Normal, namespace: shop, workload: Deployment/web}
  alerts:
  - {rule: Crash, at: 0s, status: firing, labels: {cluster: prod, namespace: shop}, receivers: [team], muted: false}
  - {rule: Crash, at: 11m, status: repeated}
  - {rule: Crash, at: 12m, status: resolved, ends: 12m}
  states:
  - {at: 5m, rule: Crash, status: firing, groups: 1, labels: {workload: Deployment/web}}
  - {at: 5m, rule: Crash, status: none, labels: {workload: Deployment/api}}
  - {at: 1d, rule: Crash, status: none}
  silent: [Node, Fleet]
  pages: 2
- name: muted
  silent: [Fleet]
  events:
  - {at: 0s, object: Node/n1, reason: NodeNotReady}
  - {at: 1m, reason: BackOff, namespace: shop, workload: Deployment/web, node: n1}
  alerts:
  - {rule: Node, labels: {node: n1}}
  - {rule: Crash, muted: true}
  pages: 1
- name: over clusters, and a whole document
  silent: [Crash]
  events:
  - {at: 1h, cluster: a, gap: {certainty: certain, cause: expired, source: events, lasts: 10m}}
  - at: 61m
    document:
      "@timestamp": 2026-01-01T00:00:00Z
      orchestrator: {type: kubernetes, cluster: {name: b}}
      kubescribe: {source: events, type: gap, class: gap, gap: {certainty: certain, cause: expired, source: events}}
  alerts:
  - {rule: Fleet, at: 1h, count: 1}
  states:
  - {at: 62m, rule: Fleet, status: firing, groups: 1}
`)}}, nil)
	assert.Empty(t, r.Problems)
	assert.Len(t, r.Cases, 3)
	assert.Equal(t, 3, r.Tested)
	assert.Equal(t, 2, r.Cases[0].Pages)
}

// TestEachWrongExpectationFails changes one word of a case at a time: a test that can't fail proves nothing.
func TestEachWrongExpectationFails(t *testing.T) {
	const good = `
tests:
- name: crash
  silent: [Node]
  events:
  - {at: 5s, reason: BackOff, namespace: shop, workload: Deployment/web}
  - {at: 10m, reason: Started, namespace: shop, workload: Deployment/web}
  alerts:
  - {rule: Crash, at: 5s, starts: 5s, status: firing, count: 1, labels: {namespace: shop}, receivers: [team], muted: false}
  - {rule: Crash, at: 10m, status: resolved, ends: 10m}
  states: [{at: 1m, rule: Crash, status: firing, groups: 1}]
  pages: 1
`
	files := func(test string) fstest.MapFS {
		return fstest.MapFS{"a.yaml": {Data: []byte(rules)}, "a_test.yaml": {Data: []byte(test)}}
	}
	only := regexp.MustCompile("crash")
	require.Empty(t, run(t, files(good), only).Problems)
	for from, to := range map[string]string{
		"at: 5s, starts": "at: 3s, starts", "starts: 5s": "starts: 4s", "status: firing, count": "status: repeated, count", "count: 1": "count: 2",
		"labels: {namespace: shop}": "labels: {namespace: top}", "receivers: [team]": "receivers: [other]", "muted: false": "muted: true",
		"ends: 10m": "ends: 9m", "at: 10m, status": "at: 9m, status", "status: firing, groups": "status: pending, groups", "groups: 1": "groups: 2",
		"pages: 1": "pages: 0", "silent: [Node]": "silent: [Crash]", "reason: BackOff": "reason: Backoff", "rule: Crash, at: 10m": "rule: Node, at: 10m",
		"  - {rule: Crash, at: 10m, status: resolved, ends: 10m}\n": "",
	} {
		require.Equal(t, 1, strings.Count(good, from), from)
		r := run(t, files(strings.Replace(good, from, to, 1)), only)
		assert.NotEmpty(t, r.Problems, "%s → %s", from, to)
		for _, p := range r.Problems {
			assert.Positive(t, p.Line, p)
			assert.Equal(t, "a_test.yaml", p.File)
		}
	}
}

// TestStorm: the summary of a storm is expected like any alert.
func TestStorm(t *testing.T) {
	r := run(t, fstest.MapFS{"a.yaml": {Data: []byte(`
groups: [{name: g, rules: [{alert: Crash, expr: reason == "BackOff", group_by: [namespace, workload], dedup: 1h}]}]
`)}, "a_test.yaml": {Data: []byte(`
tests:
- name: a node on which everything crashes
  events:
  - {at: 0s, reason: BackOff, namespace: shop, workload: Deployment/a, node: n1}
  - {at: 1s, reason: BackOff, namespace: shop, workload: Deployment/b, node: n1}
  - {at: 2s, reason: BackOff, namespace: shop, workload: Deployment/c, node: n1}
  - {at: 3s, reason: BackOff, namespace: shop, workload: Deployment/d, node: n1}
  until: 1m
  alerts:
  - {rule: Crash, at: 0s, muted: false}
  - {rule: Crash, at: 1s, muted: false}
  - {rule: Crash, at: 2s, muted: true}
  - {rule: Crash, at: 3s, muted: true}
  - {rule: AlertStorm, labels: {node: n1}}
  pages: 3
`)}}, regexp.MustCompile("node"))
	assert.Empty(t, r.Problems)
}

func TestOnlyAFolderWithTestsIsTested(t *testing.T) {
	r := run(t, fstest.MapFS{"a.yaml": {Data: []byte(rules)}}, nil)
	assert.Equal(t, 3, r.Rules)
	assert.Zero(t, r.Tested)
	assert.Len(t, r.Problems, 3)
	r = run(t, fstest.MapFS{"a.yaml": {Data: []byte(rules)}, "a_test.yaml": {Data: []byte("# nothing\n")}, ".git/b_test.yaml": {Data: []byte("x")}}, nil)
	assert.Len(t, r.Problems, 4)
	assert.Contains(t, r.Problems[3].Message, "there is no case")
}
