package device

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"skerry.dev/agent/source"
	"skerry.dev/sync/spec"
)

// LoadTasks reads every *.yaml and *.yml file of a directory. All problems are reported together,
// and nothing is returned beside them. Names that begin with a dot are left out: editors and
// Kubernetes make them. Of two files with one task the one that the agent with this state directory
// took it from is right, else the first by its path.
func LoadTasks(dir, state string) ([]*spec.Task, error) {
	from, _ := readOrigins(state) // what is wrong with them the agent reports
	files, errs := readTasks(dir, from.of)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return files, nil
}

// Plan returns the tasks of files as they run beside each other, and what they listen to.
func Plan(files []*spec.Task, names *Names) ([]*spec.Task, *source.Plan, error) {
	tasks, err := names.Scope(files)
	if err != nil {
		return nil, nil, err
	}
	plan, err := source.Compile(tasks)
	return tasks, plan, err
}

// taskPaths lists the files of a directory in order.
func taskPaths(dir string) (paths []string, err error) {
	for _, p := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return paths, nil
}

// readTasks reads the files of a directory. Of two with one task that is taken which the task came
// from, as origins say, else the first by its path.
func readTasks(dir string, origins map[string]origin) (tasks []*spec.Task, errs []error) {
	paths, err := taskPaths(dir)
	if err != nil {
		return nil, []error{err}
	}
	if info, err := os.Stat(dir); err != nil {
		errs = append(errs, fmt.Errorf("task directory: %w: create it and put a task file into it (see configs/tasks)", err))
	} else if !info.IsDir() {
		errs = append(errs, fmt.Errorf("task directory: %s is a file: task_dir must name the directory that it lies in", dir))
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return strings.HasPrefix(filepath.Base(p), ".") })
	read := map[string]*spec.Task{} // by the file's name; nil where it cannot be read
	bad := map[string]error{}
	for _, p := range paths {
		b, err := ReadTask(p)
		var t *spec.Task
		if err == nil {
			t, err = spec.ParseTask(p, bytes.NewReader(b))
		}
		if bad[p] = err; err != nil {
			t = nil
		}
		read[filepath.Base(p)] = t
	}
	names := map[string]string{}
	for _, p := range paths {
		t, err := read[filepath.Base(p)], bad[p]
		if err == nil {
			owner := names[t.Name]
			if home := origins[t.Name].File; home != "" && home != filepath.Base(p) {
				if other, there := read[home]; there && (other == nil || other.Name == t.Name) {
					owner = filepath.Join(dir, home)
				}
			}
			if owner != "" {
				err = fmt.Errorf("task file %s: task %q is that of %s: give it another name (task), or take one of the files away", p, t.Name, owner)
			}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		names[t.Name] = p
		tasks = append(tasks, t)
	}
	return tasks, errs
}

// ReadTask reads a file as far as a task file may be long, and one byte more. What is no file, such
// as a pipe, is not opened: that may take for ever.
func ReadTask(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("task file %s: is no regular file, but a directory: name the files in it (%s), or the directory itself by task_dir", path, filepath.Join(path, "*.yaml"))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("task file %s: is no regular file: remove it, or put a task file in its place", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, spec.MaxTaskBytes+1))
}

// pollTasks is how often the task files are read to see whether they have changed: a watch does not
// see what changes behind a link, nor what takes the directory's place.
const pollTasks = 2 * time.Second

// watchTasks reloads the task files when they change, or when Options.Reload tells so. Changes are
// collected, since editors and Kubernetes make several. The watch is only quicker than reading
// them, and may be missing.
func (d *Device) watchTasks(ctx context.Context) error {
	var events chan fsnotify.Event
	watch := func() {}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		d.log.Info("task files are not watched: a change is seen a little later", "err", err)
	} else {
		defer w.Close()
		events = w.Events
		watch = func() {
			_ = w.Remove(d.cfg.TaskDir) // of the directory that was there before
			_ = w.Add(d.cfg.TaskDir)
		}
		watch()
		go func() {
			for range w.Errors { // what they have missed is found by reading
			}
		}()
	}
	poll := time.NewTicker(pollTasks)
	defer poll.Stop()
	var seen [sha256.Size]byte
	settle := time.After(0) // what changed between the start and the watch
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.opts.Reload:
			d.log.Info("task files are read again")
			d.reload(ctx)
		case <-events:
			settle = time.After(300 * time.Millisecond)
		case <-poll.C:
			d.rewrite()
			if settle == nil && contents(d.cfg.TaskDir) != seen {
				watch()
				settle = time.After(300 * time.Millisecond)
			}
		case <-settle:
			settle, seen = nil, contents(d.cfg.TaskDir)
			d.reload(ctx)
		}
	}
}

// contents identifies what the files of a directory say.
func contents(dir string) (sum [sha256.Size]byte) {
	h := sha256.New()
	paths, err := taskPaths(dir)
	fmt.Fprintf(h, "%q %v\n", paths, err)
	if _, err := os.Stat(dir); err != nil {
		fmt.Fprintln(h, err)
	}
	for _, p := range paths {
		b, err := ReadTask(p)
		fmt.Fprintf(h, "%d %v\n", len(b), err)
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// reload takes over changed task files. What is wrong with one of them keeps no other from being
// taken over, and its task goes on as its file was before.
func (d *Device) reload(ctx context.Context) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	files, problem, err := d.readable(*d.files.Load(), false)
	if err == nil && !sameTasks(files, *d.files.Load()) {
		if err = d.use(ctx, files, problem == nil); err == nil {
			d.log.Info("task files reloaded", "tasks", len(d.Tasks()))
			d.resume(ctx)
			d.report()
		}
	}
	if err == nil && problem == nil {
		d.badFile.Store(nil)
		return
	}
	msg := errors.Join(err, problem).Error()
	if old := d.badFile.Swap(&msg); old != nil && *old == msg {
		return
	}
	if err != nil {
		d.log.Error("task files not reloaded: the ones before stay in force", "err", msg)
		return
	}
	d.log.Error("task files left out: what they were before stays in force, the others are taken over", "err", msg)
}

// readable returns the files of the task directory as far as they can run beside each other, and in
// place of one that cannot what it was before; problem is about those. before are the files that
// are in force, at the start those that were. It is an error, and nothing is to change, when there
// is no telling what a file's task is to be; at the start such a task does not run.
func (d *Device) readable(before []*spec.Task, start bool) (files []*spec.Task, problem, err error) {
	if info, err := os.Stat(d.cfg.TaskDir); err != nil || !info.IsDir() {
		_, err := LoadTasks(d.cfg.TaskDir, "")
		return nil, nil, err
	}
	read, errs := readTasks(d.cfg.TaskDir, d.origins.of)
	fit, scopeErr := d.names.Scope(read)
	if scopeErr != nil {
		errs = append(errs, scopeErr)
	}
	for _, t := range read {
		if slices.ContainsFunc(fit, func(f *spec.Task) bool { return f.Name == t.Name }) {
			files = append(files, t)
		}
	}
	if len(errs) == 0 {
		return files, nil, nil
	}
	paths, err := taskPaths(d.cfg.TaskDir)
	if err != nil {
		return nil, nil, err
	}
	for _, old := range before {
		taken := slices.ContainsFunc(files, func(t *spec.Task) bool { return t.Path == old.Path })
		switch {
		case taken || !slices.Contains(paths, old.Path): // the file is another's, or gone
		case !slices.ContainsFunc(files, func(t *spec.Task) bool { return t.Name == old.Name }):
			files = append(files, old)
		case !start:
			return nil, nil, errors.Join(errs...)
		}
	}
	if start { // nothing has checked these beside each other
		fit, err := d.names.Scope(files)
		errs = append(errs, err)
		files = slices.DeleteFunc(files, func(t *spec.Task) bool {
			return !slices.ContainsFunc(fit, func(f *spec.Task) bool { return f.Name == t.Name })
		})
	}
	slices.SortStableFunc(files, func(a, b *spec.Task) int { return strings.Compare(a.Path, b.Path) })
	return files, errors.Join(errs...), nil
}

// resume brings back the models of tasks that began anew, where they still fit.
func (d *Device) resume(ctx context.Context) {
	names := make([]string, 0, len(d.Tasks()))
	for _, t := range d.Tasks() {
		names = append(names, t.Name)
	}
	if err := errors.Join(d.manager.Resume(ctx, names), d.models.Reconcile(ctx)); err != nil && ctx.Err() == nil {
		d.log.Error("models are not as before the change of the task files", "err", err)
	}
}

func sameTasks(a, b []*spec.Task) bool {
	return slices.EqualFunc(a, b, func(x, y *spec.Task) bool { return x.Name == y.Name && x.Hash == y.Hash })
}
