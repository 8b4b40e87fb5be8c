package rule_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/rule"
)

func TestStrictFindings(t *testing.T) {
	files, err := filepath.Glob("testdata/strict/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			wants, text := expected(t, name, data)
			_, lax := rule.Load(fstest.MapFS{name: {Data: text}}, rule.Options{})
			assert.Empty(t, lax.Problems, "the alerter runs it")
			_, report := rule.Load(fstest.MapFS{name: {Data: text}}, rule.Options{Strict: true})
			var got []string
			for _, p := range report.Problems {
				got = append(got, p.String())
			}
			slices.Sort(wants)
			slices.Sort(got)
			assert.Equal(t, strings.Join(wants, "\n"), strings.Join(got, "\n"))
		})
	}
}

// TestConditionsThatCanBeTrue are near the ones that can't.
func TestConditionsThatCanBeTrue(t *testing.T) {
	for _, expr := range []string{
		`true`,
		`reason == "BackOff" and message startsWith "Back-off restarting"`,
		`(kind == "Pod" or kind == "Node") and (kind == "Pod" and reason == "a" or kind == "Node" and reason == "b")`,
		`kind in ["Pod", "Node"] and kind != "Pod"`,
		`message startsWith "Back-off" and message startsWith "Back-off restarting"`,
		`not (message startsWith "a") and not (message startsWith "b")`,
		`count > 5 and count < 7`, `count >= 3 and count != 4`, `occurrences > 0`, `count == 0`,
		`gap.certainty == "certain" and event_type == "gap"`, `gap.certainty != "certain" and reason == "BackOff"`,
		`labels["app"] == "a" and labels["tier"] == "b"`, `labels["app"] == "a" and annotations["app"] == "b"`,
		`workload.kind == "Deployment" and workload.name == "a"`,
		`not (reason == "a" and reason == "b")`, `type != "Normal"`, `enrichment == ""`,
		`any(owners, .kind == "Job") and any(owners, .kind == "CronJob")`,
		`kind == "Pod" ? reason == "a" : reason == "b"`,
		`message matches "(?i)oom" and message contains "oom"`,
	} {
		text := "groups: [{name: g, rules: [{alert: A, dedup: 1h, expr: '" + expr + "'}]}]\n"
		_, report := rule.Load(fstest.MapFS{"a.yaml": {Data: []byte(text)}}, rule.Options{Strict: true})
		assert.NoError(t, report.Err(), expr)
	}
}
