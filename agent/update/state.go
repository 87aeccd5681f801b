package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

// slot is what is stored of one task.
type slot struct {
	Active        string `json:"active"` // digest, "" for the baselines
	ActiveVersion string `json:"active_version,omitempty"`
	// starts with it that were not confirmed
	ActiveTried     int              `json:"active_tried,omitempty"`
	Previous        string           `json:"previous"`
	PreviousVersion string           `json:"previous_version,omitempty"`
	Assignment      *spec.Assignment `json:"assignment,omitempty"`
	Phase           spec.Phase       `json:"phase,omitempty"`
	Reason          string           `json:"reason,omitempty"`
	Cause           spec.Cause       `json:"cause,omitempty"`
	// loads of the candidate that were not finished
	Tried int         `json:"tried,omitempty"`
	Stats spec.Paired `json:"stats"`

	watch watch
}

type state struct {
	Tombstones []string         `json:"tombstones,omitempty"`
	Tasks      map[string]*slot `json:"tasks"`
	// artifacts that a lost state may have named: none of them is removed before the hub has said
	// what each task is to run
	Kept []string `json:"kept,omitempty"`
}

// floors are the newest generations seen.
type floors struct {
	Document uint64            `json:"document"`
	Tasks    map[string]uint64 `json:"tasks"`
}

const (
	stateFile   = "state.json"
	artifactExt = ".skerry"
)

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %s: %w: %w", path, errDamaged, err)
	}
	return nil
}

var errDamaged = errors.New("damaged")

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return identity.WriteFile(path, text)
}

// load reads state and floors. A damaged state file costs the assignments, not the device: it is
// set aside and the floors hold.
func (m *Manager) load() error {
	m.state = state{}
	m.floors = floors{Tasks: map[string]uint64{}}
	if err := readJSON(m.opts.FloorFile, &m.floors); err != nil {
		return fmt.Errorf("%w: without its floors the device could be rolled back by an old document; restore the file or enrol again", err)
	}
	if m.floors.Tasks == nil {
		m.floors.Tasks = map[string]uint64{}
	}
	path := filepath.Join(m.opts.Dir, stateFile)
	err := readJSON(path, &m.state)
	if err != nil && !errors.Is(err, errDamaged) {
		return fmt.Errorf("state of the model slots: %w", err)
	}
	if err != nil {
		m.log.Error("state of the model slots is damaged: tasks start on their baselines", "err", err)
		if err := os.Rename(path, path+".corrupt"); err != nil {
			m.log.Error("damaged state of the model slots not set aside", "err", err)
		}
		m.state = state{}
	}
	if m.state.Tasks == nil {
		m.state = state{Tasks: map[string]*slot{}, Kept: m.artifacts()}
		if n := len(m.state.Kept); n > 0 {
			m.log.Warn("nothing says which task runs which of the artifacts here: they are kept until the hub has said it", "artifacts", n, "dir", m.opts.Dir)
		}
	}
	maps.DeleteFunc(m.state.Tasks, func(_ string, s *slot) bool { return s == nil })
	return nil
}

// artifacts lists the files of artifacts.
func (m *Manager) artifacts() (names []string) {
	entries, err := os.ReadDir(m.opts.Dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == artifactExt {
			names = append(names, e.Name())
		}
	}
	return names
}

// save stores the state. The caller holds mu.
func (m *Manager) save() error {
	if err := writeJSON(filepath.Join(m.opts.Dir, stateFile), m.state); err != nil {
		return fmt.Errorf("store slot state: %w", err)
	}
	return nil
}

func (m *Manager) artifactPath(digest string) string {
	return filepath.Join(m.opts.Dir, digest+artifactExt)
}

func (m *Manager) partPath(digest string) string { return filepath.Join(m.opts.Dir, digest+".part") }

// sweep removes artifacts and partial downloads that no slot needs. The caller holds mu.
func (m *Manager) sweep() {
	keep := slices.Clone(m.state.Kept)
	for _, s := range m.state.Tasks {
		keep = append(keep, s.Active+artifactExt, s.Previous+artifactExt)
		if s.Assignment != nil && !s.Phase.Final() {
			keep = append(keep, s.Assignment.Digest+artifactExt, s.Assignment.Digest+".part")
		}
	}
	entries, err := os.ReadDir(m.opts.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if (ext == artifactExt || ext == ".part") && !slices.Contains(keep, e.Name()) {
			if err := os.Remove(filepath.Join(m.opts.Dir, e.Name())); err != nil {
				m.log.Warn("unused artifact not removed", "file", e.Name(), "err", err)
			}
		}
	}
}
