// Package models decides which model runs here: it loads artifacts and watches them, decides
// whether one may serve a task, and moves them through the slots of the runtime as the updater
// decides.
//
// A [Models] stands between the updater, whose engine and loader it is, and the runtime, whose
// models it finds by their digest. It is safe for concurrent use once [Models.Use] and [Models.In]
// have been called.
package models

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/agent/task"
	"skerry.dev/agent/update"
	"skerry.dev/compute/engine"
	"skerry.dev/sync/spec"
)

// Models are those of a device.
type Models struct {
	loader
	runtime *task.Runtime
	manager *update.Manager
	tasks   func() []*spec.Task

	mu     sync.Mutex // guards loaded
	loaded map[string]*model
}

// New returns the models of a device without any; tasks are those in force. It registers what it
// counts.
func New(tasks func() []*spec.Task, log *slog.Logger, reg prometheus.Registerer) *Models {
	return &Models{loader: newLoader(log, reg), tasks: tasks, loaded: map[string]*model{}}
}

// Use names the updater whose slots hold the artifacts, before the runtime is opened.
func (ms *Models) Use(m *update.Manager) { ms.manager = m }

// In names the runtime that the models run in, before the updater restores them.
func (ms *Models) In(r *task.Runtime) { ms.runtime = r }

// model finds a loaded artifact or loads it from its slot.
func (ms *Models) model(digest string) (*model, error) {
	ms.mu.Lock()
	m := ms.loaded[digest]
	ms.mu.Unlock()
	if m != nil {
		return m, nil
	}
	v, err := ms.manager.Load(digest)
	if err != nil {
		return nil, err
	}
	return ms.keep(v, digest)
}

func (ms *Models) keep(v update.Model, digest string) (*model, error) {
	m, ok := v.(*model)
	if !ok {
		return nil, fmt.Errorf("artifact %s was not loaded by this program", digest)
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if old := ms.loaded[digest]; old != nil {
		return old, nil // its timings go on
	}
	m.digest = digest
	ms.loaded[digest] = m
	return m, nil
}

// Loaded implements task.Options.Models.
func (ms *Models) Loaded(digest string) (engine.Loaded, error) {
	m, err := ms.model(digest)
	if err != nil {
		return engine.Loaded{}, err
	}
	a := m.runner.Artifact()
	return engine.Loaded{ID: digest, Model: m, Usual: a.Usual, Inputs: a.InputNames(), Classes: a.Manifest.Output.Classes, TrainTo: a.Manifest.TrainTo}, nil
}

// fits refuses an artifact that may not serve the task of this name.
func (ms *Models) fits(name string, m *model) error {
	tasks := ms.tasks()
	i := slices.IndexFunc(tasks, func(t *spec.Task) bool { return t.Name == name })
	if i < 0 {
		return fmt.Errorf("no task %q on this device", name)
	}
	a := m.runner.Artifact()
	if a.Manifest.Task != name {
		return fmt.Errorf("made for task %q, not %q", a.Manifest.Task, name)
	}
	return Fits(a, tasks[i])
}

// forget releases models that no slot holds any more.
func (ms *Models) forget(ctx context.Context) {
	used := map[string]bool{}
	for _, t := range ms.tasks() {
		s, err := ms.runtime.Slots(ctx, t.Name)
		if err != nil {
			return
		}
		used[s.Champion], used[s.Shadow] = true, true
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for d := range ms.loaded {
		if !used[d] {
			delete(ms.loaded, d)
		}
	}
}
