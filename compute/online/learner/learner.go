// Package learner makes online learners by name, for commands and task files.
package learner

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/internal/setting"
	"skerry.dev/compute/online"
)

// Settings are a learner's own, by name.
type Settings map[string]string

// entry makes learners of one name: class for schemas with classes, value for numbers; nil when
// it is none of the kind.
type entry struct {
	name, does string
	grows      bool
	class      func(online.Schema, *reader) (online.Classifier, error)
	value      func(online.Schema, *reader) (online.Regressor, error)
}

// Names lists the learners of classes, or else of numbers, in the order of the help text.
func Names(classes bool) []string {
	var names []string
	for _, e := range entries {
		if classes && e.class != nil || !classes && e.value != nil {
			names = append(names, e.name)
		}
	}
	return names
}

// Describe returns a line of help for each learner.
func Describe() []string {
	lines := make([]string, 0, len(entries))
	for _, e := range entries {
		kind := "classes and numbers"
		if e.value == nil {
			kind = "classes"
		} else if e.class == nil {
			kind = "numbers"
		}
		lines = append(lines, fmt.Sprintf("%-22s %s (%s)", e.name, e.does, kind))
	}
	return lines
}

// Known reports why there is no learner of that name for classes, or else for numbers; nil when
// there is.
func Known(name string, classes bool) error {
	_, err := find(name, classes)
	return err
}

// Grows reports whether a learner's state grows with the rows, up to its setting max_bytes.
func Grows(name string) bool {
	for i := range entries {
		if entries[i].name == name {
			return entries[i].grows
		}
	}
	return false
}

func find(name string, classes bool) (*entry, error) {
	for i := range entries {
		if e := &entries[i]; e.name == name {
			if classes && e.class == nil || !classes && e.value == nil {
				return nil, fmt.Errorf("learner %q does not learn %s: choose one of %s", name, map[bool]string{
					true:  "classes",
					false: "numbers",
				}[classes], strings.Join(Names(classes), ", "))
			}
			return e, nil
		}
	}
	return nil, fmt.Errorf("learner %q: must be one of %s", name, strings.Join(Names(classes), ", "))
}

// Classifier makes a classifier. An unknown name or setting is an error that lists what there is.
func Classifier(name string, s online.Schema, set Settings, seed uint64) (online.Classifier, error) {
	e, err := find(name, true)
	if err != nil {
		return nil, err
	}
	r := &reader{set: maps.Clone(set), seed: seed}
	c, err := e.class(s, r)
	if err = r.finish(name, err); err != nil {
		return nil, err
	}
	return c, nil
}

// Regressor makes a regressor.
func Regressor(name string, s online.Schema, set Settings, seed uint64) (online.Regressor, error) {
	e, err := find(name, false)
	if err != nil {
		return nil, err
	}
	r := &reader{set: maps.Clone(set), seed: seed}
	v, err := e.value(s, r)
	if err = r.finish(name, err); err != nil {
		return nil, err
	}
	return v, nil
}

// reader takes settings one by one and remembers what could not be read. A setting that is not
// given is 0, which is the default of every learner's options; their ranges are checked where
// learners are made.
type reader struct {
	set   Settings
	seed  uint64
	known []string
	err   error
}

func (r *reader) float(name string) (v float64) {
	r.take(setting.Number(name, &v, math.Inf(-1), math.Inf(1), ""))
	return v
}

func (r *reader) int(name string) (v int) {
	s := setting.Whole(name, &v, math.MinInt, math.MaxInt, "")
	s.Allowed = "a whole number"
	r.take(s)
	return v
}

func (r *reader) take(s setting.Setting) {
	r.known = append(r.known, s.Name)
	given := r.set[s.Name]
	delete(r.set, s.Name)
	if given != "" && !s.Set(given) && r.err == nil {
		r.err = fmt.Errorf("setting %s=%q: must be %s", s.Name, given, s.Allowed)
	}
}

func (r *reader) finish(name string, err error) error {
	if r.err != nil {
		return fmt.Errorf("learner %s: %w", name, r.err)
	}
	if len(r.set) > 0 {
		unknown := slices.Sorted(maps.Keys(r.set))
		if len(r.known) == 0 {
			return fmt.Errorf("learner %s: there is no setting %q, it has none", name, unknown[0])
		}
		return fmt.Errorf("learner %s: there is no setting %q: it has %s", name, unknown[0], strings.Join(r.known, ", "))
	}
	if err != nil {
		return fmt.Errorf("learner %s: %w", name, err)
	}
	return nil
}
