package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer writes records, idempotent and acknowledged by all in-sync replicas, but not in transactions: for logs whose repeats do
// no harm. It is safe for concurrent use.
type Producer struct{ cl *kgo.Client }

// OpenProducer opens a producer. role ends up in its client id. No connection is made yet.
func OpenProducer(cfg Config, d Deps, role string) (*Producer, error) {
	cl, err := newClient(cfg, d.withDefaults(), role)
	if err != nil {
		return nil, err
	}
	return &Producer{cl}, nil
}

// Produce blocks until all records are acknowledged, or ctx ends; after an error some may be there.
func (p *Producer) Produce(ctx context.Context, records ...*kgo.Record) error {
	for _, res := range p.cl.ProduceSync(ctx, records...) {
		if res.Err != nil {
			return fmt.Errorf("producing: %w", explain("topic "+res.Record.Topic, res.Err))
		}
	}
	return nil
}

// Close drops what is not acknowledged.
func (p *Producer) Close() { p.cl.Close() }
