package reload

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// State is a file that says how far a run is. It is for one run at a time.
type State struct {
	path string
	data stateData
}

type stateData struct {
	// Target is where the documents go. A state of another target says nothing.
	Target string `json:"target"`
	// Offsets is where to go on in each partition of a topic.
	Offsets map[string]map[int32]int64 `json:"offsets,omitempty"`
	// Files is how many lines of a file are done.
	Files map[string]int64 `json:"files,omitempty"`
}

// ErrOtherTarget says that a state file belongs to a run into another store or prefix.
var ErrOtherTarget = errors.New("it belongs to a run into another target")

// OpenState reads the state file at path, or begins a new one. target names the store and prefix that documents go to.
func OpenState(path, target string) (*State, error) {
	s := &State{path: path, data: stateData{Target: target, Offsets: map[string]map[int32]int64{}, Files: map[string]int64{}}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state file: %w", err)
	}
	var have stateData
	if err := json.Unmarshal(b, &have); err != nil {
		return nil, fmt.Errorf("reading the state file %s: %w", path, err)
	}
	if have.Target != target {
		return nil, fmt.Errorf("the state file %s: %w: %s, not %s", path, ErrOtherTarget, have.Target, target)
	}
	for topic, offsets := range have.Offsets {
		s.data.Offsets[topic] = offsets
	}
	for name, lines := range have.Files {
		s.data.Files[name] = lines
	}
	return s, nil
}

// offset is where to go on in a partition; 0 for its start. A nil State knows nothing.
func (s *State) offset(topic string, partition int32) int64 {
	if s == nil {
		return 0
	}
	return s.data.Offsets[topic][partition]
}

func (s *State) setOffset(topic string, partition int32, next int64) {
	if s == nil {
		return
	}
	if s.data.Offsets[topic] == nil {
		s.data.Offsets[topic] = map[int32]int64{}
	}
	s.data.Offsets[topic][partition] = next
}

func (s *State) lines(name string) int64 {
	if s == nil {
		return 0
	}
	return s.data.Files[name]
}

func (s *State) setLines(name string, done int64) {
	if s != nil {
		s.data.Files[name] = done
	}
}

// save replaces the file at once or not at all.
func (s *State) save() error {
	if s == nil {
		return nil
	}
	b, err := json.Marshal(s.data)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
