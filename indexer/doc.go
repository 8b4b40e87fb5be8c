// Package indexer writes the enriched documents of every cluster to a store: Elasticsearch, or SQLite in the embedded default.
//
// It copies bytes. What a document is called and where it lies is in the record's headers (ce_id, ce_time, class); its value
// is never decoded, so that a field this version doesn't know passes through.
//
// Nothing waits to fill a request: what has been fetched is sent when a request is free, in parts of flush_bytes and flush_records at
// most. Under load that makes large requests by itself, and without load documents are there at once. The parts of a partition's batch
// are on their way side by side, and what of them could not be stored is sent again alone; the offset moves when all of them are done.
//
// What it guarantees:
//   - A record's offset is committed only after the store has said that its document is there, or after the record went to
//     the dead letter because it never can be. A kill at any moment makes documents come again, and the store knows their ids.
//   - One bad document never holds up another, and a store that refuses everything (an expired key, a write block) never
//     empties the topic into the dead letter: the partition waits until somebody has acted.
//   - A record is left out, and counted, only when the day on which its index is deleted is past.
//
// `kubescribe indexer` and `kubescribe local` call Run; any number may run side by side.
package indexer
