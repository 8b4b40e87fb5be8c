package schemas

import (
	"encoding/json"
	"errors"
	"time"
)

// Checkpoint says how far a log source got: the value in checkpoints.<c> under the key of its source. It is written in
// the transaction of the records that it covers.
type Checkpoint struct {
	Source     Source `json:"source"`
	ClusterUID string `json:"clusterUID"`
	// Epoch grows each time the API server's resourceVersion went back.
	Epoch int64 `json:"epoch"`
	// RV is the resourceVersion up to which every revision is in the topic (while List is nil).
	RV string `json:"rv"`
	// ObservedAt is when the API server last proved that nothing newer than RV was missed; the lower bound of a gap.
	ObservedAt time.Time `json:"observedAt"`
	// Since is set by a state source at its very first start: it passes over what ended before.
	Since time.Time `json:"since,omitzero"`
	// List is set while a list is being emitted.
	List *ListProgress `json:"list,omitempty"`
	// Recording is set instead of RV when the source is a recording.
	Recording *RecordingProgress `json:"recording,omitempty"`
}

// ListProgress says that the producer is emitting a list: what the API server still held when the watch could not go on, or
// at the very first start. A list is emitted in the order of resourceVersion, so one number says how far it got: while
// ListProgress is set, the checkpoint's RV is the newest emitted one, and ObservedAt stays at the value from before the
// list. Whoever finds it goes on with the same list (read again at exactly ListRV) or, when the server can't give that any
// more, with a newer one, from RV. No watch starts from an RV in mid-list.
type ListProgress struct {
	ListRV  string    `json:"listRV"`          // the resourceVersion of the list; the checkpoint's RV when it is through
	AskedAt time.Time `json:"askedAt"`         // just before the list was asked for; the checkpoint's ObservedAt when it is through
	Until   time.Time `json:"until"`           // just after its first page came; the upper bound of the gap
	Floor   string    `json:"floor"`           // the checkpoint's RV before the list
	Cause   GapCause  `json:"cause,omitempty"` // why the watch could not go on; "" for the very first list, which ends no gap
	Emitted int64     `json:"emitted"`         // revisions of this list that are in the topic
}

// RecordingProgress says how much of a recording is in the topic.
type RecordingProgress struct {
	SHA256 string `json:"sha256"` // of the whole file
	Lines  int64  `json:"lines"`  // lines, or items of a list, that are through
}

// Validate reports every problem of c at once.
func (c *Checkpoint) Validate() error {
	var errs []error
	if c.Source == "" {
		errs = append(errs, errors.New("source: is missing"))
	}
	if c.ClusterUID == "" {
		errs = append(errs, errors.New("clusterUID: is missing"))
	}
	if c.Epoch < 0 {
		errs = append(errs, errors.New("epoch: is negative"))
	}
	if c.RV == "" && c.Recording == nil && c.List == nil {
		errs = append(errs, errors.New("rv: is missing"))
	}
	if c.ObservedAt.IsZero() {
		errs = append(errs, errors.New("observedAt: is missing"))
	}
	return errors.Join(errs...)
}

// DecodeCheckpoint decodes and validates a checkpoint.
func DecodeCheckpoint(b []byte) (*Checkpoint, error) { return decode[Checkpoint](b, "checkpoint") }

// ObjectState is what a state source has said about one object: the value in checkpoints.<c> under source + object.
// A tombstone follows when the object is gone.
type ObjectState struct {
	Source     Source `json:"source"`
	ClusterUID string `json:"clusterUID"`
	UID        string `json:"uid"`
	// Emitted holds the ids of the facts that are in the topic and could still be seen again.
	Emitted []string `json:"emitted,omitempty"`
	// Pending holds facts that wait for their grace period, by id.
	Pending map[string]PendingFact `json:"pending,omitempty"`
}

// PendingFact is a fact that is emitted at Due if it still holds then.
type PendingFact struct {
	Due  time.Time       `json:"due"`
	Fact json.RawMessage `json:"fact"`
}

// Validate reports every problem of s at once.
func (s *ObjectState) Validate() error {
	return required(field{"source", s.Source != ""}, field{"clusterUID", s.ClusterUID != ""}, field{"uid", s.UID != ""})
}

// DecodeObjectState decodes and validates an object state.
func DecodeObjectState(b []byte) (*ObjectState, error) { return decode[ObjectState](b, "object state") }

// CheckpointKey is the key of a log source's checkpoint; ObjectStateKey that of a state source's object.
func CheckpointKey(s Source) string { return string(s) }

// ObjectStateKey is the key of an object's state in checkpoints.<c>.
func ObjectStateKey(s Source, uid string) string { return join(string(s), uid) }

// RecordingKey is the key of the checkpoint of the recording whose file has this SHA-256.
func RecordingKey(sha256 string) string { return join("recording", sha256) }
