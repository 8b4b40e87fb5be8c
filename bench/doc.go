// Package bench measures each stage on the real Kafka, Elasticsearch and API server against a ceiling that is measured in
// the same run, on the same bytes: the ratio of the two means something on a noisy machine, a bare rate does not.
//
// `make bench-STAGE` prints one JSON line last and exits non-zero when a bound is missed; `make bench` runs all stages and
// shows each ratio next to that of the committed baseline (baseline.json; `make bench UPDATE=1` writes it).
// A stage is run three times around its ceiling, and the best of each counts: noise only ever slows things down.
package bench
