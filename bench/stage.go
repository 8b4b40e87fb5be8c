package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Stage is one benchmark.
type Stage struct {
	Name string
	// Ceiling says in words what the ratio is measured against.
	Ceiling string
	Unit    string
	// Bound is the least ratio that is accepted; 0 when no issue has set one yet.
	Bound float64
	// Limits are the greatest values that are accepted of figures in the detail, Least the least.
	Limits, Least map[string]float64
	// Measure runs the ceiling and the stage on the same input.
	Measure func(ctx context.Context, env *Env) (Measured, error)
}

// Measured are the best rates of a run, in the stage's unit, and what else is worth keeping.
type Measured struct {
	Stage, Ceiling float64
	Records        int
	Detail         map[string]any
}

// Result is the JSON line of a stage.
type Result struct {
	Stage string  `json:"stage"`
	Ratio float64 `json:"ratio"`
	Bound float64 `json:"bound,omitempty"`
	// Limits and Least are the greatest and the least accepted values of figures in Detail.
	Limits    map[string]float64 `json:"limits,omitempty"`
	Least     map[string]float64 `json:"least,omitempty"`
	Value     float64            `json:"value"`
	Ceiling   float64            `json:"ceiling"`
	Unit      string             `json:"unit"`
	CeilingIs string             `json:"ceiling_is"`
	Records   int                `json:"records"`
	Detail    map[string]any     `json:"detail,omitempty"`
	Seconds   float64            `json:"seconds"` // of the whole benchmark, set-up included
}

// Stages are all benchmarks.
func Stages() []Stage {
	return []Stage{producerStage, enricherStage, indexerStage, alerterStage}
}

// Find returns the stage of that name.
func Find(name string) (Stage, error) {
	var names []string
	for _, s := range Stages() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Stage{}, fmt.Errorf("no benchmark %q; there are: %s", name, strings.Join(names, ", "))
}

// Run measures s in a fresh environment below dir and prints its JSON line on out. The error names a bound that was missed.
func Run(ctx context.Context, s Stage, dir string, log, out io.Writer) (Result, error) {
	began := time.Now()
	env := &Env{dir: dir, log: log, began: began}
	defer env.close()
	m, err := s.Measure(ctx, env)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	r := Result{
		Stage: s.Name, Bound: s.Bound, Limits: s.Limits, Least: s.Least, Value: round(m.Stage), Ceiling: round(m.Ceiling), Unit: s.Unit, CeilingIs: s.Ceiling,
		Records: m.Records, Detail: m.Detail, Seconds: round(time.Since(began).Seconds()),
	}
	if m.Ceiling > 0 {
		r.Ratio = float64(int(m.Stage/m.Ceiling*1000)) / 1000
	}
	line, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	fmt.Fprintln(out, string(line))
	if r.Ratio <= 0 {
		return r, fmt.Errorf("%s: nothing was measured", s.Name)
	}
	var missed []error
	if r.Ratio < s.Bound {
		missed = append(missed, fmt.Errorf("%s: ratio %.3f is below its bound %.3f", s.Name, r.Ratio, s.Bound))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Limits)) {
		v, ok := r.Detail[name].(float64)
		if !ok || v > s.Limits[name] {
			missed = append(missed, fmt.Errorf("%s: %s is %v, at most %v is accepted", s.Name, name, r.Detail[name], s.Limits[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Least)) {
		v, ok := r.Detail[name].(float64)
		if !ok || v < s.Least[name] {
			missed = append(missed, fmt.Errorf("%s: %s is %v, at least %v is expected", s.Name, name, r.Detail[name], s.Least[name]))
		}
	}
	return r, errors.Join(missed...)
}

func round(v float64) float64 { return float64(int(v*10)) / 10 }

// rounds is how often the stage and its ceiling are run; the best of each counts.
const rounds = 3

// best runs fn rounds times and returns the greatest rate of n records.
func best(ctx context.Context, env *Env, what string, n int, fn func(ctx context.Context, round int) (time.Duration, error)) (float64, error) {
	top := 0.0
	for i := range rounds {
		took, err := fn(ctx, i)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", what, err)
		}
		rate := float64(n) / took.Seconds()
		env.logf("%s: %.0f/s", what, rate)
		top = max(top, rate)
	}
	return top, nil
}
