package stream

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStartWhere(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker) {
		in := b.topic(t, 2)
		b.fill(t, in, 2, 0, 10)
		o := consumerOptions("nowhere", in)
		older, newer := o.Group, o.Group+"-new"
		l := start(t, func(ctx context.Context) error {
			return RunConsumer(ctx, b.cfg, deps(nil), o, func(context.Context, Batch) error { return nil })
		})
		eventually(t, "the older group", func() bool { return b.committed(t, older, in, 0) == 10 && b.committed(t, older, in, 1) == 10 })

		require.NoError(t, StartWhere(t.Context(), b.cfg, Deps{}, newer, older, in))
		assert.EqualValues(t, 10, b.committed(t, newer, in, 0))
		assert.EqualValues(t, 10, b.committed(t, newer, in, 1))

		b.fill(t, in, 2, 10, 10)
		eventually(t, "the older group to go on", func() bool { return b.committed(t, older, in, 0) == 20 })
		require.NoError(t, StartWhere(t.Context(), b.cfg, Deps{}, newer, older, in))
		assert.EqualValues(t, 10, b.committed(t, newer, in, 0), "a group with a place keeps it")

		require.NoError(t, StartWhere(t.Context(), b.cfg, Deps{}, o.Group+"-first", "none-"+o.Group, in))
		assert.EqualValues(t, 0, b.committed(t, o.Group+"-first", in, 1), "where nobody has been, the start is noted")

		require.NoError(t, StartWhere(t.Context(), b.cfg, Deps{}, older, newer, in), "a group with members is left alone")
		l.stop()
	})
}
