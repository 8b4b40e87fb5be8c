package stream

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
)

// Deps are what every loop shares with the rest of the process. Nil fields get defaults that do nothing.
type Deps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracer  trace.TracerProvider
	// Now is the wall clock for ticks and timestamps in dead letters.
	Now    func() time.Time
	Health HealthReporter

	// opts come last in every client: tests break connections with them.
	opts []kgo.Opt
}

// HealthReporter is told, for each component, why it isn't ready. An empty reason means ready. Set is called from several
// goroutines, only when the reason changes, and must not block.
type HealthReporter interface {
	Set(component, reason string)
}

type noHealth struct{}

func (noHealth) Set(string, string) {}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Health == nil {
		d.Health = noHealth{}
	}
	return d
}
