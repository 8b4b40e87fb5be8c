package bench

import (
	"fmt"
	"os"
	"testing"
	"testing/fstest"

	"kubescribe/alerter/rule"
)

// BenchmarkMatcher is the part of the alerter's benchmark that is not Kafka's: the same documents and rules, in memory.
func BenchmarkMatcher(b *testing.B) {
	if err := os.Chdir(".."); err != nil { // where the recording is looked for
		b.Fatal(err)
	}
	docs, err := documents(2000)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			set, report := rule.Load(fstest.MapFS{"bench.yaml": {Data: []byte(benchRules(n))}}, rule.Options{})
			if err := report.Err(); err != nil {
				b.Fatal(err)
			}
			m := rule.NewMatcher(set)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, err := m.MatchValue(docs[i%len(docs)].Value); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "documents/s")
		})
	}
}
