package reconciliation

import (
	"cmp"
	"slices"
	"time"
)

// Report is what a reconciliation has found.
type Report struct {
	// Since is the full hour of event time that it began with.
	Since    time.Time `json:"since"`
	Group    string    `json:"group"`
	Clusters []Cluster `json:"clusters"`
}

// Cluster is what was found about one cluster.
type Cluster struct {
	Name string `json:"cluster"`
	// Whole is the event time from which on a document without a record is extra. Before it, Kafka's retention may have taken the
	// record. Zero when nothing was ever taken.
	Whole time.Time `json:"whole,omitzero"`
	Counts
	// Differences are the first of each kind, in order of kind and time.
	Differences []Difference `json:"differences"`
}

// Counts are the numbers of one cluster, or of all.
type Counts struct {
	// Records are the records of the time range that Kafka has.
	Records int64 `json:"records"`
	// Repeated are those among the records that were compared by id whose id had been read before.
	Repeated int64 `json:"repeated"`
	// Documents are what the store showed of the time range.
	Documents int64 `json:"documents"`
	// Missing are records without a document, Extra documents without a record.
	Missing int64 `json:"missing"`
	Extra   int64 `json:"extra"`
	// DeadLettered, Expired and Pending are records without a document, for a reason.
	DeadLettered int64 `json:"deadlettered"`
	Expired      int64 `json:"expired"`
	Pending      int64 `json:"pending"`
	// Repaired are those of Missing that were stored.
	Repaired int64 `json:"repaired"`
}

// Kind is a kind of difference.
type Kind string

// The kinds of differences.
const (
	KindMissing      Kind = "missing"
	KindExtra        Kind = "extra"
	KindDeadLettered Kind = "deadlettered"
)

// Difference is one document or record that is on one side only.
type Difference struct {
	Kind  Kind      `json:"kind"`
	ID    string    `json:"id,omitempty"` // empty when the record's headers hold none
	Class string    `json:"class,omitempty"`
	Time  time.Time `json:"time,omitzero"` // of an extra document, the hour that it is in
	// Record is TOPIC/PARTITION/OFFSET; empty for an extra document.
	Record string `json:"record,omitempty"`
	// Repaired says that it is in the store now.
	Repaired bool `json:"repaired,omitempty"`
	// Reason says why it was dead-lettered, or could not be repaired.
	Reason string `json:"reason,omitempty"`
}

// Total sums the clusters.
func (r Report) Total() Counts {
	var t Counts
	for _, c := range r.Clusters {
		t.Records += c.Records
		t.Repeated += c.Repeated
		t.Documents += c.Documents
		t.Missing += c.Missing
		t.Extra += c.Extra
		t.DeadLettered += c.DeadLettered
		t.Expired += c.Expired
		t.Pending += c.Pending
		t.Repaired += c.Repaired
	}
	return t
}

// Agree says that nothing is missing that was not repaired, and nothing extra.
func (c Counts) Agree() bool { return c.Missing == c.Repaired && c.Extra == 0 }

// note keeps the first differences of each kind.
func (c *Cluster) note(limit int, d Difference) {
	n := 0
	for _, have := range c.Differences {
		if have.Kind == d.Kind {
			n++
		}
	}
	if n < limit {
		c.Differences = append(c.Differences, d)
	}
}

func (c *Cluster) sort() {
	order := map[Kind]int{KindMissing: 0, KindExtra: 1, KindDeadLettered: 2}
	slices.SortStableFunc(c.Differences, func(a, b Difference) int {
		return cmp.Or(order[a.Kind]-order[b.Kind], a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
}
