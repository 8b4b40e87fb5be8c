package decision

import (
	"time"

	"kubescribe/schemas"
)

// Due is the wall clock time after which Expire changes s: before and at it, it does not.
func Due(s schemas.AlertState) time.Time {
	switch {
	case !s.AnnounceAt.IsZero():
		return s.AnnounceAt
	case s.Status == schemas.AlertFiring:
		return s.LastSeen.Add(quiet(s.Policy))
	}
	return s.LastSeen.Add(Keep + s.Policy.Within)
}
