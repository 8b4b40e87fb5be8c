package producer

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// item is what can't be compressed, so that the bound is reached.
func item(rv uint64, size int) []byte {
	r := rand.New(rand.NewPCG(rv, 7))
	b := make([]byte, 0, size+8)
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:size]
}

func TestSorterKeepsTheLowestWithinItsBound(t *testing.T) {
	t.Parallel()
	const n, size, limit = 3000, 300, 100 << 10
	order := rand.New(rand.NewPCG(1, 2)).Perm(n)
	var floor uint64
	passes := 0
	for more := true; more; passes++ {
		s := &sorter{limit: limit}
		for _, i := range order {
			if rv := uint64(i + 1); rv > floor && s.wants(rv) {
				s.add(rv, &wireEvent{raw: item(rv, size)})
			}
			require.LessOrEqual(t, s.bytes, limit)
			require.LessOrEqual(t, len(s.buffer), limit)
		}
		require.NoError(t, s.each(func(rv uint64, raw []byte) error {
			require.Equal(t, floor+1, rv, "none is left out")
			require.True(t, bytes.Equal(item(rv, size), raw))
			floor = rv
			return nil
		}))
		more = s.cut != 0
	}
	require.EqualValues(t, n, floor)
	require.Less(t, passes, 20, "a pass keeps about what its bound allows")
	require.Greater(t, passes, 5)
}

func TestSorterKeepsOneItemThatIsLargerThanItsBound(t *testing.T) {
	t.Parallel()
	s := &sorter{limit: 5}
	for _, rv := range []uint64{3, 1, 2} {
		if s.wants(rv) {
			s.add(rv, &wireEvent{raw: item(rv, 100)})
		}
	}
	var got []uint64
	require.NoError(t, s.each(func(rv uint64, _ []byte) error { got = append(got, rv); return nil }))
	require.Equal(t, []uint64{1}, got)
	require.EqualValues(t, 2, s.cut)
}

func TestSorterKeepsManyEventsInLittle(t *testing.T) {
	t.Parallel()
	s := &sorter{limit: 32 << 20}
	seeds := wireSeeds(t)
	raw := 0
	for rv := range uint64(60_000) {
		b := seeds[rv%uint64(len(seeds))]
		raw += len(b)
		e := scanEvent(b)
		s.add(rv+1, &e)
	}
	s.spill()
	require.Zero(t, s.cut)
	require.Less(t, s.bytes, raw/4, "Events are much alike")
}
