package producer

import (
	"crypto/sha256"
	"encoding/hex"
)

// counts remembers how often each Event that the API server holds had happened when it was last observed: an Event's own count says
// how often in all, an observation how often since the previous one. It belongs to one goroutine.
type counts struct {
	seen map[countKey]int32
	// whole: an Event that isn't in seen has not been observed before. Without it, nobody knows.
	whole bool
}

// countKey is a UUID's bytes: a map of 200,000 of these takes a tenth of one with strings and Events.
type countKey [16]byte

func keyOfUID(uid []byte) (k countKey) {
	if len(uid) == 36 && uid[8] == '-' && uid[13] == '-' && uid[18] == '-' && uid[23] == '-' {
		var digits [32]byte
		n := copy(digits[:], uid[:8])
		n += copy(digits[n:], uid[9:13])
		n += copy(digits[n:], uid[14:18])
		n += copy(digits[n:], uid[19:23])
		copy(digits[n:], uid[24:])
		if _, err := hex.Decode(k[:], digits[:]); err == nil {
			return k
		}
	}
	sum := sha256.Sum256(uid)
	return countKey(sum[:16])
}

// note remembers the count of a revision that is being emitted, and returns how often it happened since the previous one; nil when
// that is unknown. created says that this is the Event's first revision.
func (c *counts) note(e *wireEvent, created bool) *int64 {
	k, now := keyOfUID(e.uid), e.times()
	before, known := c.seen[k]
	c.set(k, now)
	var since int64
	switch {
	case known && now >= int64(before):
		since = now - int64(before)
	case !known && (c.whole || created):
		since = now
	default:
		return nil
	}
	return &since
}

// remember notes the count of a revision that was emitted before.
func (c *counts) remember(e *wireEvent) { c.set(keyOfUID(e.uid), e.times()) }

func (c *counts) set(k countKey, n int64) {
	if c.seen == nil {
		c.seen = map[countKey]int32{}
	}
	c.seen[k] = int32(n) //nolint:gosec // it is an int32 in the API
}

// forget drops an Event that is deleted.
func (c *counts) forget(e *wireEvent) { delete(c.seen, keyOfUID(e.uid)) }
