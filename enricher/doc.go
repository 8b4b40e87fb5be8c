// Package enricher turns observations into documents: it consumes events.<c>, asks the API server of that cluster whose
// the involved object is, and produces enriched.<c>, where the value of a record is the document that is indexed.
//
// It is not a filter and not a store: one record in is one record out under the same key, or one dead letter, and all
// that it remembers can be thrown away.
//
// What it guarantees:
//   - Consume, transform and produce are one transaction (stream.RunTransform): read committed, each observation is in
//     enriched.<c> exactly once, in the order of its key.
//   - Context never blocks the stream. All look-ups of a batch share one deadline (Config.LookupTimeout). What is not
//     known by then is absent, and kubescribe.enrichment says what is missing and why. An API server that is away, slow
//     or forbidding changes documents, never readiness.
//   - No document can break the limits behind it: every string that comes from a cluster is bounded, and
//     kubescribe.truncated names the fields that were cut. The largest possible document is below 3 MiB.
//   - Secrets are never read. Pods, nodes, Services, EndpointSlices, ReplicaSets and ControllerRevisions are read whole and
//     shrunk as they arrive to what facts.go says; of any other kind only the metadata is asked for.
//   - The log of a container that ends is read at that moment, within a budget, and leaves the cluster without its secrets
//     (package crashlog). A batch waits Config.Logs.Wait for its logs at most; kubescribe.log says why one is missing.
//   - A missing permission costs the one fact that needs it: the document names it, a metric counts it, and the log tells once
//     which RBAC rule is missing.
//
// Enrich, MessageHash and everything they call are pure: no I/O, no clock, no logger. Objects is the one door to the API
// server; Recorded stands in for it when a recording is played.
//
// cmd/kubescribe calls Run and NewObjects.
package enricher
