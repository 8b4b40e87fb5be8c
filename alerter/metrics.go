package alerter

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of all three steps. Rules and receivers, which label some, are as many as are configured.
type metrics struct {
	rules         prometheus.Gauge
	rulesGood     prometheus.Gauge
	rulesLoaded   prometheus.Gauge
	reloads       *prometheus.CounterVec
	documents     prometheus.Counter
	matches       *prometheus.CounterVec
	failures      *prometheus.CounterVec
	decisions     *prometheus.CounterVec
	alerts        *prometheus.CounterVec
	groups        prometheus.Gauge
	undecodable   prometheus.Counter
	notifications *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	const namespace, subsystem = "kubescribe", "alerter"
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels))
	}
	counter := func(name, help string) prometheus.Counter {
		return register(reg, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}))
	}
	return &metrics{
		rules:         gauge("rules", "Rules in the set that runs."),
		rulesGood:     gauge("rules_good", "1 if the folder's rules are the ones that run, 0 if they have problems and the last good ones run."),
		rulesLoaded:   gauge("rules_loaded_timestamp_seconds", "When the set that runs was loaded."),
		reloads:       vec("rule_reloads_total", "Changes of the rules' folder, by result: loaded or refused.", "result"),
		documents:     counter("documents_total", "Documents that the rules were evaluated on, committed."),
		matches:       vec("matches_total", "Documents that met a rule, committed.", "rule"),
		failures:      vec("rule_failures_total", "Documents that a rule or one of its annotations failed on, committed.", "rule"),
		decisions:     vec("decisions_total", "Matches and timers, by what they led to, committed.", "reason"),
		alerts:        vec("alerts_total", "Alert records, committed, by rule and status: firing, repeated or resolved.", "rule", "status"),
		groups:        gauge("groups", "Groups whose state this decider holds."),
		undecodable:   counter("undecodable_states_total", "States of groups that could not be decoded and were left out."),
		notifications: vec("notifications_total", "Sendings, by result: sent, refused, failed (tried again), known (sent before) or reposted.", "receiver", "result"),
		seconds: register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "send_seconds",
			Help: "Time of one try to send an alert.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"receiver"})),
	}
}

// register returns the collector that is registered already when several Runs of one process share a registry.
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
