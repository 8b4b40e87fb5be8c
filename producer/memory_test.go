package producer

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeepMemorySmall(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	ctx, cancel := context.WithCancel(t.Context())
	KeepMemorySmall(ctx)
	require.EqualValues(t, memoryLimit, debug.SetMemoryLimit(-1))
	cancel()
	eventually(t, "it ends", func() bool { return debug.SetMemoryLimit(-1) == math.MaxInt64 })

	runtime.GC()
	require.NotZero(t, liveHeap())
	require.EqualValues(t, memoryLimit, limitFor(1<<20))
	require.EqualValues(t, 400<<20, limitFor(320<<20), "what is needed may be used")

	t.Setenv("GOMEMLIMIT", "1GiB")
	KeepMemorySmall(t.Context())
	require.EqualValues(t, int64(math.MaxInt64), debug.SetMemoryLimit(-1))
}
