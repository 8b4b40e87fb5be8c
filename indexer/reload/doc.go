// Package reload puts documents into a store again: from the enriched topics, or from files of documents; into the same indices,
// or into those of another prefix.
//
// It creates by id, as the indexer does, so that a document that is there already stays as it is, and a run that was interrupted
// may simply be run again. With a state file it goes on where it was: what the file says is durable in the store.
//
// It joins no consumer group and does not touch the indexers' offsets. It ends at what Kafka, or the file, held at its start.
//
// `kubescribe reindex` calls it.
package reload
