package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

// origins are the files that tasks came from when they were last in force, and what these said, kept
// in a file of the state directory. A task belongs to its file as long as that is there: a copy of
// the file, whatever its name, takes nothing from it, and a fault in the file does not stop the
// task, neither while the agent runs nor at its next start. Safe for one goroutine at a time.
type origins struct {
	path   string
	of     map[string]origin // by task
	stored string

	unsaved bool // what is known could not be written
	damaged bool // the file was read, and is
}

// origin is where a task came from.
type origin struct {
	File string `json:"file"` // its name
	Text string `json:"text"` // what it said, "" unknown
}

// UnmarshalJSON also takes the name alone, as it was before texts were kept.
func (o *origin) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &o.File) == nil {
		return nil
	}
	type plain origin
	return json.Unmarshal(b, (*plain)(o))
}

// readOrigins reads them and touches nothing. A file that is missing, or cannot be read, which the
// error is about, knows nothing; of a damaged one the entries that can be read are known.
func readOrigins(dir string) (*origins, error) {
	o := &origins{path: filepath.Join(dir, "files.json"), of: map[string]origin{}}
	b, err := os.ReadFile(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		o.of, err = decodeEntries[origin](b)
		o.damaged = err != nil
	}
	if err != nil {
		return o, fmt.Errorf("read which files tasks came from: %w: of two files with one task the first by its name is taken", err)
	}
	o.stored = string(b)
	return o, nil
}

// openOrigins is readOrigins for the agent itself: a damaged file is set aside.
func openOrigins(dir string) (*origins, error) {
	o, err := readOrigins(dir)
	if o.damaged {
		err = errors.Join(err, os.Rename(o.path, o.path+".damaged"))
	}
	return o, err
}

// tasks are those that were in force, as far as they can be read.
func (o *origins) tasks(dir string) (out []*spec.Task) {
	for _, name := range slices.Sorted(maps.Keys(o.of)) {
		from := o.of[name]
		if t, err := spec.ParseTask(filepath.Join(dir, from.File), strings.NewReader(from.Text)); err == nil {
			out = append(out, t)
		}
	}
	return out
}

// keep notes the files that are in force, and forgets those that are gone from the directory.
func (o *origins) keep(dir string, files []*spec.Task) error {
	for name, from := range o.of {
		if _, err := os.Lstat(filepath.Join(dir, from.File)); errors.Is(err, fs.ErrNotExist) {
			delete(o.of, name)
		}
	}
	for _, t := range files {
		o.of[t.Name] = origin{filepath.Base(t.Path), t.Source}
	}
	return o.store()
}

// store writes them where they changed.
func (o *origins) store() error {
	b, err := json.MarshalIndent(o.of, "", " ")
	if err != nil || string(b)+"\n" == o.stored {
		return err
	}
	if err = identity.WriteFile(o.path, append(b, '\n')); err == nil {
		o.stored = string(b) + "\n"
	}
	o.unsaved = err != nil
	return err
}
