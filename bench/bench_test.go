package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestBaselineKnowsEveryStage(t *testing.T) {
	baseline, err := Baseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Stages() {
		if b, ok := baseline[s.Name]; !ok || b.Ratio <= 0 || b.CeilingIs != s.Ceiling {
			t.Errorf("baseline.json has no figure for %s against the ceiling of today: %+v", s.Name, b)
		}
	}
}

// A benchmark that can't fail proves nothing.
func TestAMissedBoundIsAnError(t *testing.T) {
	measured := Measured{Stage: 10, Ceiling: 100}
	stage := Stage{Name: "x", Bound: 0.2, Measure: func(context.Context, *Env) (Measured, error) { return measured, nil }}
	var out bytes.Buffer
	if _, err := Run(t.Context(), stage, t.TempDir(), io.Discard, &out); err == nil || !strings.Contains(err.Error(), "below its bound") {
		t.Errorf("a ratio of 0.1 under a bound of 0.2: %v", err)
	}
	if !strings.Contains(out.String(), `"ratio":0.1`) {
		t.Errorf("the line is printed all the same: %s", out.String())
	}
	measured.Stage = 30
	if _, err := Run(t.Context(), stage, t.TempDir(), io.Discard, io.Discard); err != nil {
		t.Errorf("a ratio of 0.3 over a bound of 0.2: %v", err)
	}
	stage.Limits = map[string]float64{"cpu": 15}
	for _, detail := range []map[string]any{nil, {"cpu": 15.1}, {"cpu": "much"}} {
		measured.Detail = detail
		if _, err := Run(t.Context(), stage, t.TempDir(), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "at most 15") {
			t.Errorf("a figure of %v under a limit of 15: %v", detail, err)
		}
	}
	measured.Detail = map[string]any{"cpu": 14.9}
	if _, err := Run(t.Context(), stage, t.TempDir(), io.Discard, io.Discard); err != nil {
		t.Errorf("a figure below its limit: %v", err)
	}
	stage.Limits = nil
	measured = Measured{}
	if _, err := Run(t.Context(), stage, t.TempDir(), io.Discard, io.Discard); err == nil {
		t.Error("nothing measured must be an error")
	}
	stage.Measure = func(context.Context, *Env) (Measured, error) { return Measured{}, errors.New("broken") }
	if _, err := Run(t.Context(), stage, t.TempDir(), io.Discard, io.Discard); err == nil {
		t.Error("a failed measurement must be an error")
	}
}
