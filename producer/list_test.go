package producer

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestOldestKeepsTheLowestWithinItsBound(t *testing.T) {
	t.Parallel()
	order := rand.New(rand.NewPCG(1, 2)).Perm(100)
	floor, all := uint64(0), []uint64{}
	passes := 0
	for more := true; more; passes++ {
		o := &oldest{limit: 7 * 10}
		for _, i := range order {
			rv := uint64(i + 1)
			if rv <= floor || !o.wants(rv) {
				continue
			}
			o.add(pending{rv: rv, record: &kgo.Record{Value: make([]byte, 10)}})
			require.LessOrEqual(t, o.bytes, 70)
		}
		more = o.cut != 0
		for _, p := range o.sorted() {
			require.Equal(t, floor+1, p.rv)
			floor = p.rv
			all = append(all, p.rv)
		}
	}
	require.Len(t, all, 100)
	require.Equal(t, 15, passes)
}

func TestOldestKeepsOneRecordThatIsLargerThanItsBound(t *testing.T) {
	t.Parallel()
	o := &oldest{limit: 5}
	for _, rv := range []uint64{3, 1, 2} {
		if o.wants(rv) {
			o.add(pending{rv: rv, record: &kgo.Record{Value: make([]byte, 10)}})
		}
	}
	require.EqualValues(t, 2, o.cut)
	kept := o.sorted()
	require.Len(t, kept, 1)
	require.EqualValues(t, 1, kept[0].rv)
}
