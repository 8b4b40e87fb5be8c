package container

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubescribe/schemas"
)

// Scene is what a step needs to know besides the pod.
type Scene struct {
	Cluster schemas.Cluster
	// At is when the revision was seen.
	At time.Time
	// Floor: what ended before it is old, and no fact. Within a source it never goes back.
	Floor time.Time
	// Silent notes what the pod shows as said, and says nothing: a source that starts with what comes from now on.
	Silent bool
}

// Step compares a revision of a pod with what was said about the pod (nil: nothing) and returns what is to be said now, the state
// after it (nil: nothing needs to be remembered), and whether that differs from before. Neither p nor was is changed; the
// observations share p's labels. An error is final for this revision.
//
// A fact with a grace period is kept in the state's Pending until Due, for as long as every revision shows it.
func (o *Options) Step(was *schemas.ObjectState, p *corev1.Pod, s Scene) (say []*schemas.Observation, is *schemas.ObjectState, changed bool, err error) {
	if err := identified(p); err != nil {
		return nil, nil, false, err
	}
	is = &schemas.ObjectState{Source: schemas.SourceContainers, ClusterUID: s.Cluster.UID, UID: string(p.UID)}
	var found []candidate
	var prefixes []string
	if !o.leavesOutPod(p) {
		found, prefixes = o.look(p, s.Cluster.UID)
	}
	if was != nil {
		is.Emitted = slices.DeleteFunc(slices.Clone(was.Emitted), func(id string) bool {
			return !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(id, prefix) })
		})
	}
	for _, c := range found {
		if slices.Contains(is.Emitted, c.id) || old(c, s.Floor) {
			continue
		}
		if s.Silent {
			is.Emitted = append(is.Emitted, c.id)
			continue
		}
		var pending schemas.PendingFact
		if was != nil {
			pending = was.Pending[c.id]
		}
		if pending.Fact == nil && c.due.After(s.At) || pending.Due.After(s.At) {
			if err := hold(is, pending, c, p, s); err != nil {
				return nil, nil, false, err
			}
			continue
		}
		observation, err := settled(pending, c, p, s)
		if err != nil {
			return nil, nil, false, err
		}
		say = append(say, observation)
		is.Emitted = append(is.Emitted, c.id)
	}
	changed = !same(was, is)
	if len(is.Emitted) == 0 && len(is.Pending) == 0 {
		is = nil
	}
	return say, is, changed, nil
}

// Expire says what was pending and is due at the time given: no revision since has shown anything else.
func Expire(was *schemas.ObjectState, at time.Time) (say []*schemas.Observation, is *schemas.ObjectState, err error) {
	is = &schemas.ObjectState{Source: was.Source, ClusterUID: was.ClusterUID, UID: was.UID, Emitted: slices.Clone(was.Emitted)}
	for _, id := range slices.Sorted(maps.Keys(was.Pending)) {
		pending := was.Pending[id]
		if pending.Due.After(at) {
			keep(is, id, pending)
			continue
		}
		observation, err := schemas.DecodeObservation(pending.Fact)
		if err != nil {
			return nil, nil, fmt.Errorf("reading a pending fact: %w", err)
		}
		say = append(say, observation)
		is.Emitted = append(is.Emitted, id)
	}
	return say, is, nil
}

// Due is the earliest time at which Expire has something to say; zero: never.
func Due(s *schemas.ObjectState) time.Time {
	var due time.Time
	for _, p := range s.Pending {
		if due.IsZero() || p.Due.Before(due) {
			due = p.Due
		}
	}
	return due
}

func identified(p *corev1.Pod) error {
	if p.UID == "" || strings.Contains(string(p.UID), "/") || len(p.UID) > 64 {
		return fmt.Errorf("metadata.uid: %q is no UID", p.UID)
	}
	if p.Name == "" {
		return errors.New("metadata.name: is missing")
	}
	return nil
}

// old reports whether c ended before the floor, or waits because of such an end. What has no time can't be judged by it.
func old(c candidate, floor time.Time) bool { return !c.time.IsZero() && c.time.Before(floor) }

func hold(is *schemas.ObjectState, pending schemas.PendingFact, c candidate, p *corev1.Pod, s Scene) error {
	if pending.Fact == nil {
		observation, err := observe(c, p, s)
		if err != nil {
			return err
		}
		fact, err := schemas.Encode(observation)
		if err != nil {
			return fmt.Errorf("encoding a pending fact: %w", err)
		}
		pending = schemas.PendingFact{Due: c.due.UTC(), Fact: fact}
	}
	keep(is, c.id, pending)
	return nil
}

func keep(is *schemas.ObjectState, id string, pending schemas.PendingFact) {
	if is.Pending == nil {
		is.Pending = map[string]schemas.PendingFact{}
	}
	is.Pending[id] = pending
}

// settled is the observation of c: as it was first seen, if it had to wait for its grace period.
func settled(pending schemas.PendingFact, c candidate, p *corev1.Pod, s Scene) (*schemas.Observation, error) {
	if pending.Fact == nil {
		return observe(c, p, s)
	}
	o, err := schemas.DecodeObservation(pending.Fact)
	if err != nil {
		return nil, fmt.Errorf("reading a pending fact: %w", err)
	}
	return o, nil
}

func observe(c candidate, p *corev1.Pod, s Scene) (*schemas.Observation, error) {
	addPod(&c.what, p)
	payload, err := schemas.Encode(&c.what)
	if err != nil {
		return nil, fmt.Errorf("encoding a transition of container %s: %w", c.what.Container, err)
	}
	once := int64(1)
	o := &schemas.Observation{
		ID: c.id, Type: schemas.TypeContainer, Cluster: s.Cluster, Source: schemas.SourceContainers, Occurrences: &once, Payload: payload,
		Subject: schemas.Subject{
			APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: string(p.UID),
			ResourceVersion: p.ResourceVersion, FieldPath: c.path,
		},
	}
	if len(o.ID) > schemas.MaxIDBytes {
		return nil, fmt.Errorf("the id has %d bytes, at most %d are allowed", len(o.ID), schemas.MaxIDBytes)
	}
	t := c.time
	if t.IsZero() && c.what.State == schemas.StateWaiting {
		t = s.At
	}
	o.SetTime(t, s.At)
	return o, nil
}

// same reports whether both states say the same. A pending fact never changes while it is held.
func same(a, b *schemas.ObjectState) bool {
	var was schemas.ObjectState
	if a != nil {
		was = *a
	}
	return slices.Equal(was.Emitted, b.Emitted) &&
		maps.EqualFunc(was.Pending, b.Pending, func(x, y schemas.PendingFact) bool { return x.Due.Equal(y.Due) })
}
