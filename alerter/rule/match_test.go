package rule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/rule"
	"kubescribe/schemas"
)

func load(t testing.TB, text string) *rule.Set {
	t.Helper()
	set, report := rule.Load(fstest.MapFS{"rules.yaml": {Data: []byte(text)}}, rule.Options{})
	require.NoError(t, report.Err())
	return set
}

// pod is an enriched Warning about a pod.
func pod(reason string) *schemas.Document {
	d := &schemas.Document{Timestamp: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Message: "Back-off restarting failed container"}
	d.Event.ID, d.Event.Action, d.Event.Provider = "uid/0/o/1", reason, "kubelet"
	d.Event.Created = d.Timestamp.Add(time.Second)
	d.Orchestrator.Cluster.Name = "prod"
	d.Kubernetes.Namespace = "shop"
	d.Kubernetes.Node = &schemas.KubernetesName{Name: "node-1"}
	d.Kubernetes.Labels = map[string]string{"app": "web", "team": "checkout"}
	d.Kubernetes.Event = &schemas.KubernetesEvent{Type: "Warning", Reason: reason, Count: 7, InvolvedObject: schemas.Subject{Kind: "Pod", Name: "web-1-a", Namespace: "shop"}}
	d.Kubescribe.Type, d.Kubescribe.Class = schemas.TypeEvent, schemas.ClassWarning
	d.Kubescribe.Workload = &schemas.Owner{Kind: "Deployment", Name: "web"}
	d.Kubescribe.Owners = []schemas.Owner{{Kind: "ReplicaSet", Name: "web-1"}, {Kind: "Deployment", Name: "web"}}
	d.Service = &schemas.Service{Name: "web"}
	return d
}

func one(expr string) string {
	return "groups: [{name: g, rules: [{alert: A, expr: '" + strings.ReplaceAll(expr, "'", "''") + "'}]}]"
}

func TestExpressions(t *testing.T) {
	for expr, want := range map[string]bool{
		`reason == "BackOff"`:                                             true,
		`reason == "backoff"`:                                             false,
		`type == "Warning" and count > 3`:                                 true,
		`len(filter(owners, .kind == "Deployment")) == 1`:                 true,
		`workload.kind == "Deployment" and workload.name == "web"`:        true,
		`labels.team == "checkout"`:                                       true,
		`labels["app"] == "web" and labels["none"] == ""`:                 true,
		`"team" in labels and not ("none" in labels)`:                     true,
		`message matches "^Back-off .* container$"`:                       true,
		`namespace in ["shop", "other"]`:                                  true,
		`namespace in ["other"]`:                                          false,
		`cluster == "prod" and node == "node-1" and service == "web"`:     true,
		`event_type == "event" and class == "warning"`:                    true,
		`occurrences == 1`:                                                true,
		`owners[0].name == "web-1"`:                                       true,
		`time > date("2026-11-20") and time < date("2026-11-21")`:         true,
		`object == "Pod/web-1-a" and name == "web-1-a" and kind == "Pod"`: true,
		`gap.certainty == "certain"`:                                      false,
		`component == "kubelet" and annotations.x == ""`:                  true,
	} {
		m, failed := rule.NewMatcher(load(t, one(expr))).Match(pod("BackOff"))
		require.Empty(t, failed, expr)
		assert.Equal(t, want, len(m) == 1, expr)
	}
}

func TestMatch(t *testing.T) {
	set := load(t, `
groups:
- name: g
  rules:
  - alert: CrashLoop
    expr: reason == "BackOff"
    group_by: [namespace, workload, labels.team, labels.none]
    count: {at_least: 3, within: 5m}
    dedup: 1d
    resolve: {after: 10m}
    labels: {severity: page}
    notify: [team]
    annotations:
      summary: "{{ .Workload }} ({{ .Workload.Kind }}) of {{ .Labels.team }}{{ .Labels.none }}"
`)
	d := pod("BackOff")
	n := int64(4)
	d.Kubescribe.Occurrences = &n
	matches, failed := rule.NewMatcher(set).Match(d)
	require.Empty(t, failed)
	require.Len(t, matches, 1)
	m := matches[0]
	require.NoError(t, m.Validate())
	assert.Equal(t, "uid/0/o/1/CrashLoop", m.ID)
	assert.Equal(t, "uid/0/o/1", m.EventID)
	assert.Equal(t, set.Rules[0].Hash, m.RuleHash)
	assert.Equal(t, map[string]string{"namespace": "shop", "workload": "Deployment/web", "labels.team": "checkout", "labels.none": ""}, m.Group)
	assert.Equal(t, schemas.Fingerprint("CrashLoop", m.Group), m.Fingerprint)
	assert.Equal(t, map[string]string{"alertname": "CrashLoop", "cluster": "prod", "severity": "page", "namespace": "shop", "workload": "Deployment/web", "labels.team": "checkout"}, m.Labels)
	assert.Equal(t, "Deployment/web (Deployment) of checkout", m.Annotations["summary"])
	assert.Equal(t, []string{"team"}, m.Receivers)
	assert.Equal(t, schemas.Policy{AtLeast: 3, Within: 5 * time.Minute, Dedup: 24 * time.Hour, ResolveAfter: 10 * time.Minute}, m.Policy)
	assert.EqualValues(t, 4, m.Occurrences)
	assert.Equal(t, d.Timestamp, m.Time)
	assert.Equal(t, d.Event.Created, m.ObservedAt)
	assert.Equal(t, "Deployment/web", m.Evidence.Workload)
	assert.Equal(t, "Pod/web-1-a", m.Evidence.Object)
}

func TestDefaults(t *testing.T) {
	r := load(t, one("true")).Rules[0]
	assert.Equal(t, schemas.Policy{AtLeast: 1, Dedup: time.Hour, ResolveAfter: time.Hour}, r.Policy)
	assert.Equal(t, "rules.yaml", r.File)
	assert.Equal(t, 1, r.Line)
}

func TestWithoutEnrichmentTheObjectIsTheWorkload(t *testing.T) {
	d := pod("BackOff")
	d.Kubescribe.Workload, d.Kubescribe.Owners, d.Kubernetes.Node = nil, nil, nil
	d.Kubernetes.Event.Source = &schemas.EventSource{Host: "node-9"}
	m, failed := rule.NewMatcher(load(t, one(`workload.kind == "Pod" and workload.name == "web-1-a" and node == "node-9"`))).Match(d)
	assert.Empty(t, failed)
	assert.Len(t, m, 1)
}

func TestNothingNewMatchesNothing(t *testing.T) {
	d := pod("BackOff")
	d.Kubescribe.Occurrences = new(int64)
	m, failed := rule.NewMatcher(load(t, one("true"))).Match(d)
	assert.Empty(t, m)
	assert.Empty(t, failed)
}

func TestScope(t *testing.T) {
	scoped := func(scope string) int {
		set := load(t, "groups: [{name: g, rules: [{alert: A, expr: 'true', scope: {"+scope+"}}]}]")
		m, _ := rule.NewMatcher(set).Match(pod("x"))
		return len(m)
	}
	assert.Equal(t, 1, scoped("clusters: [prod], namespaces: [shop]"))
	assert.Equal(t, 1, scoped("clusters: [test, 'p*'], namespaces: ['sh?p']"))
	assert.Equal(t, 0, scoped("clusters: [test]"))
	assert.Equal(t, 0, scoped("namespaces: ['shop-*']"))
}

func TestAFailingRuleDoesNotStopOthers(t *testing.T) {
	set := load(t, `
groups:
- name: g
  rules:
  - {alert: Before, expr: "true"}
  - {alert: Broken, expr: 'owners[5].kind == "x"'}
  - {alert: Annotated, expr: "true", annotations: {ok: "{{ .Name }}", bad: '{{ if .Owners }}{{ (index .Owners 1).Kind }}{{ end }}'}}
  - {alert: After, expr: "true"}
`)
	d := pod("x")
	d.Kubescribe.Owners = d.Kubescribe.Owners[:1]
	matches, failed := rule.NewMatcher(set).Match(d)
	var names []string
	for _, m := range matches {
		names = append(names, m.Rule)
	}
	assert.Equal(t, []string{"Before", "Annotated", "After"}, names)
	assert.Equal(t, "web-1-a", matches[1].Annotations["ok"])
	assert.Contains(t, matches[1].Annotations["bad"], "out of range", "a page with a broken annotation is better than none")
	require.Len(t, failed, 2)
	assert.Equal(t, "Broken", failed[0].Rule.Name)
	assert.Equal(t, "Annotated", failed[1].Rule.Name)
}

func TestMatchesAreBounded(t *testing.T) {
	set := load(t, `
groups:
- name: g
  rules:
  - {alert: A, expr: "true", group_by: [labels.big], annotations: {m: "{{ .Message }}", loop: "{{ range 1000000000 }}ä{{ end }}"}}
`)
	d := pod("x")
	d.Message = strings.Repeat("ä", 1<<20)
	d.Kubernetes.Labels["big"] = strings.Repeat("x", 1<<20)
	d.Error = &schemas.ErrorInfo{StackTrace: strings.Repeat("line\n", 1<<18)}
	matches, failed := rule.NewMatcher(set).Match(d)
	require.Empty(t, failed)
	m := matches[0]
	assert.Len(t, m.Annotations["m"], 4096)
	assert.Len(t, m.Annotations["loop"], 4096)
	assert.Len(t, m.Group["labels.big"], 512)
	assert.Len(t, m.Evidence.Message, 1024)
	assert.LessOrEqual(t, len(m.Evidence.Log), 2048)
	assert.True(t, strings.HasPrefix(m.Evidence.Log, "line\n"))
}

func TestHash(t *testing.T) {
	base := load(t, one(`reason == "x"`)).Rules[0].Hash
	assert.Equal(t, base, load(t, "# a comment\n"+strings.Replace(one(`reason == "x"`), "expr: ", "expr:    ", 1)).Rules[0].Hash)
	for _, change := range []string{"dedup: 2h", "labels: {a: b}", "annotations: {a: b}", "notify: [x]", "group_by: [node]", "count: {at_least: 2, within: 1m}", "resolve: {after: 1m}", "scope: {clusters: [a]}"} {
		changed := load(t, strings.Replace(one(`reason == "x"`), "expr: ", change+", expr: ", 1)).Rules[0].Hash
		assert.NotEqual(t, base, changed, change)
	}
}

// TestIndexChangesNothing compares, over random rules and documents, what the indexed set matches with what the rules match alone.
func TestIndexChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	reasons := []string{"BackOff", "Failed", "Killing", "OOMKilled"}
	var condition func(depth int) string
	condition = func(depth int) string {
		switch rng.IntN(9 - min(depth*3, 3)) {
		case 0:
			return `"` + pick(reasons...) + `" == reason`
		case 1:
			return `reason == "` + pick(reasons...) + `"`
		case 2:
			return `reason in ["` + pick(reasons...) + `", "` + pick(reasons...) + `"]`
		case 3:
			return `kind == "` + pick("Pod", "Node") + `"`
		case 4:
			return pick(`type != "Normal"`, `labels.app == "web"`, `count > 6`, `node in ["node-1"]`, `name contains "web"`, `name matches "^web-[0-9]"`, `not (name endsWith "a")`, `object == "Pod/web-1-a"`, `count != 7`, `not (reason == "Failed")`, `namespace == "shop"`, `namespace startsWith "s"`, `reason == kind`)
		case 5:
			return pick(`(let r = reason; r == "Failed")`, `(kind == "Pod" ? reason == "Failed" : true)`, `any(["a"], reason == "Failed")`)
		}
		return "(" + condition(depth+1) + pick(" and ", " or ", " && ", " || ") + condition(depth+1) + ")"
	}
	var all strings.Builder
	var singles []*rule.Matcher
	all.WriteString("groups: [{name: g, rules: [")
	for i := range 300 {
		r := fmt.Sprintf("{alert: R%d, expr: '%s'}", i, condition(0))
		all.WriteString(r + ",\n")
		singles = append(singles, rule.NewMatcher(load(t, "groups: [{name: g, rules: ["+r+"]}]")))
	}
	all.WriteString("]}]")
	indexed := rule.NewMatcher(load(t, all.String()))
	total := 0
	for range 300 {
		d := pod(pick(append(reasons, "Other", "")...))
		d.Kubernetes.Event.InvolvedObject.Kind = pick("Pod", "Node", "Failed")
		d.Kubernetes.Event.Type, d.Kubernetes.Namespace = pick("Normal", "Warning"), pick("shop", "prod", "")
		want, got := map[string]int{}, map[string]int{}
		for _, s := range singles {
			m, failed := s.Match(d)
			require.Empty(t, failed)
			for _, m := range m {
				want[m.Rule]++
			}
		}
		m, failed := indexed.Match(d)
		require.Empty(t, failed)
		for _, m := range m {
			got[m.Rule]++
		}
		require.Equal(t, want, got)
		value, err := d.Encode()
		require.NoError(t, err)
		byValue, failed, err := indexed.MatchValue(value)
		require.NoError(t, err)
		require.Empty(t, failed)
		require.Equal(t, m, byValue, "decoding late changes nothing")
		total += len(got)
	}
	require.Greater(t, total, 1000)
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			m := rule.NewMatcher(load(b, manyRules(n)))
			docs := make([]*schemas.Document, 64)
			for i := range docs {
				docs[i] = pod(fmt.Sprint("Reason", i%20))
				docs[i].Kubernetes.Namespace = fmt.Sprint("ns-", i%7)
			}
			matched := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				matches, _ := m.Match(docs[i%len(docs)])
				matched += len(matches)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(matched)/float64(b.N), "matches/event")
		})
	}
}

// manyRules are n rules of which two thirds share ten reasons; the others have reasons of their own.
func manyRules(n int) string {
	var s strings.Builder
	s.WriteString("groups:\n- name: bench\n  rules:\n")
	for i := range n {
		reason := fmt.Sprint("Own", i)
		if i%3 != 0 {
			reason = fmt.Sprint("Reason", i%10)
		}
		fmt.Fprintf(&s, "  - {alert: R%d, expr: 'reason == %q and namespace == \"ns-%d\" and count > 3 and labels.app == \"app-%d\"', group_by: [namespace, workload], annotations: {summary: '{{ .Workload }}'}}\n", i, reason, i%29, i)
	}
	return s.String()
}

// BenchmarkMatchValue is the matcher's whole work on a record but for Kafka's: for a document that no rule wants, and for one
// that meets a rule.
func BenchmarkMatchValue(b *testing.B) {
	for _, reason := range []string{"Other", "Reason1"} {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/rules=%d", reason, n), func(b *testing.B) {
				value, err := pod(reason).Encode()
				if err != nil {
					b.Fatal(err)
				}
				m := rule.NewMatcher(load(b, manyRules(n)))
				b.SetBytes(int64(len(value)))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := m.MatchValue(value); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
