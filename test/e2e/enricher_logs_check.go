package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// check stops the services cleanly and judges what is in the topics and what passed the proxies.
func (s *logsRun) check(ctx context.Context) (Figures, error) {
	errs := []error{s.producer.stop()}
	for _, r := range s.replicas {
		errs = append(errs, r.stop())
	}
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	lost, duplicated, err := s.compareStages(ctx)
	if err != nil {
		return nil, err
	}
	must(lost == 0 && duplicated == 0, "%d records are lost, %d duplicated", lost, duplicated)

	requests, budget, err := s.spending()
	errs = append(errs, err)

	docs, err := s.documentsWithLogs(ctx)
	if err != nil {
		return nil, err
	}
	errs = append(errs, docs.check())
	must(docs.crashes >= logMinCrashes && docs.crashes > requests, "%d crashes and %d requests are no storm", docs.crashes, requests)

	leaks, err := s.leaks(ctx)
	if err != nil {
		return nil, err
	}
	must(leaks == 0, "%d records hold a planted secret or the kubelet's excuse", leaks)

	p99, samples := s.latency()
	must(samples >= logMinSample, "only %d latencies, want %d", samples, logMinSample)
	must(p99 <= logP99, "p99 is %s, want at most %s", p99, logP99)
	return Figures{
		{"pods", logEach * len(stormWorkloads)},
		{"crashes", docs.crashes},
		{"requests", requests},
		{"budget", budget},
		{"with_current", docs.current},
		{"with_previous", docs.previous},
		{"over_budget", docs.missing["budget"]},
		{"delay_p50_s", median(docs.delays).Seconds()},
		{"secrets", leaks},
		{"p99_s", p99.Seconds()},
		{"p99_of", samples},
		{"lost", lost},
	}, errors.Join(errs...)
}

// compareStages compares what etcd and the producer wrote with the documents.
func (s *logsRun) compareStages(ctx context.Context) (lost, duplicated int, err error) {
	revisions, err := s.ref.drain(ctx)
	if err != nil {
		return 0, 0, err
	}
	observed, err := s.broker.ids(ctx, s.topics.Events(cluster))
	if err != nil {
		return 0, 0, err
	}
	documents, err := s.broker.ids(ctx, s.topics.Enriched(cluster))
	if err != nil {
		return 0, 0, err
	}
	want := map[string]bool{}
	for id := range observed {
		want[id] = true
	}
	for id := range revisions {
		rv, err := strconv.ParseUint(id[strings.LastIndexByte(id, '/')+1:], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		if rv > s.from {
			want[id] = true
		}
	}
	missing, extra, twice := compare(want, documents)
	s.logf("%d revisions in etcd, %d observations, %d documents: %d missing, %d unknown, %d repeated",
		len(revisions), len(observed), len(documents), len(missing), len(extra), twice)
	return len(missing), twice + len(extra), nil
}

// spending is how many requests passed the proxies and how many could have; an error says which bound was broken.
func (s *logsRun) spending() (requests, budget int, err error) {
	var errs []error
	asked := map[string][]string{} // pod → replicas
	for _, p := range s.proxies {
		seen, most := p.seen()
		if len(seen) == 0 {
			errs = append(errs, fmt.Errorf("%s asked for no log", p.name))
			continue
		}
		allowed := func(perMinute int) int {
			return int(float64(perMinute) * (1 + seen[len(seen)-1].at.Sub(seen[0].at).Minutes()))
		}
		byWorkload := map[string]int{}
		for _, q := range seen {
			byWorkload[q.workload]++
			if !slices.Contains(asked[q.pod], p.name) {
				asked[q.pod] = append(asked[q.pod], p.name)
			}
		}
		for w, n := range byWorkload {
			if n > allowed(logPerWorkload) {
				errs = append(errs, fmt.Errorf("%s: %d requests for %s, %d are allowed", p.name, n, w, allowed(logPerWorkload)))
			}
		}
		limit := min(allowed(logPerMinute), allowed(logPerWorkload)*(len(stormWorkloads)+1))
		if len(seen) > limit {
			errs = append(errs, fmt.Errorf("%s: %d requests, %d are allowed", p.name, len(seen), limit))
		}
		// A request that the enricher has given up is here until the proxy hears of it.
		if most > 2*logConcurrency {
			errs = append(errs, fmt.Errorf("%s: %d requests at once, %d are allowed", p.name, most, logConcurrency))
		}
		s.logf("%s: %d requests of %d, %d at once at most, %v", p.name, len(seen), limit, most, byWorkload)
		requests, budget = requests+len(seen), budget+limit
	}
	for pod, by := range asked {
		if len(by) > 1 && !strings.HasPrefix(pod, earlyWorkload) { // partitions may still move when the early ones are asked for
			errs = append(errs, fmt.Errorf("the log of %s was asked for by %v", pod, by))
		}
	}
	return requests, budget, errors.Join(errs...)
}

// loggedDocuments is what the documents say about logs.
type loggedDocuments struct {
	crashes           int // documents of a container's end
	current, previous int
	delays            []time.Duration
	missing           map[string]int // by why
	wrong             []string
}

// documentsWithLogs reads every document and looks at its log.
func (s *logsRun) documentsWithLogs(ctx context.Context) (*loggedDocuments, error) {
	d := &loggedDocuments{missing: map[string]int{}}
	err := s.broker.read(ctx, func(r *kgo.Record) error {
		doc, err := schemas.DecodeDocument(r.Value)
		if err == nil && doc.Kubernetes.Namespace == "storm" {
			d.add(doc)
		}
		return err
	}, s.topics.Enriched(cluster))
	s.logf("%d ends of containers; logs: %d current, %d previous, missing %v", d.crashes, d.current, d.previous, d.missing)
	return d, err
}

func (d *loggedDocuments) add(doc *schemas.Document) {
	ended := doc.Kubescribe.Type == schemas.TypeContainer && doc.Kubescribe.Container != nil && doc.Kubescribe.Container.State == schemas.StateTerminated
	if ended {
		d.crashes++
	}
	log := doc.Kubescribe.Log
	fault := func(format string, args ...any) {
		d.wrong = append(d.wrong, doc.Event.ID+": "+fmt.Sprintf(format, args...))
	}
	switch {
	case log == nil:
		if doc.Kubescribe.Type == schemas.TypeContainer || doc.Event.Action == "BackOff" {
			fault("says nothing about its log")
		}
		return
	case log.Missing != "":
		d.missing[log.Missing]++
		if doc.Error != nil && doc.Error.StackTrace != "" {
			fault("has a log and misses it: %s", log.Missing)
		}
		return
	case doc.Error == nil || log.DelayMillis == nil || log.ContainerID == "" || log.Redactions == 0 || log.Lines == 0:
		fault("its log lacks what belongs to it: %+v", log)
		return
	case log.Instance == "current":
		d.current++
	case log.Instance == "previous":
		d.previous++
	}
	d.delays = append(d.delays, time.Duration(*log.DelayMillis)*time.Millisecond)
	for _, word := range append(keptWords(), "incarnation="+log.Instance) {
		if !strings.Contains(doc.Error.StackTrace, word) {
			fault("its log, %s, lacks %q: %q", log.Instance, word, doc.Error.StackTrace)
		}
	}
}

func (d *loggedDocuments) check() error {
	var errs []error
	if len(d.wrong) > 0 {
		errs = append(errs, fmt.Errorf("%d documents are wrong: %s", len(d.wrong), strings.Join(d.wrong[:min(3, len(d.wrong))], "; ")))
	}
	if d.current == 0 || d.previous == 0 {
		errs = append(errs, fmt.Errorf("%d logs of current and %d of previous instances, want both", d.current, d.previous))
	}
	for _, why := range []string{"budget", "gone", "timeout"} {
		if d.missing[why] == 0 {
			errs = append(errs, fmt.Errorf("no log is missing because of %s, and some must be", why))
		}
	}
	for why := range d.missing {
		if !slices.Contains([]string{"budget", "gone", "timeout", "unreachable", "not_started"}, why) {
			errs = append(errs, fmt.Errorf("%d logs are missing because of %s", d.missing[why], why))
		}
	}
	if m := median(d.delays); m > logP99 {
		errs = append(errs, fmt.Errorf("the median delay between crash and fetch is %s", m))
	}
	return errors.Join(errs...)
}

// leaks reads every topic whole and counts the records with a planted secret.
func (s *logsRun) leaks(ctx context.Context) (int, error) {
	topics, err := s.broker.admin.ListTopics(ctx)
	if err != nil {
		return 0, err
	}
	n, records := 0, 0
	found := map[string]bool{}
	err = s.broker.read(ctx, func(r *kgo.Record) error {
		records++
		whole := slices.Concat(r.Key, r.Value)
		for _, h := range r.Headers {
			whole = append(whole, h.Value...)
		}
		for _, secret := range append(plantedSecrets, excuse) {
			if bytes.Contains(whole, []byte(secret)) {
				found[r.Topic+" "+secret] = true
				n++
			}
		}
		return nil
	}, topics.Names()...)
	s.logf("%d topics with %d records hold %d secrets %v", len(topics), records, n, slices.Sorted(maps.Keys(found)))
	return n, err
}

// latency is from the API server's answer to the document.
func (s *logsRun) latency() (p99 time.Duration, samples int) {
	var all []time.Duration
	for _, w := range s.load.done {
		if at, ok := s.arrivals.at(schemas.EventID(s.ref.clusterUID, 0, w.uid, w.rv)); ok {
			all = append(all, at.Sub(w.at))
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	s.logf("latency: p50 %s, p90 %s, max %s", all[len(all)/2], all[len(all)*9/10], all[len(all)-1])
	return all[(len(all)*99+99)/100-1], len(all)
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
