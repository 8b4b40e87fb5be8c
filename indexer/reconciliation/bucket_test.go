package reconciliation

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"kubescribe/internal/stream"
)

func TestHoursBeginWhereTheyShould(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-20T10:00:00Z":           "2026-11-20T10:00:00Z",
		"2026-11-20T10:59:59.999999999Z": "2026-11-20T10:00:00Z",
		"2026-11-20T10:30:00+05:30":      "2026-11-20T05:00:00Z",
		"1970-01-01T00:00:00Z":           "1970-01-01T00:00:00Z",
		"1969-12-31T23:59:59Z":           "1969-12-31T23:00:00Z",
		"1969-12-31T23:00:00Z":           "1969-12-31T23:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		assert.NoError(t, err)
		assert.Equal(t, want, bucketOf("x", at).start().Format(time.RFC3339), text)
	}
}

// Every bucket is compared once, or in shares that add up, and no round holds more than it may.
func TestRoundsHoldNoMoreThanTheyMay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		tallies := map[bucket]*tally{}
		var which []bucket
		for n := range r.IntN(40) {
			b := bucket{fmt.Sprintf("c%d", n%3), int64(r.IntN(20))}
			if tallies[b] == nil {
				tallies[b] = &tally{records: int64(r.IntN(300))}
				which = append(which, b)
			}
		}
		held := int64(1 + r.IntN(150))
		shares := map[bucket]map[uint64]bool{}
		of := map[bucket]uint64{}
		for _, round := range rounds(tallies, which, held) {
			var sum int64
			for _, b := range round.buckets {
				sum += tallies[b].records
				if shares[b] == nil {
					shares[b] = map[uint64]bool{}
				}
				assert.False(t, shares[b][round.share], "twice")
				shares[b][round.share], of[b] = true, round.shares
			}
			if round.shares == 1 {
				assert.LessOrEqual(t, sum, held)
			} else {
				assert.Len(t, round.buckets, 1)
				assert.LessOrEqual(t, sum, held*int64(round.shares))
			}
		}
		assert.Len(t, shares, len(which))
		for b, got := range shares {
			assert.Len(t, got, int(of[b]))
		}
	}
}

func TestEveryIDFallsToOneShare(t *testing.T) {
	for n := range 1000 {
		shares := 0
		for s := range uint64(7) {
			if hashOf(fmt.Sprint(n)).in(round{share: s, shares: 7}) {
				shares++
			}
		}
		assert.Equal(t, 1, shares)
	}
}

func TestSpansHoldWhatTheBucketsHold(t *testing.T) {
	extents := []stream.Extent{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 1}, {Topic: "t", Partition: 5}}
	a, b := bucket{"x", 1}, bucket{"x", 2}
	tallies := map[bucket]*tally{a: {}, b: {}, {"x", 3}: {}}
	for _, offset := range []int64{17, 4, 9} {
		tallies[a].at(0, offset)
	}
	tallies[b].at(0, 30)
	tallies[b].at(2, 7)
	tallies[bucket{"x", 3}].at(1, 1)
	assert.Equal(t, []stream.Span{{Topic: "t", Partition: 0, From: 4, To: 18}}, spans(extents, tallies, []bucket{a}))
	assert.Equal(t, []stream.Span{{Topic: "t", Partition: 0, From: 4, To: 31}, {Topic: "t", Partition: 5, From: 7, To: 8}}, spans(extents, tallies, []bucket{a, b}))
}

func TestTheComparisonIsWholeFromWhereNothingWasTaken(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC)
	cut := stream.Extent{Start: 10, StartTime: now.Add(-48 * time.Hour)}
	assert.Zero(t, whole([]stream.Extent{{}, {StartTime: now}}, now), "nothing was ever taken")
	assert.Equal(t, time.Date(2026, 11, 18, 15, 0, 0, 0, time.UTC), whole([]stream.Extent{{}, cut}, now))
	assert.Equal(t, time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC), whole([]stream.Extent{cut, {Start: 3}}, now), "nothing is left in one partition")
}
