// Package replay runs rules over documents in memory: what would they have paged?
//
// A Player matches and decides with the very code of the alerter's two steps (packages rule and decision), but keeps its state in
// memory, takes its clock from whoever calls it, and sends nothing anywhere. It is what `kubescribe rules replay` and the unit
// tests of rules (package ruletest) share.
//
// It guarantees that the same documents at the same times give the alerts that the alerter wrote: the same fingerprints, states,
// starts and ends. It is not safe for concurrent use.
package replay
