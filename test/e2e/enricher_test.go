package e2e

import "testing"

// A comparison that can't fail proves nothing.
func TestCompareOrderSeesEveryFault(t *testing.T) {
	want := []string{"a", "b", "c", "d"}
	for _, c := range []struct {
		got                          []string
		lost, duplicated, disordered int
	}{
		{[]string{"a", "b", "c", "d"}, 0, 0, 0},
		{[]string{"a", "c", "d"}, 1, 0, 0},
		{[]string{"a", "b", "a", "c", "d"}, 0, 1, 0},
		{[]string{"a", "c", "b", "d"}, 0, 0, 1},
		{[]string{"a", "b", "c", "d", "x"}, 0, 1, 0},
		{nil, 4, 0, 0},
	} {
		if lost, duplicated, disordered := compareOrder(want, c.got); lost != c.lost || duplicated != c.duplicated || disordered != c.disordered {
			t.Errorf("%v: lost %d, duplicated %d, disordered %d", c.got, lost, duplicated, disordered)
		}
	}
}
