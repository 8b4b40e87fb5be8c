package bench

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

//go:embed baseline.json
var committed []byte

// Baseline is the last committed result of each stage.
func Baseline() (map[string]Result, error) {
	b := map[string]Result{}
	if err := json.Unmarshal(committed, &b); err != nil {
		return nil, fmt.Errorf("reading bench/baseline.json: %w", err)
	}
	return b, nil
}

// WriteBaseline writes results to path.
func WriteBaseline(path string, results map[string]Result) error {
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644) //nolint:gosec // a committed file
}

// Compare shows each result next to its baseline.
func Compare(w io.Writer, baseline map[string]Result, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STAGE\tRATIO\tBASELINE\tBOUND\tVALUE\tCEILING\tUNIT")
	for _, r := range results {
		was := "-"
		if b, ok := baseline[r.Stage]; ok {
			was = fmt.Sprintf("%.3f", b.Ratio)
		}
		fmt.Fprintf(t, "%s\t%.3f\t%s\t%.3f\t%.0f\t%.0f\t%s\n", r.Stage, r.Ratio, was, r.Bound, r.Value, r.Ceiling, r.Unit)
	}
	return t.Flush()
}
