package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// revisionID is one revision of one Event.
type revisionID struct {
	uid string
	rv  uint64
}

func (r revisionID) String() string { return r.uid + "/" + strconv.FormatUint(r.rv, 10) }

// observed is an Event's revision as the topic has it.
type observed struct {
	revisionID
	epoch int64
	count int64  // as the Event says
	since *int64 // occurrences since the previous revision
}

// gapBounds are the resourceVersions between which a gap lies: what is newer than after, up to the list at until.
type gapBounds struct {
	after, until uint64
	gap          *schemas.Gap
}

// rawTopic reads events.<c>, read committed, in the order of its partitions.
func (w *watched) rawTopic(ctx context.Context) (found []observed, gaps []gapBounds, err error) {
	parts := map[int32][]observed{}
	err = w.broker.read(ctx, func(r *kgo.Record) error {
		o, err := schemas.DecodeObservation(r.Value)
		if err != nil {
			return fmt.Errorf("record %d/%d: %w", r.Partition, r.Offset, err)
		}
		switch o.Type {
		case schemas.TypeGap:
			g, err := schemas.DecodeGap(o.Payload)
			if err != nil || g.Source != schemas.SourceEvents { // an API server that starts anew has forgotten the pods' watch
				return err
			}
			b := gapBounds{gap: g}
			b.after, _ = strconv.ParseUint(g.CheckpointRV, 10, 64)
			b.until, _ = strconv.ParseUint(g.ListRV, 10, 64)
			w.logf("gap: %s, %s, after %s until %s, %s", g.Cause, g.Certainty, g.CheckpointRV, g.ListRV, g.To.Sub(g.From).Round(time.Millisecond))
			gaps = append(gaps, b)
		case schemas.TypeEvent:
			id := strings.Split(o.ID, "/")
			if len(id) != 4 {
				return fmt.Errorf("record %d/%d has the id %q", r.Partition, r.Offset, o.ID)
			}
			epoch, err := strconv.ParseInt(id[1], 10, 64)
			if err != nil {
				return err
			}
			rv, err := strconv.ParseUint(id[3], 10, 64)
			if err != nil {
				return err
			}
			var ev struct {
				Count  int64
				Series struct{ Count int64 }
			}
			if err := json.Unmarshal(o.Payload, &ev); err != nil {
				return fmt.Errorf("record %d/%d: %w", r.Partition, r.Offset, err)
			}
			parts[r.Partition] = append(parts[r.Partition], observed{revisionID{id[2], rv}, epoch, max(1, ev.Count, ev.Series.Count), o.Occurrences})
		}
		return nil
	}, w.topics.Events(cluster))
	for _, part := range parts {
		found = append(found, part...)
	}
	return found, gaps, err
}

// compareWithEtcd ends the reference and judges the topic by it.
func (w *watched) compareWithEtcd(ctx context.Context, start uint64) (verdict, error) {
	if _, err := w.ref.drain(ctx); err != nil {
		return verdict{}, err
	}
	happened, err := w.ref.chronicle()
	if err != nil {
		return verdict{}, err
	}
	found, gaps, err := w.rawTopic(ctx)
	if err != nil {
		return verdict{}, err
	}
	w.logf("the topic holds %d revisions and %d gaps; etcd saw %d changes", len(found), len(gaps), len(happened))
	return judge(happened, found, gaps, start), nil
}
