package reconciliation

import (
	"cmp"
	"slices"
	"time"

	"kubescribe/internal/stream"
)

// bucket is one class and hour of event time.
type bucket struct {
	class string
	hour  int64 // Unix time divided by 3600
}

func bucketOf(class string, t time.Time) bucket { return bucket{class, floorHour(t)} }

func (b bucket) start() time.Time { return time.Unix(b.hour*3600, 0).UTC() }

func floorHour(t time.Time) int64 {
	s := t.Unix()
	if s < 0 {
		return (s+1)/3600 - 1
	}
	return s / 3600
}

// tally is what is known of a bucket.
type tally struct {
	records   int64 // in Kafka
	documents int64 // in the store
	// where its records are: the first and last offset in each partition, by the partition's number in the scan.
	where map[int]stretch
}

type stretch struct{ first, last int64 }

func (t *tally) at(part int, offset int64) {
	if t.where == nil {
		t.where = map[int]stretch{}
	}
	s, ok := t.where[part]
	if !ok {
		s = stretch{offset, offset}
	}
	t.where[part] = stretch{min(s.first, offset), max(s.last, offset)}
}

// round is a set of buckets whose ids are held at once. Of a bucket that is too large alone there are several rounds, each with the
// ids whose hash falls to its share.
type round struct {
	buckets []bucket
	share   uint64
	shares  uint64
}

// rounds packs the buckets, in order, so that no round has more than held records.
func rounds(tallies map[bucket]*tally, which []bucket, held int64) []round {
	slices.SortFunc(which, func(a, b bucket) int { return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.class, b.class)) })
	var all []round
	var open round
	var n int64
	flush := func() {
		if len(open.buckets) > 0 {
			open.shares = 1
			all = append(all, open)
		}
		open, n = round{}, 0
	}
	for _, b := range which {
		records := tallies[b].records
		if records > held {
			shares := uint64((records + held - 1) / held)
			for s := range shares {
				all = append(all, round{buckets: []bucket{b}, share: s, shares: shares})
			}
			continue
		}
		if n+records > held {
			flush()
		}
		open.buckets, n = append(open.buckets, b), n+records
	}
	flush()
	return all
}

// spans are the stretches of Kafka that hold all records of the buckets, one for each partition.
func spans(extents []stream.Extent, tallies map[bucket]*tally, of []bucket) []stream.Span {
	hull := map[int]stretch{}
	for _, b := range of {
		for part, s := range tallies[b].where {
			h, ok := hull[part]
			if !ok {
				h = s
			}
			hull[part] = stretch{min(h.first, s.first), max(h.last, s.last)}
		}
	}
	var all []stream.Span
	for part, e := range extents {
		if h, ok := hull[part]; ok {
			all = append(all, stream.Span{Topic: e.Topic, Partition: e.Partition, From: h.first, To: h.last + 1})
		}
	}
	return all
}
