// Package alerter turns documents into pages: match, decide, notify, three steps joined by topics.
//
//		enriched.<c> ──match──▶ matches ──decide──▶ alerts, alert-state ──notify──▶ receivers, notifications
//
//	  - match evaluates the rules (package rule) on every document of every cluster. It keeps nothing, so any number can run.
//	  - decide counts, groups, deduplicates and resolves (package decision). The matches of a cluster meet in one partition, so
//	    one decider sees them all. Its state is on a compacted topic.
//	  - notify sends each alert to its receivers (package receiver) and then writes that down.
//
// It is not a query over stored documents: a rule sees one document, and what the decider has counted.
//
// # Guarantees
//
// Every document is matched once, and every match is decided once: offsets, state and alerts are one transaction, and memory
// changes only after its commit. A kill, a restart or a rebalance in mid-window neither adds nor loses an Alert.
//
// Event time governs counts, windows, dedup, start and end. The wall clock only starts the quiet-resolve timer, and only when
// every match that came before has been read, so that a decider that was away does not take its own absence for quiet. (It
// can't know of an upstream that is away: an alert whose evidence is held up for longer than its resolve time resolves, and
// fires again when the evidence comes.)
//
// An alert that another one inhibits, or that belongs to a storm, is decided and written as any other, but names no receivers:
// nothing is lost, and nobody is woken.
//
// A page carries the alert's id as idempotency key. The notification log keeps repeats to a crash between sending and writing
// that down. A receiver that is away is tried for ever; what it refuses for good goes to the dead letter.
//
// A broken set of rules never replaces a good one.
//
// cmd/kubescribe calls Run and Check.
package alerter
