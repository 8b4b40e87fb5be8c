package stream

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of one loop. The label group names the loop; topic and partition come from what it consumes.
type metrics struct {
	records     *prometheus.CounterVec
	batches     *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	retries     *prometheus.CounterVec
	poison      *prometheus.CounterVec
	stopped     *prometheus.GaugeVec
	buffered    *prometheus.GaugeVec
	commits     *prometheus.CounterVec
	transaction *prometheus.CounterVec
	rebuilds    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kubescribe", Subsystem: "stream", Name: name, Help: help}, labels))
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "kubescribe", Subsystem: "stream", Name: name, Help: help}, labels))
	}
	return &metrics{
		records: counter("records_total", "Records whose handling is finished and committed, poison included.", "group", "topic"),
		batches: counter("batches_total", "Batches given to the handler, retries not counted.", "group"),
		seconds: register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "kubescribe", Subsystem: "stream", Name: "handler_seconds",
			Help: "Time of one call of the handler.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"group"})),
		retries:     counter("retries_total", "Calls of the handler that failed and are repeated, by kind: transient or refused.", "group", "kind"),
		poison:      counter("poison_total", "Records sent to the dead-letter topic, by reason.", "group", "reason"),
		stopped:     gauge("partition_stopped", "1 while the brake holds the partition for too much poison.", "group", "topic", "partition"),
		buffered:    gauge("buffered_bytes", "Bytes of fetched records that wait or are being handled.", "group"),
		commits:     counter("commits_total", "Offset commits of consumer loops, by result: ok or error.", "group", "result"),
		transaction: counter("transactions_total", "Transactions, by result: committed, aborted or unknown.", "group", "result"),
		rebuilds:    counter("client_rebuilds_total", "Clients closed and opened anew because a transaction's end was unclear.", "group"),
	}
}

// register returns the collector that is registered already when loops of one process share a registry.
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
