package producer

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

const (
	// memoryLimit is what the heap of a producer may grow to before garbage is collected early. The program's own pages, about 45 MiB, come
	// on top of it.
	memoryLimit = 64 << 20
	// memoryLive is how much of the limit may be in use before the limit grows: a limit below what is needed costs CPU and saves nothing.
	memoryLive  = 0.8
	memoryEvery = 5 * time.Second
)

// KeepMemorySmall lets a process that only runs producers collect its garbage early rather than grow, until ctx ends. With GOMEMLIMIT
// in the environment it changes nothing. It does not block.
func KeepMemorySmall(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(memoryLimit)
	go func() {
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				debug.SetMemoryLimit(math.MaxInt64)
				return
			case <-tick.C:
				debug.SetMemoryLimit(limitFor(liveHeap()))
			}
		}
	}()
}

func limitFor(live uint64) int64 { return int64(max(memoryLimit, float64(live)/memoryLive)) }

// liveHeap is what the last collection found in use.
func liveHeap() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}
