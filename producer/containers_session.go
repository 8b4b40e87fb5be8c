package producer

import (
	"container/heap"
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubescribe/producer/container"
	"kubescribe/producer/selection"
	"kubescribe/schemas"
)

// containerSession is a session of the state source. It keeps no pods: of each pod about which something was said, or is going to
// be, the ids of that. It belongs to one goroutine.
//
// Its checkpoint is a resourceVersion to resume the watch from. When that can't be had, a list does: what it shows and was not
// said yet is said, and what was said about pods that are gone is forgotten. So a list needs no progress of its own: one that was
// cut short is simply read again.
type containerSession struct {
	*session
	options  *container.Options
	selected *selector
	states   map[types.UID]*schemas.ObjectState
	floor    time.Time // what ended before is old; never goes back
	due      dues
	silent   bool // the first list of a source that starts from now on
}

func (s *containerSession) run(ctx context.Context, cp *schemas.Checkpoint) error {
	if cp == nil {
		s.begin()
	} else {
		s.cp = *cp
		if s.cp.RV != "" {
			rv, err := parseRV(s.cp.RV)
			if err != nil {
				return fmt.Errorf("reading the checkpoint: %w", err)
			}
			s.rv = rv
		}
		s.d.Log.Info("resuming", "source", schemas.SourceContainers, "rv", cp.RV, "epoch", cp.Epoch, "observed_at", cp.ObservedAt, "in_list", cp.List != nil)
	}
	s.silent = s.rv == 0 && s.cp.Epoch == 0 && s.cfg.From == FromNow
	for uid, state := range s.states {
		s.wait(uid, state)
	}
	empties := 0
	failures := retry{pacing: s.pace}
	for ctx.Err() == nil {
		if err := s.align(ctx); err != nil {
			return err
		}
		end, delivered, err := s.follow(ctx)
		if drained := s.out.drain(ctx); drained != nil {
			return drained
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.m.watches.WithLabelValues(string(end)).Inc()
		if delivered {
			failures.reset()
		}
		if end != endEmpty {
			empties = 0
		}
		switch end {
		case endFatal:
			return err
		case endExpired:
			s.expect(schemas.GapExpired)
		case endEmpty:
			if empties++; empties < emptiesBelieved {
				failures.wait(ctx, nil)
			} else {
				empties = 0
				s.expect(schemas.GapExpired)
			}
		case endFailed:
			s.trouble(err)
			failures.wait(ctx, err)
		}
	}
	return ctx.Err()
}

// emptiesBelieved is how many watches in a row may end at once and without a word before that is taken for an expiry: some servers
// and proxies say it so, but a server that is just stopping does the same, and that is no gap.
const emptiesBelieved = 6

// begin sets the checkpoint of a source that never ran.
func (s *containerSession) begin() {
	now := s.d.Now().UTC()
	s.cp = schemas.Checkpoint{Source: schemas.SourceContainers, ClusterUID: s.cluster.UID, RV: "0", ObservedAt: now, Since: now}
	if s.cfg.From == FromOldest {
		s.cp.Since = now.Add(-s.cfg.Containers.IgnoreOlderThan)
		if s.cfg.Containers.IgnoreOlderThan == 0 {
			s.cp.Since = time.Time{}
		}
	}
	s.d.Log.Info("starting with what the pods show", "source", schemas.SourceContainers, "since", s.cp.Since)
	s.expect("")
}

// expect notes that a list must come before the next watch, and why.
func (s *containerSession) expect(cause schemas.GapCause) {
	if s.cp.List == nil {
		s.cp.List = &schemas.ListProgress{Floor: formatRV(s.rv), Cause: cause}
	}
}

// align makes the checkpoint one that a watch can start from.
func (s *containerSession) align(ctx context.Context) error {
	if s.rv != 0 {
		var head uint64
		err := s.attempt(ctx, func() (err error) {
			head, err = s.api.podsHead(ctx, s.selected)
			return err
		})
		if err != nil {
			return err
		}
		if head < s.rv {
			s.d.Log.Warn("the API server's resourceVersion went back", "source", schemas.SourceContainers, "rv", head, "checkpoint_rv", s.rv, "epoch", s.cp.Epoch+1)
			s.cp.List = nil
			s.expect(schemas.GapRegression)
			s.cp.Epoch++
			s.rv, s.cp.RV = 0, "0"
		}
	}
	if s.cp.List == nil {
		return nil
	}
	return s.list(ctx)
}

// step says what is new about a pod. The caller has moved the checkpoint, if the revision moves it.
func (s *containerSession) step(ctx context.Context, pod *corev1.Pod) (said int64, err error) {
	if !s.selected.holds([]byte(pod.Namespace)) {
		return 0, nil
	}
	at := s.d.Now()
	was := s.states[pod.UID]
	say, is, changed, err := s.options.Step(was, pod, container.Scene{Cluster: s.cluster, At: at, Floor: s.floor, Silent: s.silent})
	if err != nil {
		return 0, fmt.Errorf("looking at pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	if !changed {
		return 0, nil
	}
	return int64(len(say)), s.say(ctx, pod.UID, say, is)
}

// say writes observations and the state that holds with them in one transaction; a nil state is forgotten.
func (s *containerSession) say(ctx context.Context, uid types.UID, say []*schemas.Observation, is *schemas.ObjectState) error {
	records := make([]*kgo.Record, 0, len(say)+1)
	facts := make([]fact, 0, len(say))
	for _, o := range say {
		if s.selected.drops(func() *selection.Fact { return containerFact(o) }) {
			continue // and remembered as said, so that it is dropped, and counted, once
		}
		r, err := observationRecord(s.topics.Events(s.cluster.Name), o.Subject.Key(), o)
		if err != nil {
			return err
		}
		records, facts = append(records, r), append(facts, fact{kind: o.Type, time: o.Time})
	}
	r, err := stateRecord(s.topics.Checkpoints(s.cluster.Name), string(uid), is)
	if err != nil {
		return err
	}
	if is == nil {
		delete(s.states, uid)
	} else {
		s.states[uid] = is
		s.wait(uid, is)
	}
	return s.out.addAll(ctx, append(records, r), facts, s.snapshot())
}

// forget drops what was said about a pod that is gone.
func (s *containerSession) forget(ctx context.Context, uid types.UID) error {
	if s.states[uid] == nil {
		return nil
	}
	return s.say(ctx, uid, nil, nil)
}

// expire says what has waited for its grace period and still holds.
func (s *containerSession) expire(ctx context.Context) error {
	now := s.d.Now()
	for len(s.due) > 0 && !s.due[0].at.After(now) {
		uid := heap.Pop(&s.due).(dueAt).uid
		was := s.states[uid]
		if was == nil {
			continue
		}
		if at := container.Due(was); at.IsZero() || at.After(now) {
			continue // it was said, or does not hold any more
		}
		say, is, err := container.Expire(was, now)
		if err != nil {
			return err
		}
		if err := s.say(ctx, uid, say, is); err != nil {
			return err
		}
	}
	return nil
}

// age raises the time before which an end is old. It counts from when the source last saw the cluster, and so must be called
// before a watch or a list shows what is new: an outage does not make old what it hid. What came back with a backup of etcd and
// lies before that was said.
func (s *containerSession) age() {
	floors := []time.Time{s.cp.Since}
	if d := s.cfg.Containers.IgnoreOlderThan; d > 0 {
		floors = append(floors, s.cp.ObservedAt.Add(-d))
	}
	if l := s.cp.List; l != nil && l.Cause == schemas.GapRegression {
		floors = append(floors, s.cp.ObservedAt.Truncate(time.Second)) // ends have whole seconds, cut off
	}
	for _, t := range floors {
		if t.After(s.floor) {
			s.floor = t
		}
	}
}

// wait arms the timer of a state.
func (s *containerSession) wait(uid types.UID, state *schemas.ObjectState) {
	if at := container.Due(state); !at.IsZero() {
		heap.Push(&s.due, dueAt{at: at, uid: uid})
	}
}

// dues are the pods that have something pending, the next one first. An entry may be out of date.
type dues []dueAt

type dueAt struct {
	at  time.Time
	uid types.UID
}

func (d dues) Len() int           { return len(d) }
func (d dues) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d dues) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *dues) Push(x any)        { *d = append(*d, x.(dueAt)) }
func (d *dues) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}

func stateRecord(topic, uid string, state *schemas.ObjectState) (*kgo.Record, error) {
	r := &kgo.Record{Topic: topic, Key: []byte(schemas.ObjectStateKey(schemas.SourceContainers, uid))}
	if state == nil {
		return r, nil
	}
	value, err := schemas.Encode(state)
	if err != nil {
		return nil, fmt.Errorf("encoding the state of pod %s: %w", uid, err)
	}
	r.Value = value
	return r, nil
}
