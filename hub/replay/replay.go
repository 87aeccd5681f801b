package replay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/engine"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// Replayer is safe for concurrent use.
type Replayer struct {
	db   *meta.Store
	lake *lake.Lake
	load func(ctx context.Context, digest string) ([]byte, error)
	turn chan struct{} // holds a token while a replay runs

	mu  sync.Mutex // guards now
	now Running
}

// Running is the replay that runs, the zero value when none does.
type Running struct {
	Device string `json:"device,omitempty"`
	Task   string `json:"task,omitempty"`
	Progress
}

// Running returns the replay that runs, and how far it has come.
func (r *Replayer) Running() Running {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *Replayer) running(now Running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
}

// New returns a replayer over a lake; load finds the bytes of an artifact by its digest.
func New(db *meta.Store, l *lake.Lake, load func(ctx context.Context, digest string) ([]byte, error)) *Replayer {
	return &Replayer{db: db, lake: l, load: load, turn: make(chan struct{}, 1)}
}

// Progress is how far a replay has come.
type Progress struct {
	Readings int64 `json:"readings"` // of the device, so far
	Rows     int64 `json:"rows"`     // of the task
	At       int64 `json:"at"`       // event time of the newest row, microseconds
}

// progressEvery is after how many readings progress is reported.
const progressEvery = 5000

// take waits for the turn of a replay.
func (r *Replayer) take(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("replay: another one runs: %w", ctx.Err())
	}
}

func (r *Replayer) leave() {
	r.running(Running{})
	<-r.turn
}

// ErrNoTask is wrapped by errors about a task of which a device has sent nothing.
var ErrNoTask = errors.New("the device has sent nothing of the task")

// fallback is the task file to begin with where no mark says which it was: what the device reports,
// else the definition. nil: none is known.
func (r *Replayer) fallback(ctx context.Context, device, task string) (*spec.Task, error) {
	row, err := r.db.Read().TaskDevice(ctx, task, device)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return nil, err
	}
	text := row.Spec
	if text == "" {
		def, err := r.db.Read().AnyTask(ctx, task)
		if errors.Is(err, meta.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		text = def.Spec
	}
	t, err := spec.ParseTask(task, strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("task file of %q: %w", task, err)
	}
	return t, nil
}

// model is an artifact as an engine of this replay calls it.
type model struct {
	*artifact.Artifact
	runner *artifact.Runner
}

// models are those of one replay. Runners keep scratch, so every replay has its own.
type models struct {
	ctx    context.Context
	load   func(ctx context.Context, digest string) ([]byte, error)
	loaded map[string]*model
}

func (ms *models) model(digest string) (*model, error) {
	if m := ms.loaded[digest]; m != nil {
		return m, nil
	}
	b, err := ms.load(ms.ctx, digest)
	if err != nil {
		return nil, err
	}
	a, err := artifact.DecodeBytes(b)
	if err != nil {
		return nil, err
	}
	m := &model{Artifact: a}
	if m.runner, err = artifact.NewRunner(a); err != nil {
		return nil, err
	}
	ms.loaded[digest] = m
	return m, nil
}

// engine returns an artifact as agents give it to their engines.
func (ms *models) engine(digest string) (engine.Loaded, error) {
	m, err := ms.model(digest)
	if err != nil {
		return engine.Loaded{}, err
	}
	return engine.Loaded{
		ID:      digest,
		Model:   artifact.Model{Runner: m.runner},
		Usual:   m.Usual,
		Inputs:  m.InputNames(),
		Classes: m.Manifest.Output.Classes,
	}, nil
}
