package e2e

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Case is one end-to-end test.
type Case struct {
	Name  string
	About string
	// Alone is set when the bounds on time that it checks hold only while no other case uses the machine.
	Alone bool
	// Run prints progress to the log and returns the figures of the result line, in order. A broken promise is an error;
	// the figures that are known by then come with it.
	Run func(ctx context.Context, env *Env) (Figures, error)
}

// Cases are all end-to-end tests, by name.
func Cases() []Case {
	return []Case{
		spine,
		enricherContext,
		enricherChaos,
		enricherLogs,
		producerChaos,
		producerGaps,
		producerContainers,
		indexerChaos,
		indexerPoison,
		secured,
		alerterAlertmanager,
		alerterReplay,
		alerterChaos,
		alerterStorm,
	}
}

// Find returns the case of that name.
func Find(name string) (Case, error) {
	var names []string
	for _, c := range Cases() {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Case{}, fmt.Errorf("no end-to-end test %q; there are: %s", name, strings.Join(names, ", "))
}

// Figure is one checked number of a result.
type Figure struct {
	Name  string
	Value any
}

// Figures are the numbers of a result line, in order.
type Figures []Figure

// Line is the result line: "spine: records=1043 lost=0".
func (f Figures) Line(name string) string {
	var b strings.Builder
	b.WriteString(name + ":")
	for _, x := range f {
		if v, ok := x.Value.(float64); ok {
			fmt.Fprintf(&b, " %s=%.2f", x.Name, v)
			continue
		}
		fmt.Fprintf(&b, " %s=%v", x.Name, x.Value)
	}
	return b.String()
}

// Do runs c in a fresh environment below dir, with progress on log, prints the result line on out as the last thing,
// and returns what broke. binary is the kubescribe binary under test; dir is kept when something broke.
func Do(ctx context.Context, c Case, binary, dir string, log, out io.Writer) error {
	env, err := newEnv(binary, dir, log)
	if err != nil {
		return err
	}
	defer env.close()
	figures, err := c.Run(ctx, env)
	if len(figures) > 0 {
		fmt.Fprintln(out, figures.Line(c.Name))
	}
	if err != nil {
		return fmt.Errorf("%s: %w (logs are in %s)", c.Name, err, dir)
	}
	return nil
}
