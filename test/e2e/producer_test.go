package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A judgement that can't find a fault proves nothing.
func TestJudgeSeesEveryFault(t *testing.T) {
	happened := []change{
		{"old", 5, false},
		{"old", 8, false}, // before the start, the first superseded
		{"a", 11, false},
		{"b", 12, false},
		{"a", 13, false},
		{"b", 14, true}, // b/12 was only ever visible within 12 and 14
		{"c", 15, false},
		{"a", 16, false},
	}
	all := func(ids ...revisionID) (found []observed) {
		counts := map[string]int64{}
		for _, id := range ids {
			counts[id.uid]++
			found = append(found, observed{revisionID: id, count: counts[id.uid], since: new(int64(1))})
		}
		return found
	}
	old, a11, b12, a13, c15, a16 := revisionID{"old", 8}, revisionID{"a", 11}, revisionID{"b", 12}, revisionID{"a", 13}, revisionID{"c", 15}, revisionID{"a", 16}
	gap := []gapBounds{{after: 10, until: 14}}

	v := judge(happened, all(old, a11, b12, a13, c15, a16), nil, 9)
	require.Equal(t, verdict{revisions: 5, deleted: 1}, v, "all is well")

	v = judge(happened, all(old, a13, c15, a16), gap, 9)
	require.Len(t, v.superseded, 2, "a/11 and b/12 went within the gap")
	require.Empty(t, v.lost)

	v = judge(happened, all(old, a13, c15, a16), nil, 9)
	require.Len(t, v.lost, 2, "without a gap they are lost")

	v = judge(happened, all(old, a11, b12, c15, a16), gap, 9)
	require.Equal(t, []string{"a/13"}, v.lost, "a/13 was there when the list was taken")

	v = judge(happened, all(old, a11, b12, a13, a16), []gapBounds{{after: 10, until: 99}}, 9)
	require.Equal(t, []string{"c/15"}, v.lost, "what was never superseded may not be missing, gap or no gap")

	v = judge(happened, all(old, a11, a11, b12, a13, c15, a16, revisionID{"x", 1}), nil, 9)
	require.Equal(t, 2, v.duplicated, "one is there twice, one was never written")

	v = judge(happened, all(old, a13, a11, b12, c15, a16), nil, 9)
	require.Equal(t, 1, v.disordered)

	unknown, wrong := all(old, a11, b12, a13, c15, a16), all(old, a11, b12, a13, c15, a16)
	unknown[1].since, wrong[1].since = nil, new(int64(2))
	require.Equal(t, 1, judge(happened, unknown, nil, 9).miscounted)
	require.Zero(t, judge(happened, unknown, gap, 9).miscounted, "after a gap nobody knows")
	require.Equal(t, 1, judge(happened, wrong, gap, 9).miscounted)

	v = judge(happened, all(old), nil, 99)
	require.Zero(t, v.revisions, "nothing is asked of the time before the start")
}
