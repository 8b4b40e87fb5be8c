package enricher

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubescribe/schemas"
)

// metrics are registered once for each process and shared by Run and NewObjects.
type metrics struct {
	documents *prometheus.CounterVec
	missing   *prometheus.CounterVec
	truncated prometheus.Counter
	lookups   prometheus.Histogram
	requests  *prometheus.CounterVec
	kinds     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	if r == nil {
		r = prometheus.NewRegistry()
	}
	return &metrics{
		documents: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubescribe_enricher_documents_total",
			Help: "Committed documents by retention class and by how complete their context is (complete, partial, unavailable, none).",
		}, []string{"class", "status"})),
		missing: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubescribe_enricher_missing_total",
			Help: "Facts that committed documents lack, by fact and reason.",
		}, []string{"fact", "reason"})),
		truncated: register(r, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kubescribe_enricher_truncated_documents_total",
			Help: "Committed documents of which a field was cut to its limit.",
		})),
		lookups: register(r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "kubescribe_enricher_lookup_seconds",
			Help:    "Time to look up the involved objects of one batch.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 8},
		})),
		requests: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubescribe_enricher_api_requests_total",
			Help: "Requests to the API server by verb (get, list, watch, discover) and outcome (ok, not_found, forbidden, failed, unreachable).",
		}, []string{"verb", "outcome"})),
		kinds: register(r, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kubescribe_enricher_watched_kinds",
			Help: "Kinds whose metadata is watched.",
		})),
	}
}

// countObjects registers the gauges of what is remembered; count is called whenever they are read.
func (m *metrics) countObjects(r prometheus.Registerer, count func() (live, deleted int)) {
	if r == nil {
		return
	}
	gauge := func(state string, value func() int) {
		register(r, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kubescribe_enricher_cached_objects", ConstLabels: prometheus.Labels{"state": state},
			Help: "Objects whose metadata is remembered, by state (live, deleted).",
		}, func() float64 { return float64(value()) }))
	}
	gauge("live", func() int { live, _ := count(); return live })
	gauge("deleted", func() int { _, deleted := count(); return deleted })
}

// register returns the collector that is registered already when there is one.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	err := r.Register(c)
	if are, ok := err.(prometheus.AlreadyRegisteredError); ok { //nolint:errorlint // Register returns it bare
		if old, ok := are.ExistingCollector.(C); ok {
			return old
		}
	}
	if err != nil {
		panic(err) // two metrics of one name: a defect that the first start shows
	}
	return c
}

var classes = []string{schemas.ClassNormal, schemas.ClassWarning, schemas.ClassCrash, schemas.ClassGap}

// committed counts documents that are in Kafka.
func (m *metrics) committed(docs []docFacts) {
	for _, d := range docs {
		class, status := d.class, "none"
		if !slices.Contains(classes, class) {
			class = "other"
		}
		if e := d.enrichment; e != nil {
			status = e.Status
			for _, what := range e.Missing {
				fact, reason, _ := strings.Cut(what, ": ")
				m.missing.WithLabelValues(fact, strings.ReplaceAll(reason, " ", "_")).Inc()
			}
		}
		m.documents.WithLabelValues(class, status).Inc()
		if d.truncated {
			m.truncated.Inc()
		}
	}
}

func (m *metrics) lookedUp(d time.Duration) { m.lookups.Observe(d.Seconds()) }

func (m *metrics) request(verb, outcome string) { m.requests.WithLabelValues(verb, outcome).Inc() }
