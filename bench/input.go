package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/enricher"
	"kubescribe/schemas"
)

// recording is the shipped recording, from the root of the repository, where make runs the benchmarks.
const recording = "testdata/recordings/kwok-shop.ndjson"

// observations are n records of events.<c>: the recording's Events over and over, each with an id of its own.
func observations(n int) ([]*kgo.Record, error) {
	f, err := os.Open(recording)
	if err != nil {
		return nil, fmt.Errorf("opening the recording (run from the repository's root): %w", err)
	}
	defer f.Close()
	type meta struct {
		InvolvedObject schemas.Subject `json:"involvedObject"`
		LastTimestamp  *time.Time      `json:"lastTimestamp"`
	}
	var objects []json.RawMessage
	var metas []meta
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var l struct {
			Object map[string]json.RawMessage `json:"object"`
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, err
		}
		var md map[string]json.RawMessage
		if err := json.Unmarshal(l.Object["metadata"], &md); err != nil {
			return nil, err
		}
		delete(md, "managedFields")
		if l.Object["metadata"], err = json.Marshal(md); err != nil {
			return nil, err
		}
		b, err := json.Marshal(l.Object)
		if err != nil {
			return nil, err
		}
		var m meta
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, err
		}
		objects, metas = append(objects, b), append(metas, m)
	}
	if err := lines.Err(); err != nil || len(objects) == 0 {
		return nil, fmt.Errorf("reading the recording: %d objects, %w", len(objects), err)
	}
	at := time.Date(2026, 11, 16, 9, 0, 0, 0, time.UTC)
	c := schemas.Cluster{Name: cluster, UID: schemas.RecordingClusterUID(cluster)}
	records := make([]*kgo.Record, n)
	for i := range records {
		m := metas[i%len(metas)]
		o := schemas.Observation{
			ID: schemas.EventID(c.UID, 0, fmt.Sprintf("bench-%d", i), fmt.Sprint(i)), Type: schemas.TypeEvent, Cluster: c, Source: schemas.SourceEvents,
			Subject: m.InvolvedObject, Payload: objects[i%len(objects)],
		}
		t := at.Add(time.Duration(i) * time.Millisecond)
		o.SetTime(t, t)
		v, err := json.Marshal(&o)
		if err != nil {
			return nil, err
		}
		records[i] = &kgo.Record{Key: []byte(o.Subject.Key()), Value: v, Headers: kgoHeaders(o.Event().Headers())}
	}
	return records, nil
}

func kgoHeaders(hs []schemas.Header) []kgo.RecordHeader {
	out := make([]kgo.RecordHeader, len(hs))
	for i, h := range hs {
		out[i] = kgo.RecordHeader(h)
	}
	return out
}

// documents are n records of enriched.<c>: the observations, enriched without an API server.
func documents(n int) ([]*kgo.Record, error) {
	records, err := observations(n)
	if err != nil {
		return nil, err
	}
	for i, r := range records {
		o, err := schemas.DecodeObservation(r.Value)
		if err != nil {
			return nil, err
		}
		d, err := enricher.Enrich(o, enricher.Object{Status: schemas.EnrichmentUnavailable}, enricher.Fields{})
		if err != nil {
			return nil, err
		}
		v, err := d.Encode()
		if err != nil {
			return nil, err
		}
		records[i] = &kgo.Record{Key: r.Key, Value: v, Headers: kgoHeaders(d.Headers())}
	}
	return records, nil
}
