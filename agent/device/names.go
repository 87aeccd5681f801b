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

	"skerry.dev/agent/source"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

// Names are the series that tasks of this device have to themselves. Series are one space of names
// for all tasks, so that two tasks with one sensor read it once. Where a task declares something
// else under a name that is taken, its series gets the task's name behind it. Which of two had to
// give way is kept in a file of the state directory: a file that comes later, whatever its name,
// changes nothing about the tasks that are there. Safe for one goroutine at a time.
type Names struct {
	path    string
	own     map[string][]string // by task; a task without any is known, too
	stored  string
	unsaved bool // what is known could not be written
	// the file could not be read, and is left as it is; it was read and is damaged
	doubt, damaged bool
	said           map[string]bool // notes that are in the log
	// the series that stored states were made for, by task; nil: not known
	states map[string]map[string]bool
}

// ReadNames reads the names of a state directory and touches nothing. A missing file knows nothing,
// and so does one that cannot be read or is damaged, which the error is about.
func ReadNames(dir string) (*Names, error) {
	n := &Names{path: filepath.Join(dir, "series.json"), own: map[string][]string{}, said: map[string]bool{}}
	b, err := os.ReadFile(n.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return n, nil
	case err != nil:
		n.doubt = true
	default:
		if n.own, err = decodeEntries[[]string](b); err == nil {
			n.stored = string(b)
			return n, nil
		}
		n.damaged = true
	}
	return n, fmt.Errorf("read the names of series: %w: of tasks that read different things under one name the one whose state was made with it keeps it, else the first file", err)
}

// decodeEntries decodes the entries of a JSON object. null in place of it or of an entry is damage
// too: the other entries are returned beside the error.
func decodeEntries[V any](b []byte) (map[string]V, error) {
	var read map[string]*V
	if err := json.Unmarshal(b, &read); err != nil {
		return map[string]V{}, err
	}
	out := make(map[string]V, len(read))
	var empty []string
	for name, v := range read {
		if v == nil {
			empty = append(empty, name)
			continue
		}
		out[name] = *v
	}
	slices.Sort(empty)
	switch {
	case read == nil:
		return out, errors.New("null stands in place of an object")
	case len(empty) > 0:
		return out, fmt.Errorf("null stands in place of what is known of %s", strings.Join(empty, ", "))
	}
	return out, nil
}

// openNames is ReadNames for the agent itself: a damaged file is set aside.
func openNames(dir string) (*Names, error) {
	n, err := ReadNames(dir)
	if n.damaged {
		err = errors.Join(err, os.Rename(n.path, n.path+".damaged"))
	}
	return n, err
}

// Scope returns the tasks as they run beside each other, in their order, with series of their own
// where the names of others are taken. It returns an error for each that cannot, and the others.
func (n *Names) Scope(files []*spec.Task) ([]*spec.Task, error) {
	n.recall(files)
	if out, err := n.scoped(files); err == nil {
		if _, err := source.Compile(out); err == nil {
			for _, t := range files {
				n.own[t.Name] = append([]string{}, n.own[t.Name]...)
			}
			return out, nil
		}
	}
	known := func(t *spec.Task) bool { _, ok := n.own[t.Name]; return ok }
	order := slices.Clone(files)
	slices.SortStableFunc(order, func(a, b *spec.Task) int {
		switch {
		case known(a) == known(b):
			return 0
		case known(a):
			return -1
		}
		return 1
	})
	placed := map[string]*spec.Task{} // by path
	var fit []*spec.Task
	var errs []error
	for _, t := range order {
		own := append([]string{}, n.own[t.Name]...)
		for {
			one, err := t.Scoped(own)
			if err == nil {
				_, err = source.Compile(append(slices.Clone(fit), one))
			}
			if err == nil {
				fit, placed[t.Path] = append(fit, one), one
				n.own[t.Name] = own
				break
			}
			clash, ok := errors.AsType[*source.ClashError](err)
			if !ok || clash.Task != t.Name || slices.Contains(own, clash.Series) || !declares(t, clash.Series) {
				errs = append(errs, fmt.Errorf("task file %s: %w", t.Path, err))
				break
			}
			own = append(own, clash.Series)
		}
	}
	var out []*spec.Task
	for _, t := range files {
		if one := placed[t.Path]; one != nil {
			out = append(out, one)
		}
	}
	return out, errors.Join(errs...)
}

// learn takes the states that are stored: where the file is missing or damaged they tell which
// names tasks had.
func (n *Names) learn(madeFor map[string]json.RawMessage) {
	n.states = map[string]map[string]bool{}
	for task, of := range madeFor {
		var l spec.Learned
		if json.Unmarshal(of, &l) != nil || l.Kind == "" {
			continue
		}
		n.states[task] = map[string]bool{l.Target: true}
		for _, in := range l.Inputs {
			n.states[task][in.Series] = true
		}
	}
}

// recall notes, of tasks that the file does not know, the names that their states were made with.
func (n *Names) recall(files []*spec.Task) {
	found := map[string][]string{}
	for state, made := range n.states {
		t := taskOf(files, state)
		if t == nil {
			continue
		}
		if _, known := n.own[t.Name]; known {
			continue
		}
		has := func(series string) bool { // an instance has its own end behind captured series
			return made[series] || t.Name != state && made[spec.ScopedName(series, strings.TrimPrefix(state, t.Name+"-"))]
		}
		own := append([]string{}, found[t.Name]...)
		for _, s := range declared(t) {
			if !slices.Contains(own, s) && !has(s) && has(spec.ScopedName(s, t.Name)) {
				own = append(own, s)
			}
		}
		found[t.Name] = own
	}
	maps.Copy(n.own, found)
}

// taskOf returns the file that a state is of: that of its task, or of the template that its task
// was made of, nil where there is none.
func taskOf(files []*spec.Task, state string) (of *spec.Task) {
	for _, t := range files {
		switch {
		case t.Name == state:
			return t
		case t.Captures() != nil && strings.HasPrefix(state, t.Name+"-") && (of == nil || len(of.Name) < len(t.Name)):
			of = t
		}
	}
	return of
}

// scoped returns the tasks with the names that are known.
func (n *Names) scoped(files []*spec.Task) ([]*spec.Task, error) {
	out := make([]*spec.Task, len(files))
	for i, t := range files {
		var err error
		if out[i], err = t.Scoped(n.own[t.Name]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// declares reports whether a series is named in the task's file.
func declares(t *spec.Task, series string) bool { return slices.Contains(declared(t), series) }

// declared lists the series that are named in the task's file.
func declared(t *spec.Task) []string {
	out := []string{t.Target.Series}
	for _, in := range t.Inputs {
		out = append(out, in.Series)
	}
	return out
}

// Notes tells for each of the tasks which of its series have other names than in its file.
func (n *Names) Notes(files []*spec.Task) (notes []string) {
	for _, t := range files {
		for _, s := range n.own[t.Name] {
			if declares(t, s) {
				notes = append(notes, fmt.Sprintf("task %s: its series %s is called %s on this device, since another task reads something else as %s; to choose the name rename it in the file",
					t.Name, s, spec.ScopedName(s, t.Name), s))
			}
		}
	}
	return notes
}

// Odd tells of what can be, and may not be meant: tolerances that would reach back to the row itself,
// and topics that several tasks publish on, where the broker keeps the newest prediction of all of
// them alone.
func Odd(files []*spec.Task) (notes []string) {
	of := map[string][]string{}
	for _, t := range files {
		if t.ReachesBack() {
			notes = append(notes, fmt.Sprintf("task %s has a tolerance of %s and a horizon of %s: readings up to a row's own time are no truth of it, so that it counts as just below the horizon (target.tolerance)", t.Name, t.Target.Tolerance.Std(), t.Horizon()))
		}
		topic := t.PublishTopic("{device}")
		if t.Captures() != nil && !strings.Contains(t.Publish.Topic, "{task}") {
			notes = append(notes, fmt.Sprintf("the tasks that %s is made into publish on one topic, %s: put {task} into it (publish.topic) where each is to have its own", t.Name, topic))
		}
		of[topic] = append(of[topic], t.Name)
	}
	for _, topic := range slices.Sorted(maps.Keys(of)) {
		if len(of[topic]) > 1 {
			notes = append(notes, fmt.Sprintf("the tasks %s publish on one topic, %s: put {task} into it (publish.topic) where each is to have its own", strings.Join(of[topic], ", "), topic))
		}
	}
	return notes
}

// store keeps the names where they changed.
func (n *Names) store() error {
	b, err := json.MarshalIndent(n.own, "", " ")
	if err != nil || n.doubt || string(b)+"\n" == n.stored {
		return err
	}
	if err = identity.WriteFile(n.path, append(b, '\n')); err == nil {
		n.stored = string(b) + "\n"
	}
	n.unsaved = err != nil
	return err
}
