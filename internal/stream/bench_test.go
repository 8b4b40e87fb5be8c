package stream

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/test/stack"
)

// BenchmarkTransform copies records of 1.5 KB from topic to topic, exactly once: with RunTransform, and with the barest loop over
// the client's own session, which is the ceiling. Run it with -benchtime 200000x: one record is one operation.
func BenchmarkTransform(b *testing.B) {
	cfg := configFor(stack.SharedKafka(b))
	b.Run("loop", func(b *testing.B) {
		in, out := benchTopics(b, cfg)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		done := 0
		o := TransformOptions{
			Group: "g-" + uuid.NewString(), Topics: []string{in}, MaxBatchRecords: benchBatch,
			DeadLetter: func(*kgo.Record) string { return "" },
		}
		b.ResetTimer()
		require.NoError(b, RunTransform(ctx, cfg, Deps{}, o, func(ctx context.Context, records []*kgo.Record) (Output, error) {
			output, err := copyTo(out)(ctx, records)
			output.Committed = func() {
				if done += len(records); done >= b.N {
					b.StopTimer()
					cancel()
				}
			}
			return output, err
		}))
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("bare", func(b *testing.B) {
		in, out := benchTopics(b, cfg)
		opts, err := options(cfg, Deps{}.withDefaults(), "bare")
		require.NoError(b, err)
		group := "g-" + uuid.NewString()
		opts = append(opts, subscribe(group, "", []string{in}, "")...)
		s, err := kgo.NewGroupTransactSession(append(opts, kgo.TransactionalID(group))...)
		require.NoError(b, err)
		defer s.Close()
		b.ResetTimer()
		for done := 0; done < b.N; {
			records := s.PollRecords(b.Context(), benchBatch).Records()
			require.NoError(b, s.Begin())
			for _, r := range records {
				s.Produce(b.Context(), ToPartition(&kgo.Record{Topic: out, Key: r.Key, Value: r.Value, Headers: r.Headers}, r.Partition), nil)
			}
			ok, err := s.End(b.Context(), kgo.TryCommit)
			require.NoError(b, err)
			if ok {
				done += len(records)
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

const benchBatch = 2000

func benchTopics(b *testing.B, cfg Config) (in, out string) {
	b.Helper()
	in, out = "b"+uuid.NewString(), "b"+uuid.NewString()
	cl, err := newClient(cfg, Deps{}.withDefaults(), "bench")
	require.NoError(b, err)
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopics(b.Context(), 6, 1, map[string]*string{"max.message.bytes": kadm.StringPtr("4194304")}, in, out)
	require.NoError(b, err)
	value := []byte(strings.Repeat(`{"reason":"BackOff","message":"Back-off restarting failed container"},`, 21))
	for i := range b.N {
		cl.Produce(b.Context(), ToPartition(&kgo.Record{Topic: in, Key: []byte("k"), Value: value}, int32(i%6)), func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	require.NoError(b, cl.Flush(b.Context()))
	return in, out
}
