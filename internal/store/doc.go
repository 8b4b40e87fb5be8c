// Package store keeps documents where people search them: in Elasticsearch, or for the embedded default in one SQLite file.
//
// It is the only place that knows either engine. It does not decode a document to write it (Elasticsearch) and never
// changes one: the bytes that come in are the bytes that Search gives back.
//
// What both stores guarantee, proven by one conformance suite:
//   - Index is idempotent by id. A document that is there already counts as done, so that a replay of any age changes nothing.
//   - Done means durable: the document outlives a kill of this process, and for SQLite of the machine.
//   - Every item of Index has an outcome of its own. A bad document never keeps its neighbours out.
//   - Search orders by time, newest first, then by id in descending byte order, and pages without a repeat.
//
// The indexer writes, the explorer reads, `kubescribe local` opens SQLite for both.
package store
