package indexer

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// The outcomes of the documents counter.
const (
	outcomeCreated = "created"
	outcomeExisted = "existed"
	outcomePoison  = "poison"
	outcomeExpired = "expired"
)

type metrics struct {
	documents *prometheus.CounterVec
	bulk      *prometheus.HistogramVec
	bytes     prometheus.Counter
	retries   *prometheus.CounterVec
	latency   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "kubescribe", Subsystem: "indexer", Name: name, Help: help}
	}
	return &metrics{
		documents: register(reg, prometheus.NewCounterVec(opts("documents_total",
			"Documents, by outcome: created, existed (the store had it), poison (sent to the dead letter) or expired (past its retention)."), []string{"outcome"})),
		bulk: register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "kubescribe", Subsystem: "indexer", Name: "bulk_seconds",
			Help: "Time of one bulk request, by result: ok, transient or refused.", Buckets: prometheus.ExponentialBuckets(0.002, 3, 10),
		}, []string{"result"})),
		bytes: register(reg, prometheus.NewCounter(opts("bulk_bytes_total", "Bytes of documents sent to the store, repeats included."))),
		retries: register(reg, prometheus.NewCounterVec(opts("retries_total",
			"What was sent again, by scope: document (the store asked for this one later) or request (it failed as a whole)."), []string{"scope"})),
		latency: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "kubescribe", Subsystem: "indexer", Name: "event_latency_seconds",
			Help:    "Time from the event (ce_time) until the store had its document; of documents that were created.",
			Buckets: prometheus.ExponentialBuckets(0.25, 2, 14),
		})),
	}
}

// register returns the collector that is registered already when several Runs of a process share a registry.
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
