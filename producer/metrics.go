package producer

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubescribe/schemas"
)

// metrics are those of one producer.
type metrics struct {
	observations *prometheus.CounterVec
	skipped      prometheus.Counter
	shortened    prometheus.Counter
	unreadable   prometheus.Counter
	watchEvents  *prometheus.CounterVec
	lists        *prometheus.CounterVec
	watches      *prometheus.CounterVec
	gaps         *prometheus.CounterVec
	apiErrors    *prometheus.CounterVec
	sessions     *prometheus.CounterVec
	checkpoint   prometheus.Gauge
	leader       prometheus.Gauge
	lag          prometheus.Histogram
	transaction  prometheus.Histogram
	badLines     prometheus.Counter
}

// newMetrics are those of one source, which labels all but leader.
func newMetrics(process prometheus.Registerer, source schemas.Source) *metrics {
	reg := prometheus.WrapRegistererWith(prometheus.Labels{"source": string(source)}, process)
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "kubescribe", Subsystem: "producer", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return register(reg, prometheus.NewCounter(prometheus.CounterOpts(opts(name, help))))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels))
	}
	gauge := func(reg prometheus.Registerer, name, help string) prometheus.Gauge {
		return register(reg, prometheus.NewGauge(prometheus.GaugeOpts(opts(name, help))))
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "kubescribe", Subsystem: "producer", Name: name, Help: help, Buckets: buckets,
		}))
	}
	return &metrics{
		observations: counters("observations_total", "Observations committed to Kafka, by type: event, container or gap.", "type"),
		skipped:      counter("skipped_total", "Revisions that the API server showed again although they are covered by the checkpoint."),
		shortened:    counter("shortened_total", "Events whose record would have been larger than 3 MiB and lost text."),
		unreadable:   counter("unreadable_total", "Events of the API server that could not be read and went to the dead letter."),
		watchEvents: counters("watch_events_total",
			"What the watch of Events showed, by type: added, modified, deleted or bookmark.", "type"),
		lists: counters("lists_total",
			"Lists, by cause: first, resumed, expired, regression, or silence (which emits nothing).", "cause"),
		watches: counters("watches_total",
			"Watches that ended, by how: closed, empty, expired, silent (reopened after a list), stalled or failed.", "end"),
		gaps:       counters("gaps_total", "Gap records committed, by cause and certainty.", "cause", "certainty"),
		apiErrors:  counters("api_errors_total", "Failed requests to the API server, by class: transient, expired or refused.", "class"),
		sessions:   counters("session_ends_total", "Sessions that ended and are started over, by why: fenced, unknown_outcome, leadership or error.", "why"),
		checkpoint: gauge(reg, "checkpoint_timestamp_seconds", "Unix time up to which the committed checkpoint is known to miss nothing."),
		leader:     gauge(process, "leader", "1 while this process holds the Lease, or needs none."),
		lag: histogram("lag_seconds", "From the fact's own time (often whole seconds) to the commit of its record.",
			[]float64{.05, .1, .25, .5, 1, 2, 5, 15, 60, 300, 1800, 7200}),
		transaction: histogram("transaction_seconds", "Duration of a transaction.", prometheus.ExponentialBuckets(0.002, 2.5, 10)),
		badLines:    counter("bad_lines_total", "Lines of recordings that could not be read and were skipped."),
	}
}

// committed notes what a transaction put into Kafka.
func (m *metrics) committed(facts []fact, observedAt, now time.Time, took time.Duration) {
	m.transaction.Observe(took.Seconds())
	for _, f := range facts {
		m.observations.WithLabelValues(string(f.kind)).Inc()
		m.lag.Observe(max(0, now.Sub(f.time).Seconds()))
	}
	if !observedAt.IsZero() {
		m.checkpoint.Set(float64(observedAt.UnixMilli()) / 1000)
	}
}

// register returns the collector that is registered already when several producers of one process share a registry.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	return c
}
