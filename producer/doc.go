// Package producer turns what a cluster's API server shows into records: every revision of every core/v1 Event becomes one
// Observation in the topic events.<cluster>. Run watches a live cluster; Replay plays a recording through the same
// conversion and the same transactions.
//
// It is not an informer and keeps no objects: memory holds the batch that is about to be written, a count of each live Event, and,
// while a list is read, at most list_buffer_bytes of it, compressed (sorter.go). It enriches nothing, and leaves out only what
// the selection says (selection.go), counted.
//
// Beside the Events, in the same process and under the same Lease but with a writer and a checkpoint of its own, runs the state
// source: containers that end abnormally or cannot start (containers*.go; what is one, and which are new, package container
// decides). A transition is known by its identity, and what was said about each pod is remembered in the checkpoints topic, in the
// same transaction; so nothing is said twice, however often it is seen. An error of one source does not end the other.
//
// # What it guarantees
//
// Each revision is in the topic exactly once, for readers that read committed, through crashes, failover and expiry. Records
// and checkpoint are written in one transaction; a new active producer fences the old one before it reads the checkpoint.
// Revisions that were superseded while the API server could not be watched from the checkpoint on, and only those, may be
// missing; each such stretch of time is written down as a gap with its bounds. A resume that the server can serve writes none.
//
// A deletion, also by TTL, and a bookmark are no revisions: they move the checkpoint and emit nothing.
//
// Order holds for the revisions of one object, and across the Events of one involved object within an unbroken watch. A list is
// emitted in the order of resourceVersion.
//
// # What it knows of the API server
//
// Events have no watch cache and get no periodic bookmarks, and etcd forgets old revisions every five minutes. So silence is no
// sign of life: after a minute of it the producer lists, and when nothing is newer than the checkpoint it moves the checkpoint
// to the list's resourceVersion, so that an idle cluster does not grow too old to resume. It never emits from such a list: what is
// newer must come through a watch, which shows every revision and not only the last. resourceVersions are compared as numbers,
// within Events only.
//
// A list is streamed (WatchList) where the server can do that, and read in pages where not.
//
// # Occurrences
//
// An Event's own count says how often it happened in all; the observation says how often since the previous revision. Counts are restored
// at a start by a list at exactly the checkpoint's resourceVersion. What a start after an expiry, a restored etcd and, for Events that
// have happened more than once, the very first list show is of unknown occurrences: nobody guesses.
//
// # From the wire
//
// Events are read from their protobuf and written as JSON in one step (wire.go, wire_json.go), byte for byte what client-go's decoder
// and encoding/json would make of them; whatever has unusual fields goes that long way. What neither can read goes to the dead letter
// with the transaction that passes over it, and holds up nothing. A stream whose frames can't be told apart is a broken connection, and
// is retried.
//
// # Payload
//
// The payload of a live Event is core/v1 as this build of client-go knows it: objects travel as protobuf, a seventh of
// the CPU time of JSON, so a field that a newer API server adds is missing until client-go is updated. The Event API has been
// stable since Kubernetes 1.19. A recording's payload is the recorded JSON with all its fields. managedFields are left out.
// An Event that would make a record larger than 3 MiB loses text, never its record (shrink.go).
//
// # Leadership and exit
//
// Run holds the Lease while it writes. Losing it, being fenced, or a commit of unknown outcome ends the session, not the
// process: what is buffered is dropped, the writer closed, and Run starts over at the Lease. The Lease only decides who tries; the
// transactional id decides who may write, so a paused leader that wakes up can't harm.
//
// cmd/kubescribe calls Run and Replay; `local` calls both with the Lease off.
package producer
