package schemas

import (
	"errors"
	"fmt"
	"time"
)

// Certainty says whether revisions were surely lost in a gap.
type Certainty string

// Possible: the server may have dropped revisions that nobody can list any more. Certain: the outage outlived the
// configured event TTL, so that what happened at its start is gone.
const (
	GapPossible Certainty = "possible"
	GapCertain  Certainty = "certain"
)

// GapCause says what broke the watch.
type GapCause string

// The causes of a gap.
const (
	GapExpired    GapCause = "expired"    // the API server no longer had the resourceVersion (410, or watches that close empty)
	GapRegression GapCause = "regression" // the API server's resourceVersion went back (etcd was restored)
)

// Gap is the payload of an observation of type gap: between From and To revisions may be missing. Both bounds are
// inclusive: From is when the last revision before it was observed, To when the list that ended it was taken.
type Gap struct {
	Source        Source    `json:"source"`
	Cause         GapCause  `json:"cause" jsonschema:"enum=expired,enum=regression"`
	Certainty     Certainty `json:"certainty" jsonschema:"enum=possible,enum=certain"`
	From          time.Time `json:"from"`
	To            time.Time `json:"to"`
	Epoch         int64     `json:"epoch"`
	CheckpointRV  string    `json:"checkpointRV"`
	ListRV        string    `json:"listRV"`
	ListedNewer   int64     `json:"listedNewer"` // revisions that were newer than the checkpoint and are emitted after the gap
	EventTTL      string    `json:"eventTTL"`    // as configured, a Go duration
	OutageSeconds float64   `json:"outageSeconds"`
}

// Validate reports every problem of g at once.
func (g *Gap) Validate() error {
	var errs []error
	if g.Source == "" {
		errs = append(errs, errors.New("source: is missing"))
	}
	if g.Cause != GapExpired && g.Cause != GapRegression {
		errs = append(errs, fmt.Errorf("cause: %q is neither %q nor %q", g.Cause, GapExpired, GapRegression))
	}
	if g.Certainty != GapPossible && g.Certainty != GapCertain {
		errs = append(errs, fmt.Errorf("certainty: %q is neither %q nor %q", g.Certainty, GapPossible, GapCertain))
	}
	if g.From.IsZero() || g.To.Before(g.From) {
		errs = append(errs, fmt.Errorf("bounds: from %s to %s is no stretch of time", g.From.Format(time.RFC3339), g.To.Format(time.RFC3339)))
	}
	return errors.Join(errs...)
}

// DecodeGap decodes and validates the payload of a gap observation.
func DecodeGap(b []byte) (*Gap, error) { return decode[Gap](b, "gap") }
