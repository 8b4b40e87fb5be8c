package crashlog

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubescribe/internal/redact"
)

type metrics struct {
	fetches    *prometheus.CounterVec
	answers    *prometheus.CounterVec
	bytes      prometheus.Counter
	delay      prometheus.Histogram
	redactions *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	if r == nil {
		r = prometheus.NewRegistry()
	}
	return &metrics{
		fetches: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubescribe_enricher_log_fetches_total",
			Help: "Logs of containers that were fetched or refused, by outcome (ok, gone, not_started, forbidden, timeout, budget, unreachable, failed).",
		}, []string{"outcome"})),
		answers: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubescribe_enricher_logs_total",
			Help: "Records that a container's log belongs to, by what they got (ok, or why there is none). An aborted batch counts again.",
		}, []string{"outcome"})),
		bytes: register(r, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kubescribe_enricher_log_bytes_total",
			Help: "Bytes of logs that were read from the API server.",
		})),
		delay: register(r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "kubescribe_enricher_log_delay_seconds",
			Help:    "Time between a container's end, of which Kubernetes notes the whole second, and the request for its log.",
			Buckets: []float64{.25, .5, 1, 2, 5, 10, 30, 60, 300},
		})),
		redactions: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubescribe_enricher_log_redactions_total",
			Help: "Secrets that were replaced in logs, by kind (pem, jwt, header, key, url, named, configured).",
		}, []string{"kind"})),
	}
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

func outcome(why string) string {
	if why == "" {
		return "ok"
	}
	return why
}

func (m *metrics) fetched(why string) { m.fetches.WithLabelValues(outcome(why)).Inc() }

func (m *metrics) asked(why string) { m.answers.WithLabelValues(outcome(why)).Inc() }

func (m *metrics) read(n int) { m.bytes.Add(float64(n)) }

func (m *metrics) delayed(d time.Duration) { m.delay.Observe(d.Seconds()) }

func (m *metrics) redacted(c redact.Counts) {
	for kind, n := range c {
		m.redactions.WithLabelValues(string(kind)).Add(float64(n))
	}
}
