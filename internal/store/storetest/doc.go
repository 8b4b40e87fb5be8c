// Package storetest helps tests of what writes to a store: documents as the enricher makes them, and Double, an HTTP server
// that answers like Elasticsearch where the indexer can tell, and breaks on request.
//
// The double judges no query and has no mapping: what searches find is tested on the real engine.
package storetest
