package selection_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/producer/selection"
)

func TestDropped(t *testing.T) {
	rules, err := selection.Compile([]selection.Rule{
		{Name: "leases", Expr: `reason == "LeaderElection" && type == "Normal"`},
		{Name: "canary", Expr: `namespace startsWith "canary-" or labels["track"] == "canary"`},
		{Name: "exit-0", Expr: `event_type == "container" and error_code == "0"`},
		{Name: "often", Expr: `count > 100`},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"leases", "canary", "exit-0", "often"}, rules.Names())
	for _, c := range []struct {
		fact selection.Fact
		want string
	}{
		{selection.Fact{Reason: "LeaderElection", Type: "Normal"}, "leases"},
		{selection.Fact{Reason: "LeaderElection", Type: "Warning"}, ""},
		{selection.Fact{Namespace: "canary-1"}, "canary"},
		{selection.Fact{Labels: map[string]string{"track": "canary"}}, "canary"},
		{selection.Fact{EventType: "container", ErrorCode: "0"}, "exit-0"},
		{selection.Fact{EventType: "container", ErrorCode: "1"}, ""},
		{selection.Fact{Count: 101}, "often"},
		{selection.Fact{}, ""},
	} {
		rule, _, err := rules.Dropped(&c.fact)
		require.NoError(t, err)
		require.Equal(t, c.want, rule, "%+v", c.fact)
	}
}

// TestAFailingRuleDropsNothing, and does not keep the others from it.
func TestAFailingRuleDropsNothing(t *testing.T) {
	rules, err := selection.Compile([]selection.Rule{
		{Name: "fails", Expr: `split(name, "-")[5] == "x"`},
		{Name: "works", Expr: `name == "drop-me"`},
	})
	require.NoError(t, err)
	rule, failed, err := rules.Dropped(&selection.Fact{Name: "keep-me"})
	require.Empty(t, rule)
	require.Equal(t, "fails", failed)
	require.ErrorContains(t, err, "drop rule fails")
	rule, _, _ = rules.Dropped(&selection.Fact{Name: "drop-me"})
	require.Equal(t, "works", rule)
}

func TestCompileReportsEveryProblem(t *testing.T) {
	_, err := selection.Compile([]selection.Rule{
		{Name: "Bad Name", Expr: `true`},
		{Name: "a", Expr: ``},
		{Name: "b", Expr: `resaon == "x"`},
		{Name: "b", Expr: `reason`},
		{Name: "c", Expr: `now() == now()`},
	})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		`drop[0].name: "Bad Name"`, `drop[1].expr: is missing`, `drop[2].expr: "resaon == \"x\"", line 1, column 1: unknown name resaon`,
		`drop[3].name: "b" is there twice`, `drop[3].expr:`, `drop[4].expr:`,
	} {
		require.Contains(t, strings.Join(lines, "\n"), want, "%d", i)
	}
}

func TestNoRules(t *testing.T) {
	rules, err := selection.Compile(nil)
	require.NoError(t, err)
	require.True(t, rules.Empty())
}
