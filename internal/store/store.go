package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Store is a place for documents. All methods may be called concurrently, block until the engine has answered, and end
// early with ctx.
type Store interface {
	// Setup creates what Index and Search need and what is missing: lifecycle policies and templates, or tables. It is
	// idempotent and leaves alone what somebody has changed. An error for which IsRefused holds needs a person.
	Setup(ctx context.Context) error
	// Index stores items and says for each, in their order, what became of it. An error means that the request failed as a
	// whole and any part of it may be stored: repeat it. It is transient unless IsRefused. Bodies are only read.
	Index(ctx context.Context, items []Item) ([]Outcome, error)
	// Search gives the page of documents that q asks for.
	Search(ctx context.Context, q Query) (Page, error)
	// Count gives the number of documents that q matches. It ignores Limit and After.
	Count(ctx context.Context, q Query) (int64, error)
	// DeletedAt is when a document of this class and time is past its retention, and its index gone; the zero time means
	// never. It is pure.
	DeletedAt(class string, t time.Time) time.Time
	// Close releases connections and files. No other method may be running or follow.
	Close() error
}

// Item is one document to store. ID is its identity in the store, Class and Time decide where it lies, and Body is a JSON
// object that is stored as it is.
type Item struct {
	ID    string
	Class string
	Time  time.Time
	Body  []byte
}

// Verdict is what became of one item.
type Verdict uint8

// The verdicts. Retry is transient and concerns this item alone. Poison can never succeed. Refused could, once somebody has
// changed the engine's configuration.
const (
	Done Verdict = iota
	Retry
	Poison
	Refused
)

// String is the verdict as a metric's label.
func (v Verdict) String() string {
	return [...]string{"done", "retry", "poison", "refused"}[v]
}

// Outcome is the verdict on one item, and why.
type Outcome struct {
	Verdict Verdict
	// Existed says of a Done item that it was there before.
	Existed bool
	// Reason is the engine's own words for every verdict but Done.
	Reason string
}

// Page is one page of a search.
type Page struct {
	Hits []Hit
	// Next is the cursor of the following page (Query.After), or empty when there is none.
	Next string
}

// Hit is one document that was found.
type Hit struct {
	ID    string
	Class string
	Time  time.Time
	// Body is the document as it was stored. The caller owns it.
	Body json.RawMessage
}

// refusedError is an error that only a person can mend.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

func refusef(format string, args ...any) error { return &refusedError{fmt.Errorf(format, args...)} }

// IsRefused says whether err is a refusal by configuration (credentials, privileges, a write block, a broken file), which
// goes on until somebody changes something.
func IsRefused(err error) bool {
	var r *refusedError
	return errors.As(err, &r)
}
