package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"kubescribe/internal/daemon"
)

// progress says on standard error how far the run is.
type progress struct {
	quit, done chan struct{}
}

func (l *local) startProgress() *progress {
	p := &progress{quit: make(chan struct{}), done: make(chan struct{})}
	terminal := daemon.IsTerminal(l.con.err)
	every := l.o.progress
	if every == 0 {
		every = 5 * time.Second
		if terminal {
			every = 200 * time.Millisecond
		}
	}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				line(l.con.err, terminal, l.progressLine())
			case <-p.quit:
				if terminal {
					fmt.Fprintln(l.con.err)
				}
				return
			}
		}
	}()
	return p
}

func (p *progress) stop() {
	close(p.quit)
	<-p.done
}

// line writes one line, on a terminal over the one before.
func line(w io.Writer, terminal bool, text string) {
	if terminal {
		fmt.Fprintf(w, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(w, text)
}

// progressLine is what the services' own metrics say.
func (l *local) progressLine() string {
	n := l.counters()
	text := fmt.Sprintf("observed %.0f  enriched %.0f  documents %.0f  alerts %.0f  %.1fs", n[metricObserved], n[metricEnriched],
		n[metricIndexed], n[metricAlerts], time.Since(l.began).Seconds())
	if reasons := l.health.Reasons(); len(reasons) > 0 {
		text += "  (" + strings.Join(reasons, "; ") + ")"
	}
	return text
}

// The services' counters that the progress line shows.
const (
	metricObserved = "kubescribe_producer_observations_total"
	metricEnriched = "kubescribe_enricher_documents_total"
	metricIndexed  = "kubescribe_indexer_documents_total"
	metricAlerts   = "kubescribe_alerter_alerts_total"
)

// counters sums each counter over its labels.
func (l *local) counters() map[string]float64 {
	sums := map[string]float64{}
	families, err := l.registry.Gather()
	if err != nil {
		return sums // a collector's trouble is not worth a broken line
	}
	for _, f := range families {
		if f.GetType() != dto.MetricType_COUNTER {
			continue
		}
		for _, m := range f.GetMetric() {
			sums[f.GetName()] += m.GetCounter().GetValue()
		}
	}
	return sums
}
