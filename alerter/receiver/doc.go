// Package receiver sends alerts to where people are told of them. Today there is one kind, a generic webhook.
//
// A Receiver tries once: it neither retries nor records, which is the notifier's part. What it guarantees is the verdict:
// nil means that the far side has taken the alert, a *RefusedError that it never will, and every other error that it may
// at another time. It is safe for concurrent use, and its errors and strings hold no secret.
//
// The alerter's notify loop calls it.
package receiver
