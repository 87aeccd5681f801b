package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"skerry.dev/agent/source"
	"skerry.dev/sync/spec"
)

// LoadTasks reads every *.yaml and *.yml file of a directory and compiles their plan. All
// problems are reported together, and nothing is returned beside them. Names that begin with a dot
// are left out: editors and Kubernetes make them.
func LoadTasks(dir string) ([]*spec.Task, *source.Plan, error) {
	tasks, errs := readTasks(dir)
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	plan, err := source.Compile(tasks)
	if err != nil {
		return nil, nil, err
	}
	return tasks, plan, nil
}

// loadUsable is LoadTasks for the start: what is wrong with one file keeps no other task from
// running. problem is about what was left out. It returns an error when there is no directory.
func loadUsable(dir string) (tasks []*spec.Task, plan *source.Plan, problem, err error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		_, _, err := LoadTasks(dir)
		return nil, nil, nil, err
	}
	read, errs := readTasks(dir)
	if plan, err = source.Compile(read); err == nil {
		return read, plan, errors.Join(errs...), nil
	}
	for _, t := range read { // which of them do not go together?
		if _, err := source.Compile(append(slices.Clone(tasks), t)); err != nil {
			errs = append(errs, fmt.Errorf("task file %s: %w", t.Path, err))
			continue
		}
		tasks = append(tasks, t)
	}
	plan, err = source.Compile(tasks)
	return tasks, plan, errors.Join(errs...), err
}

// readTasks reads the files of a directory. Of two with one task the first by its path is taken.
func readTasks(dir string) (tasks []*spec.Task, errs []error) {
	var paths []string
	for _, p := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			return nil, []error{err}
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	if info, err := os.Stat(dir); err != nil {
		errs = append(errs, fmt.Errorf("task directory: %w: create it and put a task file into it (see configs/tasks)", err))
	} else if !info.IsDir() {
		errs = append(errs, fmt.Errorf("task directory: %s is a file: task_dir must name the directory that it lies in", dir))
	}
	names := map[string]string{}
	for _, p := range paths {
		if strings.HasPrefix(filepath.Base(p), ".") {
			continue
		}
		b, err := os.ReadFile(p)
		var t *spec.Task
		if err == nil {
			t, err = spec.ParseTask(p, bytes.NewReader(b))
		}
		if err == nil && names[t.Name] != "" {
			err = fmt.Errorf("task file %s: task %q is already defined in %s", p, t.Name, names[t.Name])
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

// watchTasks reloads the task files when their directory changes. Editors and Kubernetes replace
// files, so the directory is watched and changes are collected.
func (d *Device) watchTasks(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		d.log.Warn("task files are not watched: restart the agent after a change", "err", err)
		<-ctx.Done()
		return nil
	}
	defer w.Close()
	if err := w.Add(d.cfg.TaskDir); err != nil {
		d.log.Warn("task files are not watched: restart the agent after a change", "err", err)
	}
	settle := time.After(0) // what changed between the start and the watch
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if ok {
				settle = time.After(300 * time.Millisecond)
			}
		case err, ok := <-w.Errors:
			if ok {
				d.log.Warn("watching task files", "err", err)
			}
		case <-settle:
			settle = nil
			d.reload(ctx)
		}
	}
}

// reload takes over changed task files; a faulty set changes nothing.
func (d *Device) reload(ctx context.Context) {
	tasks, plan, err := LoadTasks(d.cfg.TaskDir)
	if err == nil && sameTasks(tasks, d.Tasks()) {
		d.badFile.Store(nil)
		return
	}
	if err == nil {
		if err = d.runtime.Replace(ctx, tasks, plan); err == nil {
			d.tasks.Store(&tasks)
			if d.client != nil {
				d.client.Replace(plan)
			}
			if d.ingest != nil {
				d.ingest.Replace(plan)
			}
			d.inputs.Use(plan)
			d.badFile.Store(nil)
			d.log.Info("task files reloaded", "tasks", len(tasks))
			d.resume(ctx)
			d.report()
			return
		}
	}
	msg := err.Error()
	if old := d.badFile.Swap(&msg); old != nil && *old == msg {
		return
	}
	d.log.Error("task files not reloaded: the ones before stay in force", "err", err)
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
