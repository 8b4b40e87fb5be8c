package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// summary is what local prints at its end.
type summary struct {
	Observed     int64                    `json:"observed"`
	Enriched     int64                    `json:"enriched"`
	Documents    int64                    `json:"documents"`
	Deadlettered int64                    `json:"deadlettered"`
	Alerts       map[string]alertsByState `json:"alerts"`
	Bad          int64                    `json:"bad"`
	Ignored      int64                    `json:"ignored"`
	Seconds      float64                  `json:"seconds"`
}

type alertsByState map[schemas.AlertStatus]int64

// summarize counts what is there and prints it, once.
func (l *local) summarize(ctx context.Context) error {
	if l.shown {
		return nil
	}
	n := l.counters()
	s := summary{
		Observed: l.played.Observed, Enriched: int64(n[metricEnriched]), Bad: l.played.Bad, Ignored: l.played.Ignored,
	}
	if len(l.o.replay) == 0 {
		s.Observed = int64(n[metricObserved])
	}
	var err1, err2, err3 error
	s.Documents, err1 = countDocuments(ctx, l.db)
	s.Deadlettered, err2 = l.countDeadLetters(ctx)
	s.Alerts, err3 = l.countAlerts(ctx)
	s.Seconds = math.Round(time.Since(l.began).Seconds()*100) / 100
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("counting: %w", err)
	}
	l.shown = true
	if l.o.format.json() {
		return json.NewEncoder(l.con.out).Encode(s)
	}
	return s.print(l.con.out)
}

// countDocuments opens the store anew, so that it counts what is on the disk.
func countDocuments(ctx context.Context, path string) (n int64, err error) {
	st, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return st.Count(ctx, store.Query{})
}

// countDeadLetters counts the source records that are in a dead letter.
func (l *local) countDeadLetters(ctx context.Context) (int64, error) {
	seen := map[stream.Origin]bool{}
	for _, cluster := range []string{l.c.Cluster, ""} {
		err := stream.ReadDeadLetters(ctx, l.c.Kafka, l.deps("summary"), l.c.topics().DeadLetter(cluster), func(d stream.DeadLetter) error {
			seen[d.Origin()] = true
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return int64(len(seen)), nil
}

// countAlerts counts each alert once, under its last state. A record that says that an alert goes on leaves it firing.
func (l *local) countAlerts(ctx context.Context) (map[string]alertsByState, error) {
	type alert struct {
		cluster, fingerprint string
		startsAt             int64
	}
	rules, states := map[alert]string{}, map[alert]schemas.AlertStatus{}
	err := stream.ReadTopic(ctx, l.c.Kafka, l.deps("summary"), stream.ReadOptions{Topic: l.c.topics().Alerts(), From: stream.FromStart},
		func(r *kgo.Record) error {
			a, err := schemas.DecodeAlert(r.Value)
			if err != nil {
				return nil //nolint:nilerr // the notifier puts it into the dead letter, where it is counted
			}
			key := alert{a.Cluster, a.Fingerprint, a.StartsAt.UnixNano()}
			rules[key] = a.Rule
			if a.Status == schemas.AlertResolved || states[key] == schemas.AlertResolved {
				states[key] = schemas.AlertResolved
			} else {
				states[key] = schemas.AlertFiring
			}
			return nil
		})
	out := map[string]alertsByState{}
	for key, rule := range rules {
		if out[rule] == nil {
			out[rule] = alertsByState{}
		}
		out[rule][states[key]]++
	}
	return out, err
}

// print writes the summary for people.
func (s summary) print(w io.Writer) error {
	fmt.Fprintf(w, "observed      %d\nenriched      %d\ndocuments     %d\ndeadlettered  %d\n", s.Observed, s.Enriched, s.Documents, s.Deadlettered)
	if s.Bad > 0 {
		fmt.Fprintf(w, "bad           %d\n", s.Bad)
	}
	if s.Ignored > 0 {
		fmt.Fprintf(w, "ignored       %d (no Events)\n", s.Ignored)
	}
	for _, rule := range slices.Sorted(maps.Keys(s.Alerts)) {
		for _, state := range slices.Sorted(maps.Keys(s.Alerts[rule])) {
			fmt.Fprintf(w, "alerts        %d %s: %s\n", s.Alerts[rule][state], state, rule)
		}
	}
	_, err := fmt.Fprintf(w, "seconds       %.2f\n", s.Seconds)
	return err
}
