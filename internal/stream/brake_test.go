package stream

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestBrake(t *testing.T) {
	t.Parallel()
	// feed gives the brake records one at a time and returns the offset at which it stops, or -1.
	feed := func(n int, accepted int64, bad func(i int) bool) int {
		b := brake{accepted: accepted}
		for i := range n {
			r := &kgo.Record{Offset: int64(i)}
			poison := map[*kgo.Record]Poison{}
			if bad(i) {
				poison[r] = Poison{Record: r}
			}
			next, ok := b.try([]*kgo.Record{r}, poison)
			if !ok {
				return i
			}
			b.window = next
		}
		return -1
	}
	every := func(k int) func(int) bool { return func(i int) bool { return i%k == 0 } }
	assert.Equal(t, 49, feed(2000, 0, every(1)), "the 50th poison record in a row")
	assert.Equal(t, -1, feed(49, 0, every(1)))
	assert.Equal(t, -1, feed(100_000, 0, func(i int) bool { return i%20 == 19 }), "5 % is not more than 5 %")
	assert.Equal(t, 49*19, feed(100_000, 0, every(19)))
	assert.Equal(t, 149, feed(2000, 100, every(1)), "what is accepted does not count")
	assert.Equal(t, -1, feed(100_000, 0, func(i int) bool { return i%2000 < 49 }), "old records leave the window")
	// Only poison stops: a good record after the limit is no reason.
	b := brake{}
	rs := make([]*kgo.Record, 60)
	poison := map[*kgo.Record]Poison{}
	for i := range rs {
		rs[i] = &kgo.Record{Offset: int64(i)}
		if i < 49 {
			poison[rs[i]] = Poison{}
		}
	}
	next, ok := b.try(rs, poison)
	assert.True(t, ok)
	assert.Equal(t, 49, next.poisoned)
	assert.Zero(t, b.window.filled, "try changes nothing")
}
