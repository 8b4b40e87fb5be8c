package decision

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kubescribe/schemas"
)

// byTime orders entries by event time, and entries of one instant by id, so that the order of arrival leaves no trace.
func byTime(a, b schemas.WindowEntry) int {
	return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID))
}

func contains(window []schemas.WindowEntry, id string) bool {
	return slices.ContainsFunc(window, func(w schemas.WindowEntry) bool { return w.ID == id })
}

// insert returns window with w in its place.
func insert(window []schemas.WindowEntry, w schemas.WindowEntry) []schemas.WindowEntry {
	at, _ := slices.BinarySearchFunc(window, w, byTime)
	next := make([]schemas.WindowEntry, 0, len(window)+1)
	next = append(next, window[:at]...)
	next = append(next, w)
	return append(next, window[at:]...)
}

// prune drops what lies before horizon, and the oldest beyond MaxWindow.
func prune(window []schemas.WindowEntry, horizon time.Time) []schemas.WindowEntry {
	from := 0
	for from < len(window) && window[from].Time.Before(horizon) {
		from++
	}
	return window[max(from, len(window)-MaxWindow):]
}

// spend returns window with every entry counted for good: its id is still known, but it can start nothing again.
func spend(window []schemas.WindowEntry) []schemas.WindowEntry {
	spent := slices.Clone(window)
	for i := range spent {
		spent[i].N = 0
	}
	return spent
}

// spentUntil is the time of the newest entry that is counted for good.
func spentUntil(window []schemas.WindowEntry) time.Time {
	for _, w := range slices.Backward(window) {
		if w.N == 0 {
			return w.Time
		}
	}
	return time.Time{}
}

// reached finds the earliest stretch of p.Within that holds p.AtLeast occurrences, and returns where it starts: at its first
// match.
func reached(window []schemas.WindowEntry, p schemas.Policy) (start time.Time, ok bool) {
	var sum int64
	lo := 0
	for hi, w := range window {
		sum += w.N
		for w.Time.Sub(window[lo].Time) > p.Within || window[lo].N == 0 && lo < hi {
			sum -= window[lo].N
			lo++
		}
		if sum >= p.AtLeast {
			return window[lo].Time, true
		}
	}
	return time.Time{}, false
}

// sum counts the occurrences in [from, to); a zero to is no bound.
func sum(window []schemas.WindowEntry, from, to time.Time) int64 {
	var n int64
	for _, w := range window {
		if !w.Time.Before(from) && (to.IsZero() || w.Time.Before(to)) {
			n += w.N
		}
	}
	return n
}

// remember adds e to the evidence: the first firstEvidence and the last lastEvidence by time are kept.
func remember(evidence []schemas.Evidence, e schemas.Evidence) []schemas.Evidence {
	all := append(slices.Clone(evidence), e)
	slices.SortStableFunc(all, func(a, b schemas.Evidence) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID))
	})
	if len(all) > firstEvidence+lastEvidence {
		all = slices.Delete(all, firstEvidence, len(all)-lastEvidence)
	}
	return all
}
