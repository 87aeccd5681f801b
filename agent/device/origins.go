package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

// origins are the files that tasks came from when they were last in force, kept in a file of the
// state directory. A task belongs to its file as long as that is there: a copy of the file,
// whatever its name, takes nothing from it, neither while the agent runs nor at its next start.
// Safe for one goroutine at a time.
type origins struct {
	path   string
	of     map[string]string // task → name of its file
	stored string
}

// openOrigins reads them. A file that is missing, or cannot be read, which the error is about, knows
// nothing.
func openOrigins(dir string) (*origins, error) {
	o := &origins{path: filepath.Join(dir, "files.json"), of: map[string]string{}}
	b, err := os.ReadFile(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &o.of)
	}
	if err != nil {
		o.of = map[string]string{}
		return o, fmt.Errorf("read which files tasks came from: %w: of two files with one task the first by its name is taken", err)
	}
	o.stored = string(b)
	return o, nil
}

// keep notes the files that are in force, and forgets those that are gone from the directory.
func (o *origins) keep(dir string, files []*spec.Task) error {
	for name, file := range o.of {
		if _, err := os.Lstat(filepath.Join(dir, file)); errors.Is(err, fs.ErrNotExist) {
			delete(o.of, name)
		}
	}
	for _, t := range files {
		o.of[t.Name] = filepath.Base(t.Path)
	}
	b, err := json.MarshalIndent(o.of, "", " ")
	if err != nil || string(b)+"\n" == o.stored {
		return err
	}
	if err := identity.WriteFile(o.path, append(b, '\n')); err != nil {
		return err
	}
	o.stored = string(b) + "\n"
	return nil
}
