// Package reconciliation answers "was anything lost?": it compares what is on enriched.<c> with what is in the store, by id.
//
// It reads Kafka and the store and changes neither, except with Options.Repair, which creates what is missing as the indexer
// would. It joins no consumer group and commits nothing, so that it may run beside any number of indexers, and be killed and run
// again at any time.
//
// # How it compares
//
// Kafka is read once, up to the last stable offsets at the start, and counted by class and hour of event time; the store is asked
// for the same counts. Where they agree, that is all (Options.Every compares the ids there, too). Where they differ, the ids of
// those hours are compared. What Kafka has and the search does not show is read by id, which needs no refresh; what is still not
// there is
//
//   - pending, when the indexers' group has not committed over it yet,
//   - dead-lettered, when that group has put it into the dead letter,
//   - missing, otherwise.
//
// What the store has and Kafka has not is extra, unless it came in while we were looking. A record whose index is past its
// retention is expired and not looked for.
//
// Kafka keeps its records for a while only. From when on everything must be in Kafka is in the report (Cluster.Whole); before
// that, documents without a record are no news, and only the records that are there are looked up in the store.
//
// # What it costs
//
// Memory is bounded by Options.Held ids at once, by estimate 100 bytes each, plus some hundred bytes for each class and hour. More ids
// than that are compared in several rounds, and Kafka is read again for each. Two ids are taken for one when their 128-bit hashes
// are the same.
//
// `kubescribe verify` calls it.
package reconciliation
