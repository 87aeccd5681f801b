package training

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/learn"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
)

// champion is the model in force of a task. One that was promoted and is tombstoned, removed, damaged
// or does not fit the task file any longer counts as none: no device can run it, and whatever is to
// be trained must not wait for it.
type champion struct {
	digest   string // "" when none is in force
	artifact bool   // one is
	gone     string // digest of the one that was
	why      string // it is gone
}

// inForce looks up the champion of a task.
func (t *Trainer) inForce(ctx context.Context, task meta.Task) (champion, error) {
	c, err := t.db.Read().Champion(ctx, task.Name, "")
	if errors.Is(err, meta.ErrNotFound) {
		return champion{}, nil
	}
	if err != nil {
		return champion{}, err
	}
	why, err := t.unfit(ctx, task, c.Digest)
	if err != nil {
		return champion{}, err
	}
	if why != "" {
		return champion{gone: c.Digest, why: why}, nil
	}
	return champion{digest: c.Digest, artifact: true}, nil
}

// unfit says why a model cannot be in force for a task as it is defined, "" when it can.
func (t *Trainer) unfit(ctx context.Context, task meta.Task, digest string) (string, error) {
	m, err := t.db.Read().Model(ctx, digest)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return fmt.Sprintf("model %.12s is not in the registry", digest), nil
	case err != nil:
		return "", err
	case m.TombstonedAt != 0:
		return fmt.Sprintf("model %s is tombstoned: %s", registry.Name(m), m.Tombstone), nil
	case m.RemovedAt != 0:
		return fmt.Sprintf("model %s: %v", registry.Name(m), registry.ErrRemoved), nil
	}
	key := [2]string{digest, task.Hash}
	t.mu.Lock()
	misfit, known := t.fits[key]
	t.mu.Unlock()
	if !known {
		file, err := spec.ParseTask(task.Name, strings.NewReader(task.Spec))
		if err != nil {
			return "", nil // nothing is trained by such a file: it is its own trouble
		}
		a, err := t.load(ctx, digest)
		switch {
		case errors.Is(err, blob.ErrNotFound), errors.Is(err, registry.ErrDamaged), errors.Is(err, errUnreadable):
			return fmt.Sprintf("model %s: %v", registry.Name(m), err), nil
		case err != nil:
			return "", err
		}
		if misfit = learn.Fits(file, a); misfit != nil && !errors.Is(misfit, selection.ErrOtherProblem) {
			return "", misfit
		}
		t.mu.Lock()
		t.fits[key] = misfit
		t.mu.Unlock()
	}
	if misfit != nil {
		return fmt.Sprintf("model %s: %v", registry.Name(m), misfit), nil
	}
	return "", nil
}

// errUnreadable marks an artifact that this program cannot decode.
var errUnreadable = errors.New("artifact cannot be read")

// load reads an artifact.
func (t *Trainer) load(ctx context.Context, digest string) (*artifact.Artifact, error) {
	b, err := t.registry.Load(ctx, digest)
	if err != nil {
		return nil, err
	}
	a, err := artifact.DecodeBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return a, nil
}
