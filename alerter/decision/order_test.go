package decision_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/alerter/decision"
	"kubescribe/schemas"
)

// outcome is what must not depend on the order of arrival.
type outcome struct {
	Fired    int
	Resolved []ended
}

type ended struct {
	Starts, Ends time.Duration
	Count        int64
}

func play(matches []*schemas.Match) outcome {
	var s schemas.AlertState
	var o outcome
	ids := map[string]bool{}
	take := func(alerts []schemas.Alert) {
		for _, a := range alerts {
			if ids[a.ID] {
				panic("alert id used twice: " + a.ID)
			}
			ids[a.ID] = true
			switch a.Status {
			case schemas.AlertFiring:
				o.Fired++
			case schemas.AlertResolved:
				o.Resolved = append(o.Resolved, ended{a.StartsAt.Sub(epoch), a.EndsAt.Sub(epoch), a.Count})
			}
		}
	}
	for _, m := range matches {
		r := decision.Decide(s, m, wall)
		take(r.Alerts)
		s = r.State
	}
	take(decision.Expire(s, wall.Add(time.Hour)).Alerts)
	return o
}

// TestOrderAndRepeatsDoNotMatter plays random bursts in order, then shuffled by up to the promised lateness with records repeated
// at any later point, and expects the same alerts.
func TestOrderAndRepeatsDoNotMatter(t *testing.T) {
	const resolve = 10 * time.Minute
	fired := 0
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 7))
		p := policy(1+rng.Int64N(5), time.Duration(1+rng.IntN(8))*time.Minute, 24*time.Hour, resolve)
		if p.AtLeast == 1 {
			p.Within = 0
		}
		inOrder := bursts(rng, p, resolve)
		want := play(inOrder)
		fired += want.Fired
		for range 5 {
			shuffled := shuffle(rng, inOrder)
			got := play(shuffled)
			if !slices.Equal(want.Resolved, got.Resolved) || want.Fired != got.Fired {
				for _, m := range shuffled {
					t.Logf("%s at %s x%d", m.EventID, m.Time.Sub(epoch), m.Occurrences)
				}
			}
			require.Equal(t, want, got, "seed %d, policy %+v", seed, p)
		}
	}
	require.Greater(t, fired, 3000, "the histories must have alerts in them")
}

// bursts are matches in order, with quiet times between that are clearly shorter or clearly longer than resolve.
func bursts(rng *rand.Rand, p schemas.Policy, resolve time.Duration) []*schemas.Match {
	var all []*schemas.Match
	at := time.Duration(0)
	for range 1 + rng.IntN(4) {
		for range 1 + rng.IntN(12) {
			at += time.Duration(rng.Int64N(int64(resolve-2*decision.Lateness))) / time.Duration(1+rng.IntN(6))
			m := match(fmt.Sprint("e", len(all)), at.Truncate(time.Second), p)
			m.Occurrences = 1 + rng.Int64N(2)
			all = append(all, m)
		}
		at += resolve + 2*decision.Lateness + time.Duration(rng.Int64N(int64(time.Hour)))
	}
	return all
}

// shuffle delays each match by up to the lateness and repeats some of them.
func shuffle(rng *rand.Rand, in []*schemas.Match) []*schemas.Match {
	type arrival struct {
		m  *schemas.Match
		at time.Time
	}
	var all []arrival
	for _, m := range in {
		at := m.Time.Add(time.Duration(rng.Int64N(int64(decision.Lateness))))
		all = append(all, arrival{m, at})
		for rng.IntN(3) == 0 {
			at = at.Add(time.Duration(rng.Int64N(int64(3 * time.Hour))))
			all = append(all, arrival{m, at})
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	out := make([]*schemas.Match, len(all))
	for i, a := range all {
		out[i] = a.m
	}
	return out
}
