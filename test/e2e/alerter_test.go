package e2e

import (
	"testing"

	"kubescribe/schemas"
)

// A comparison that can't fail proves nothing.
func TestPagerSeesEveryFault(t *testing.T) {
	p := &pager{receiver: &receiver{pages: map[string]int{"a": 1, "b": 3, "x": 1}}}
	missing, extra, repeats := p.compare(map[string]bool{"a": true, "b": true, "c": true, "d": true})
	if missing != 2 || extra != 1 || repeats != 2 {
		t.Fatalf("missing %d, extra %d, repeats %d", missing, extra, repeats)
	}
}

func TestPagesAreTheReceivers(t *testing.T) {
	got := pages(map[string]schemas.Alert{"a": {Receivers: []string{"hook", "other"}}, "b": {Receivers: []string{"other"}}, "muted": {}}, "hook")
	if len(got) != 1 || !got["a"] {
		t.Fatalf("pages: %v", got)
	}
}
