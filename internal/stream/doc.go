// Package stream is the one place that drives Kafka. It holds the delivery loops that the services run on:
//
//   - RunConsumer: a consumer loop for effects outside Kafka (indexer, notifier). At least once; the effects must be
//     idempotent.
//   - RunTransform: consume, transform, produce in transactions (enricher, matcher, decider). Exactly once as seen by
//     read-committed readers.
//   - Writer: a fenced transactional writer (producer service). All or nothing for each Write.
//   - ReadTable, ReadTopic, Produce, ApplyTopics, CheckTopics, Accept and the dead-letter readers for everything around.
//
// It is not a general Kafka library: there are no callbacks for raw protocol, no fire-and-forget produce, no automatic
// commit.
//
// # Guarantees
//
// No offset is committed over an unhandled record. A handler's nil means that every effect of the batch is durable. A
// transient error never skips and never ends a loop: the batch is kept, and heartbeats and readiness go on. A record that
// can never succeed (poison) goes to the dead-letter topic before, or in the same transaction as, the commit over it. A
// partition whose last 1,000 records were poison too often stops (the brake) until somebody accepts that with Accept.
//
// Order holds within a partition and nowhere else.
//
// # What a replacement waits for
//
// Session and transaction timeouts are ten seconds: after a kill, other members get the partitions, and readers get past
// the dead member's open transaction, within about that time. A broker needs
// transaction.abort.timed.out.transaction.cleanup.interval.ms=1000 for the second.
//
// Services may use kgo.Record as data; no other package may open a kgo client.
package stream
