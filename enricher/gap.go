package enricher

import (
	"fmt"
	"time"

	"kubescribe/schemas"
)

// addGap adds what a gap record says, with a message for people.
func addGap(d *schemas.Document, c *cutter, payload []byte) error {
	g, err := schemas.DecodeGap(payload)
	if err != nil {
		return err
	}
	source := schemas.Source(c.name("kubescribe.gap.source", string(g.Source)))
	d.Kubescribe.Class = schemas.ClassGap
	d.Kubescribe.Gap = &schemas.GapInfo{Certainty: g.Certainty, Cause: g.Cause, From: g.From.UTC(), To: g.To.UTC(), Source: source}
	d.Event.Action, d.Event.Provider, d.Event.Type[0] = "gap", "kubescribe", "error"
	d.Event.Start, d.Event.End = g.From.UTC(), g.To.UTC()
	d.Log.Level = "warning"
	what := "may be missing"
	if g.Certainty == schemas.GapCertain {
		d.Log.Level, what = "error", "are missing"
	}
	why := "the API server no longer had what came after the last revision that was seen"
	if g.Cause == schemas.GapRegression {
		why = "the API server's state went back to an earlier one"
	}
	d.Message = fmt.Sprintf("%s between %s and %s %s: %s", source, g.From.UTC().Format(time.RFC3339), g.To.UTC().Format(time.RFC3339), what, why)
	return nil
}
