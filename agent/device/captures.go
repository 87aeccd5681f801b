package device

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry.dev/agent/source"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

// captures are the devices that templates, task files whose topics capture a level, have been seen
// to have tasks for. They are kept in a file of the state directory, so that a restart has the
// tasks before their first message. The order in which devices were seen decides which of two gets a
// name, and which is beyond max_devices.
type captures struct {
	path string
	// the file could not be read: devices that were seen before may be missing until they send again,
	// and what their tasks have learned is kept for them
	doubt   bool
	missing bool // the file was not there

	mu      sync.Mutex
	unsaved bool                  // the file lacks some of those known
	known   map[string][][]string // template → values, in the order in which they were seen
	beyond  map[string][]string   // template → devices that no task was made for, with why, at most 8
	counts  map[string]int        // template → how many there were
}

// openCaptures reads the devices seen before.
func openCaptures(dir string) (*captures, error) {
	c := &captures{path: filepath.Join(dir, "devices.json"), known: map[string][][]string{}, beyond: map[string][]string{}, counts: map[string]int{}}
	b, err := os.ReadFile(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.missing = true
		return c, nil
	case err != nil:
		c.doubt = true
		return c, fmt.Errorf("read devices seen before: %w", err)
	}
	if c.known, err = decodeSeen(b); err != nil {
		c.doubt, c.unsaved = true, len(c.known) > 0
		aside := c.path + ".damaged"
		return c, errors.Join(fmt.Errorf("read devices seen before: %w: they are found anew at their next message, the file is kept as %s", err, aside), os.Rename(c.path, aside))
	}
	return c, nil
}

// question doubts a missing file beside states of tasks that were made of templates: the devices
// that these were for were seen, so that the file was there.
func (c *captures) question(files []*spec.Task, states map[string]json.RawMessage) error {
	if !c.missing {
		return nil
	}
	for state := range states {
		if t := taskOf(files, state); t != nil && t.Captures() != nil {
			c.doubt = true
			return fmt.Errorf("%s is gone, and what tasks of devices have learned is there: devices are found anew at their next message and go on with it", c.path)
		}
	}
	return nil
}

// decodeSeen reads the devices that a file names. Those that can be read of a damaged one are
// returned beside the error.
func decodeSeen(b []byte) (map[string][][]string, error) {
	read, err := decodeEntries[[][]*string](b)
	out := make(map[string][][]string, len(read))
	for template, seen := range read {
		for _, values := range seen {
			if len(values) == 0 || slices.Contains(values, nil) {
				err = fmt.Errorf("null stands in place of a device of task %s", template)
				continue
			}
			one := make([]string, len(values))
			for i, v := range values {
				one[i] = *v
			}
			out[template] = append(out[template], one)
		}
	}
	return out, err
}

// expand returns the tasks of the files, those of templates made for each device seen. Files with
// templates in them are what a plan is compiled from.
func (c *captures) expand(files []*spec.Task) (tasks []*spec.Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.beyond)
	clear(c.counts)
	taken := map[string]bool{}
	for _, t := range files {
		taken[t.Name] = true
	}
	for _, t := range files {
		if t.Captures() == nil {
			tasks = append(tasks, t)
			continue
		}
		made, alike := 0, map[string]bool{} // alike are the ends of the names of series
		for _, values := range c.known[t.Name] {
			if len(values) != len(t.Captures()) {
				continue // of another form of the file
			}
			if made == t.MaxDevices {
				c.leave(t.Name, strings.Join(values, "/"), fmt.Sprintf("beyond max_devices (%d)", t.MaxDevices))
				continue
			}
			name := t.InstanceName(values)
			for n := 2; taken[name] || alike[spec.ScopedName("", name)]; n++ {
				base := t.InstanceName(values)
				name = fmt.Sprintf("%s-%d", base[:min(len(base), 59)], n)
			}
			one, err := t.Instance(name, values)
			if err != nil {
				c.leave(t.Name, strings.Join(values, "/"), err.Error())
				continue
			}
			taken[name], alike[spec.ScopedName("", name)] = true, true
			tasks = append(tasks, one)
			made++
		}
	}
	return tasks
}

// leave notes a device that no task is made for. c.mu is held.
func (c *captures) leave(template, device, why string) {
	c.counts[template]++
	if len(c.beyond[template]) < 8 {
		c.beyond[template] = append(c.beyond[template], cmp.Or(device, "an empty level")+": "+why)
	}
}

// add remembers devices and reports whether any of them is new. Beyond twice the bound none is
// remembered: they are counted by whoever sends.
func (c *captures) add(seen []source.Sighting) (fresh bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range seen {
		have := c.known[s.Template.Name]
		if len(have) >= 2*s.Template.MaxDevices || slices.ContainsFunc(have, func(v []string) bool { return slices.Equal(v, s.Values) }) {
			continue
		}
		c.known[s.Template.Name] = append(have, s.Values)
		fresh, c.unsaved = true, true
	}
	if !fresh {
		return false, nil
	}
	return true, c.write()
}

// lacking reports whether the file lacks some of those known.
func (c *captures) lacking() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsaved
}

// store writes what the file lacks.
func (c *captures) store() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write()
}

// write is store with c.mu held.
func (c *captures) write() error {
	if !c.unsaved {
		return nil
	}
	b, err := json.MarshalIndent(c.known, "", " ")
	if err == nil {
		err = identity.WriteFile(c.path, append(b, '\n'))
	}
	c.unsaved = err != nil
	return err
}

// reasons says which devices no task was made for.
func (c *captures) reasons() (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range slices.Sorted(maps.Keys(c.beyond)) {
		names := strings.Join(c.beyond[t], "; ")
		if more := c.counts[t] - len(c.beyond[t]); more > 0 {
			names += fmt.Sprintf("; and %d more", more)
		}
		out = append(out, fmt.Sprintf("task %s is not made for every device that matches its topics: %s", t, names))
	}
	return out
}

// rewrite writes the files of the state directory that could not be written when what they hold
// changed: the disk was full, mostly. That failure is in the log.
func (d *Device) rewrite() {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	var written []string
	for _, f := range []struct {
		name    string
		unsaved bool
		store   func() error
	}{
		{d.captures.path, d.captures.lacking(), d.captures.store},
		{d.names.path, d.names.unsaved, d.names.store},
		{d.origins.path, d.origins.unsaved, d.origins.store},
	} {
		if f.unsaved && f.store() == nil {
			written = append(written, f.name)
		}
	}
	if d.client != nil {
		if path, err := d.client.KeepSession(); path != "" && err == nil {
			written = append(written, path)
		}
	}
	if len(written) > 0 {
		d.log.Info("files that could not be written are", "files", written)
	}
}

// sighted makes the tasks of devices whose first message has come, before that message is read: so
// it is their first reading. What fails is tried again at the next message.
func (d *Device) sighted(ctx context.Context, seen []source.Sighting) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	fresh, err := d.captures.add(seen)
	if err != nil {
		d.log.Warn("devices seen are not kept: this is tried again, and after a restart before that they are found anew", "err", err)
	}
	if !fresh {
		return
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	before := d.Tasks()
	if err := d.use(wait, *d.files.Load(), d.badFile.Load() == nil); err != nil {
		d.log.Error("no tasks for new devices", "err", err)
		return
	}
	for _, t := range d.Tasks() {
		if t.Template != "" && !slices.ContainsFunc(before, func(b *spec.Task) bool { return b.Name == t.Name }) {
			d.log.Info("task made for a device that its template's topics match", "task", t.Name, "template", t.Template, "device", strings.Join(t.Values, "/"))
			if err := d.runtime.Event(wait, "device_found", t.Name, time.Now().UnixMicro(), map[string]any{"template": t.Template, "device": strings.Join(t.Values, "/")}); err != nil {
				d.log.Warn("event not stored", "err", err)
			}
		}
	}
	for _, r := range d.captures.reasons() {
		d.log.Warn("devices without a task", "err", r)
	}
}

// compile makes the plan of task files and the devices seen. What a template cannot be made for is
// left out and named.
func (d *Device) compile(files []*spec.Task) ([]*spec.Task, *source.Plan, error) {
	scoped, err := d.names.Scope(files)
	if err != nil {
		return nil, nil, err
	}
	for _, note := range d.names.Notes(files) {
		if !d.names.said[note] {
			d.names.said[note] = true
			d.log.Warn("a series has another name than in its file", "note", note)
		}
	}
	for _, note := range Odd(files) {
		if !d.names.said[note] {
			d.names.said[note] = true
			d.log.Warn("what may not be meant", "note", note)
		}
	}
	if err := d.names.store(); err != nil {
		d.log.Warn("names of series are not kept: this is tried again", "err", err)
	}
	files = scoped
	tasks := d.captures.expand(files)
	var templates []*spec.Task
	for _, t := range files {
		if t.Captures() != nil {
			templates = append(templates, t)
		}
	}
	plan, err := source.Compile(slices.Concat(templates, tasks))
	if err == nil {
		return tasks, plan.Publishing(d.name, tasks), nil
	}
	var fit []*spec.Task // what templates have made must not keep anything else from running
	for _, t := range tasks {
		if t.Template == "" {
			fit = append(fit, t)
		}
	}
	for _, t := range tasks {
		if t.Template == "" {
			continue
		}
		if _, err := source.Compile(slices.Concat(templates, fit, []*spec.Task{t})); err != nil {
			d.captures.mu.Lock()
			d.captures.leave(t.Template, strings.Join(t.Values, "/"), err.Error())
			d.captures.mu.Unlock()
			continue
		}
		fit = append(fit, t)
	}
	if plan, err = source.Compile(slices.Concat(templates, fit)); err != nil {
		return nil, nil, err
	}
	return fit, plan.Publishing(d.name, fit), nil
}

// inForce notes the files whose tasks run.
func (d *Device) inForce(files []*spec.Task) {
	d.files.Store(&files)
	if err := d.origins.keep(d.cfg.TaskDir, files); err != nil {
		d.log.Warn("which files tasks came from is not kept: this is tried again", "err", err)
	}
}

// use puts task files in force. all says that they are all that there are, see
// [task.Runtime.Replace].
func (d *Device) use(ctx context.Context, files []*spec.Task, all bool) error {
	tasks, plan, err := d.compile(files)
	if err != nil {
		return err
	}
	if err := d.runtime.Replace(ctx, tasks, plan, all && !d.captures.doubt); err != nil {
		return err
	}
	d.inForce(files)
	d.tasks.Store(&tasks)
	if d.client != nil {
		d.client.Replace(plan)
	}
	if d.ingest != nil {
		d.ingest.Replace(plan)
	}
	d.inputs.Use(plan)
	return nil
}
