package decision

import (
	"iter"
	"maps"

	"kubescribe/schemas"
)

// Groups are all groups of some clusters and what is known of them: those of a partition of matches. It is used by one goroutine.
type Groups struct {
	states map[string]schemas.AlertState // by AlertStateKey
	// inhibiting holds the keys of the groups of each cluster whose rules inhibit others.
	inhibiting map[string]map[string]bool
}

// NewGroups returns Groups that nothing is known of.
func NewGroups() *Groups {
	return &Groups{states: map[string]schemas.AlertState{}, inhibiting: map[string]map[string]bool{}}
}

// Put takes over what is known of a group.
func (g *Groups) Put(key string, s schemas.AlertState) {
	g.Delete(key)
	g.states[key] = s
	if len(s.Policy.Inhibit) == 0 {
		return
	}
	if g.inhibiting[s.Cluster] == nil {
		g.inhibiting[s.Cluster] = map[string]bool{}
	}
	g.inhibiting[s.Cluster][key] = true
}

// Delete forgets a group.
func (g *Groups) Delete(key string) {
	if s, ok := g.states[key]; ok {
		delete(g.inhibiting[s.Cluster], key)
		delete(g.states, key)
	}
}

// Get is what is known of a group; false if nothing is.
func (g *Groups) Get(key string) (schemas.AlertState, bool) {
	s, ok := g.states[key]
	return s, ok
}

// Len is the number of groups.
func (g *Groups) Len() int { return len(g.states) }

// All are the groups by their keys, in no order.
func (g *Groups) All() iter.Seq2[string, schemas.AlertState] { return maps.All(g.states) }

// Begin begins a step: what it decides is not in g until it is committed.
func (g *Groups) Begin() *Step {
	return &Step{groups: g, changed: map[string]schemas.AlertState{}}
}

// Step decides several matches and timers, one after the other. g must not change meanwhile.
type Step struct {
	groups  *Groups
	changed map[string]schemas.AlertState // zero for a group that is forgotten
	order   []string                      // of the first change
}

// Changes are the groups that changed, in the order of their first change, with their last state; a zero state is a tombstone.
func (s *Step) Changes() iter.Seq2[string, schemas.AlertState] {
	return func(yield func(string, schemas.AlertState) bool) {
		for _, key := range s.order {
			if !yield(key, s.changed[key]) {
				return
			}
		}
	}
}

// Commit takes the changes over.
func (s *Step) Commit() {
	for key, state := range s.Changes() {
		if state.Fingerprint == "" {
			s.groups.Delete(key)
		} else {
			s.groups.Put(key, state)
		}
	}
}

// state is what is known of a group as this step has left it.
func (s *Step) state(key string) schemas.AlertState {
	if state, ok := s.changed[key]; ok {
		return state
	}
	return s.groups.states[key]
}

func (s *Step) set(key string, state schemas.AlertState) {
	if _, ok := s.changed[key]; !ok {
		s.order = append(s.order, key)
	}
	s.changed[key] = state
}
