// Package decision says when an alert fires, repeats and resolves: the decider's rules as pure functions of what is known
// of one group (schemas.AlertState) and what comes next (a schemas.Match, or time that passes).
//
// It has no I/O and reads no clock: the wall clock is an argument, and it only starts timers. Counts, windows, repeats,
// StartsAt and EndsAt follow event time, so that a replay decides as the live run did.
//
// # Guarantees
//
// A match counts once for as long as the group's state is kept (Keep after its last match): a repeated record changes
// nothing. So that this needs no unbounded memory, a match counts only if its id could not have been forgotten; what is
// older is Late and changes nothing either. While an alert is pending that is an hour (PendingLateness), so that no page is
// lost when partitions are read at different speeds; while it fires, Lateness.
//
// Matches that come out of order by at most Lateness lead to the same alert as in order: the same firing, the same resolve,
// with the same StartsAt, EndsAt and Count on the resolve. (Firing does not wait for stragglers, so its own StartsAt can be
// later than the resolve's.) The exception is a quiet stretch that is within Lateness of the resolve time: it may be judged
// either way.
//
// Groups keep each other quiet: an alert that fires is muted while one that inhibits it fires, and when it is one too many of an
// origin (a storm, itself an alert that counts alerts). Muted means that its records name no receivers; its state goes on as if
// nothing were. When what mutes it is over and it still has matches, its receivers are told. A storm lasts as long as its alerts
// have matches, so its end does not set them loose. Which alerts of a storm are sent by themselves before it is one depends on the
// order of the matches; everything else here does only for matches that are out of order by more than Lateness.
//
// A document that meets a rule's resolve expression ends the alert at its time, unless there is newer evidence. What is not newer
// than it starts nothing again. It leaves no trace where there is nothing to end, so evidence that comes after it although it
// happened before can fire; the quiet time ends that.
//
// A rule that changes counts anew while its alert is pending: matches of two versions never add up. An alert that fires goes on
// under the new version.
//
// Nothing given to a function is changed; results share no memory with it that is written to.
//
// The alerter's decide loop calls it; so do, through package replay, `kubescribe rules test` and
// `rules replay`: the same matches and times lead to the same alerts.
package decision
