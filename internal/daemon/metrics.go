package daemon

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry holds the metrics of the process itself: Go's, the operating system's, and which build it is.
func newRegistry(service string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	v := ReadVersion()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "kubescribe_build_info",
		Help:        "Always 1; its labels say which build runs and as which service.",
		ConstLabels: prometheus.Labels{"version": v.Version, "revision": v.Revision, "go_version": v.Go, "service": service},
	})
	build.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return r
}
