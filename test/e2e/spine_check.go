package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"kubescribe/schemas"
)

// check stops the services cleanly and compares every stage with what etcd says.
func (s *spineRun) check(ctx context.Context) (Figures, error) {
	var errs []error
	for _, v := range s.victims {
		errs = append(errs, v.stop())
	}
	want, err := s.ref.drain(ctx)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(want, func(id string, _ bool) bool { return s.before[id] })

	// The pods crash: what the containers' source says of it must arrive everywhere, too. etcd is no witness of that, but the raw
	// topic is (producer-containers holds it to account), and it may repeat nothing.
	var lost, duplicated int
	var crashes map[string]bool
	stage := func(name string, all map[string]int) {
		got, ends := byState(all)
		if crashes == nil {
			crashes = make(map[string]bool, len(ends))
			for id := range ends {
				crashes[id] = true
			}
		}
		if missing, extra, twice := compare(crashes, ends); len(missing)+len(extra)+twice > 0 {
			errs = append(errs, fmt.Errorf("%s: of %d containers' transitions, missing %q, unknown %q, repeated %d", name, len(crashes), missing, extra, twice))
		}
		missing, extra, twice := compare(want, got)
		s.logf("%s: %d records, %d missing, %d unknown, %d repeated", name, len(got), len(missing), len(extra), twice)
		if len(missing)+len(extra) > 0 {
			errs = append(errs, fmt.Errorf("%s: missing %.5q, unknown %.5q", name, missing[:min(5, len(missing))], extra[:min(5, len(extra))]))
		}
		lost, duplicated = max(lost, len(missing)), max(duplicated, twice+len(extra))
	}
	for _, topic := range []string{s.topics.Events(cluster), s.topics.Enriched(cluster)} {
		got, err := s.broker.ids(ctx, topic)
		if err != nil {
			return nil, err
		}
		stage(topic, got)
	}
	documents, wrong, err := s.documents(ctx)
	if err != nil {
		return nil, err
	}
	stage("elasticsearch", documents)

	p99, samples := s.latency()
	pages, repeats := s.hook.count()
	for _, a := range s.hook.received() {
		s.logf("page: %s %s %v %s", a.Rule, a.Status, a.Labels, a.Annotations["summary"])
	}
	figures := Figures{
		{"records", len(want)},
		{"kills_in_flight", s.kills},
		{"lost", lost},
		{"duplicated", duplicated},
		{"crashes", len(crashes)},
		{"pages", pages},
		{"repeated_pages", repeats},
		{"wrong_context", wrong},
		{"p99_s", p99.Seconds()},
		{"p99_of", samples},
		{"recovery_s", s.slowest.Seconds()},
	}
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(len(want) >= spineRecords, "only %d records, want at least %d", len(want), spineRecords)
	must(len(crashes) > 0, "no container's transition was seen, though pods crashed")
	must(s.kills >= spineKills*len(s.victims), "only %d kills in flight, want %d", s.kills, spineKills*len(s.victims))
	must(lost == 0, "%d records are lost", lost)
	must(duplicated == 0, "%d records are duplicated", duplicated)
	must(pages == 1, "%d pages, want exactly one", pages)
	must(wrong == 0, "%d documents without the right owner and labels", wrong)
	must(samples >= spineMinSample, "only %d latencies outside the kill windows, want %d", samples, spineMinSample)
	must(p99 <= spineP99, "p99 is %s, want at most %s", p99, spineP99)
	must(s.slowest <= spineRecovery, "a recovery took %s, want at most %s", s.slowest, spineRecovery)
	return figures, errors.Join(errs...)
}

// byState takes the ids of containers' transitions apart from all others.
func byState(ids map[string]int) (events, containers map[string]int) {
	events, containers = map[string]int{}, map[string]int{}
	for id, n := range ids {
		if strings.Contains(id, "/"+string(schemas.StateTerminated)+"/") || strings.Contains(id, "/"+string(schemas.StateWaiting)+"/") {
			containers[id] = n
		} else {
			events[id] = n
		}
	}
	return events, containers
}

// compare returns what is missing, what nobody wrote, and how often something repeated.
func compare(want map[string]bool, got map[string]int) (missing, extra []string, twice int) {
	for id := range want {
		if got[id] == 0 {
			missing = append(missing, id)
		}
	}
	for id, n := range got {
		if !want[id] {
			extra = append(extra, id)
		}
		twice += n - 1
	}
	slices.Sort(missing)
	slices.Sort(extra)
	return missing, extra, twice
}

// documents counts the documents by id over all indices, and those about the load's pod that lack its owner or labels.
func (s *spineRun) documents(ctx context.Context) (map[string]int, int, error) {
	if err := s.elastic.call(ctx, http.MethodPost, "/kubescribe-*/_refresh", "", nil); err != nil {
		return nil, 0, err
	}
	ids, wrong, checked := map[string]int{}, 0, 0
	var bad error
	err := s.elastic.each(ctx, `{"match_all":{}}`, "true", func(h hit) {
		ids[h.ID]++
		var d schemas.Document
		if err := json.Unmarshal(h.Source, &d); err != nil {
			bad = err
			return
		}
		if d.Event.Action != "Load" {
			return
		}
		checked++
		w := d.Kubescribe.Workload
		if w == nil || w.Kind != "Deployment" || w.Name != "crashy" || d.Kubernetes.Labels["app"] != "crashy" || d.Event.ID != h.ID {
			if wrong == 0 {
				s.logf("wrong context: %s", h.Source)
			}
			wrong++
		}
	})
	if checked == 0 {
		bad = errors.Join(bad, errors.New("no document of the load was found"))
	}
	return ids, wrong, errors.Join(err, bad)
}

// latency is the 99th percentile of the time from the API server's answer to the first search that finds the document, of
// those events whose way overlaps no kill window.
func (s *spineRun) latency() (time.Duration, int) {
	var took []time.Duration
	done, _ := s.load.snapshot()
	for _, w := range done {
		seen, ok := s.found.at(s.id(w))
		if !ok || slices.ContainsFunc(s.windows, func(k window) bool { return w.at.Before(k.to) && seen.After(k.from) }) {
			continue
		}
		took = append(took, seen.Sub(w.at))
	}
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[(len(took)*99+99)/100-1], len(took)
}
