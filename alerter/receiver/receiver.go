package receiver

import (
	"context"
	"time"

	"kubescribe/schemas"
)

// Receiver takes alerts.
type Receiver interface {
	// Name is the name by which rules call it.
	Name() string
	// Wants says whether alerts of this status are sent to it at all.
	Wants(status schemas.AlertStatus) bool
	// Repost is how often alerts that fire have to be sent again so that the far side keeps them; 0 is never.
	Repost() time.Duration
	// Send tries once. It blocks until there is a verdict, at most for its timeout. now is the wall clock, which a
	// Retry-After that names a date is measured against.
	Send(ctx context.Context, a *schemas.Alert, now time.Time) error
}

// RefusedError says that this receiver will never take this alert.
type RefusedError struct{ Err error }

// Error is the cause's.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// BusyError says that the receiver asked to be left alone for a while, or has to be by its rate limit.
type BusyError struct {
	Err error
	// After is how long.
	After time.Duration
}

// Error is the cause's.
func (e *BusyError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *BusyError) Unwrap() error { return e.Err }

// New builds the receiver that c, which must be valid, describes. l are the links that its pages carry.
func New(c Config, l Links) Receiver {
	if kinds[c.Type].mail {
		return limit(&mail{c: c, links: l, timeout: c.timeout()}, c.limit())
	}
	return limit(newPoster(c, l, c.format()), c.limit())
}

// kind is what is special about one type of receivers.
type kind struct {
	// mail is the only kind that is not sent over HTTP.
	mail bool
	// perMinute is the rate limit by default; 0 is none.
	perMinute int
	// address is where it is sent by default.
	address string
	// needsSecret says that it does not work without Secret, mayHaveSecret that it can use one.
	needsSecret, mayHaveSecret bool
	// repost is how often what fires is sent again by default.
	repost time.Duration
}

// kinds are the types of receivers there are. The limits are the far sides' own, where they are documented.
var kinds = map[string]kind{
	"webhook":      {},
	"alertmanager": {repost: time.Minute},
	"slack":        {perMinute: 60},
	"msteams":      {perMinute: 60},
	"pagerduty":    {perMinute: 120, address: "https://events.pagerduty.com/v2/enqueue", needsSecret: true},
	"wecom":        {perMinute: 20},
	"dingtalk":     {perMinute: 20, mayHaveSecret: true},
	"feishu":       {perMinute: 100, mayHaveSecret: true},
	"email":        {mail: true, mayHaveSecret: true},
}

// format is how c's type is spoken to.
func (c Config) format() format {
	switch c.Type {
	case "alertmanager":
		return alertmanager{hold: holdFor * c.repost()}
	case "slack":
		return slack{}
	case "msteams":
		return teams{}
	case "pagerduty":
		return pagerduty{}
	case "wecom":
		return wecom{}
	case "dingtalk":
		return dingtalk{}
	case "feishu":
		return feishu{}
	}
	return newWebhook(c)
}
