// Package registry holds the models: immutable artifacts by digest, a version number per task
// (task@3), lineage, the champion of each task and tombstones of what must never run again.
//
// Registering stores the bytes, then the row, then signs the artifact for devices; Repair
// finishes what a crash left unsigned.
package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"skerry.dev/hub/blob"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/trust/signing"
)

// MaxBytes bounds an artifact.
const MaxBytes = 64 << 20

// States of a model. A tombstoned model has the state "tombstoned".
const (
	StateCandidate = "candidate"
	StateChampion  = "champion"
	StateRetired   = "retired"
)

// ErrNotTombstoned is returned where the tombstone of a model that has none is to be lifted.
var ErrNotTombstoned = errors.New("the model is not tombstoned")

// ErrDamaged is returned where the bytes of an artifact are no longer those that were registered.
var ErrDamaged = errors.New("is damaged in the store")

// ErrTombstoned is returned where a model is needed that must not run again.
var ErrTombstoned = errors.New("the model is tombstoned")

// ErrRemoved is returned where an artifact is needed that was deleted because nothing had needed it
// for long.
var ErrRemoved = errors.New("its artifact is no longer kept (keep.models)")

// Registry is safe for concurrent use.
type Registry struct {
	db    *meta.Store
	blobs *blob.Store
	sign  *signing.Repository
}

// New returns a registry over its stores.
func New(db *meta.Store, blobs *blob.Store, sign *signing.Repository) *Registry {
	return &Registry{db: db, blobs: blobs, sign: sign}
}

// Info describes an artifact at registration. Metrics and Lineage are stored as JSON.
type Info struct {
	Task, Kind string
	Metrics    any
	Lineage    any
	CreatedBy  string
}

// Register stores an artifact under the next version of its task and signs it. The same bytes
// again return the model that is already there.
func (r *Registry) Register(ctx context.Context, data []byte, in Info) (meta.Model, error) {
	var m meta.Model
	if !spec.ValidName(in.Task) {
		return m, fmt.Errorf("register model: task name %q is not valid", in.Task)
	}
	if len(data) == 0 || len(data) > MaxBytes {
		return m, fmt.Errorf("register model of task %q: %d bytes, must be 1 to %d", in.Task, len(data), MaxBytes)
	}
	metrics, err := document(in.Metrics)
	if err != nil {
		return m, fmt.Errorf("register model of task %q: metrics: %w", in.Task, err)
	}
	lineage, err := document(in.Lineage)
	if err != nil {
		return m, fmt.Errorf("register model of task %q: lineage: %w", in.Task, err)
	}
	digest, err := r.blobs.PutContent(ctx, data)
	if err != nil {
		return m, fmt.Errorf("register model of task %q: %w", in.Task, err)
	}
	err = r.db.Tx(ctx, func(q *meta.Queries) (err error) {
		m, err = q.Model(ctx, digest)
		if err == nil && m.Task != in.Task {
			return fmt.Errorf("the artifact belongs to task %q", m.Task)
		}
		if err == nil && m.RemovedAt > 0 { // what deletes it does so within a transaction, too
			if _, err := r.blobs.PutContent(ctx, data); err != nil {
				return err
			}
			m.RemovedAt = 0
			return errors.Join(q.SetModelRemoved(ctx, digest, 0), q.Audit(ctx, in.CreatedBy, "model.restore", Name(m), "sha256:"+digest))
		}
		if !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		m, err = q.InsertModel(ctx, meta.Model{
			Digest:    digest,
			Task:      in.Task,
			Kind:      in.Kind,
			State:     StateCandidate,
			Size:      int64(len(data)),
			Target:    Target(in.Task, digest),
			Metrics:   metrics,
			Lineage:   lineage,
			CreatedBy: in.CreatedBy,
			CreatedAt: meta.Now(),
		})
		if err != nil {
			return err
		}
		return q.Audit(ctx, in.CreatedBy, "model.register", Name(m), "sha256:"+digest)
	})
	if err != nil {
		return m, fmt.Errorf("register model of task %q: %w", in.Task, err)
	}
	if m.TombstonedAt > 0 {
		return m, fmt.Errorf("register model of task %q: %w", in.Task, ErrTombstoned)
	}
	return m, r.signModel(m)
}

func document(v any) (string, error) {
	if v == nil {
		return "{}", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func (r *Registry) signModel(m meta.Model) error {
	return r.sign.SignModel(m.Target, m.Size, m.Digest, map[string]any{"task": m.Task, "version": m.Version, "kind": m.Kind, "seq": m.CreatedAt})
}

// Target is the path under which an artifact is signed.
func Target(task, digest string) string { return "models/" + task + "/" + digest + ".skerry" }

// Name is what people call a model: "pm25-next-hour@3".
func Name(m meta.Model) string { return fmt.Sprintf("%s@%d", m.Task, m.Version) }

// Repair signs models that a crash left unsigned, of the newest that devices accept at one time,
// and stops signing tombstoned ones and those whose artifact was removed.
func (r *Registry) Repair(ctx context.Context) error {
	models, err := r.db.Read().Models(ctx, "", 0)
	if err != nil {
		return fmt.Errorf("repair signatures: %w", err)
	}
	var dead []string
	live := 0
	for _, m := range models {
		if m.TombstonedAt > 0 || m.RemovedAt > 0 {
			dead = append(dead, m.Target)
			continue
		}
		if live++; live <= signing.MaxTargets && !r.sign.Signed(m.Target) {
			err = errors.Join(err, r.signModel(m))
		}
	}
	if err = errors.Join(err, r.sign.Remove(dead...)); err != nil {
		return fmt.Errorf("repair signatures: %w", err)
	}
	return nil
}

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Open opens an artifact for reading by range. Tombstoned artifacts stay readable: an
// administrator may look at them.
func (r *Registry) Open(ctx context.Context, digest string) (*blob.Object, error) {
	if !digestPattern.MatchString(digest) {
		return nil, fmt.Errorf("artifact %q: %w", digest, blob.ErrNotFound)
	}
	return r.blobs.Open(ctx, blob.Key(digest))
}

// Load reads a whole artifact and holds it to its digest.
func (r *Registry) Load(ctx context.Context, digest string) ([]byte, error) {
	if !digestPattern.MatchString(digest) {
		return nil, fmt.Errorf("artifact %q: %w", digest, blob.ErrNotFound)
	}
	b, err := r.blobs.Get(ctx, blob.Key(digest))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("artifact %q %w: its %d bytes have the digest %x; register it again or restore %s from a backup", digest, ErrDamaged, len(b), sum, blob.Key(digest))
	}
	return b, nil
}

// Promote makes a model the champion of a task's cohort ("" is the default).
func (r *Registry) Promote(ctx context.Context, actor, digest, cohort string) error {
	return r.db.Tx(ctx, func(q *meta.Queries) error { return Promote(ctx, q, actor, digest, cohort) })
}

// Promote is the method of the same name within a caller's transaction.
func Promote(ctx context.Context, q *meta.Queries, actor, digest, cohort string) error {
	if err := promote(ctx, q, actor, digest, cohort); err != nil {
		return fmt.Errorf("promote model %s: %w", digest, err)
	}
	return nil
}

func promote(ctx context.Context, q *meta.Queries, actor, digest, cohort string) error {
	m, err := q.Model(ctx, digest)
	if err != nil {
		return err
	}
	if m.TombstonedAt > 0 {
		return ErrTombstoned
	}
	if m.RemovedAt > 0 {
		return ErrRemoved
	}
	old, err := q.Champion(ctx, m.Task, cohort)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return err
	}
	if err := q.SetChampion(ctx, meta.Champion{
		Task:   m.Task,
		Cohort: cohort,
		Digest: digest,
		Since:  meta.Now(),
	}); err != nil {
		return err
	}
	if err := retire(ctx, q, old.Digest); err != nil {
		return err
	}
	if err := q.UpdateModel(ctx, digest, StateChampion, m.Metrics); err != nil {
		return err
	}
	return q.Audit(ctx, actor, "model.promote", Name(m), "cohort="+cohort)
}

// retire gives a model that is champion of no cohort any longer its state. The empty digest is
// nobody's.
func retire(ctx context.Context, q *meta.Queries, digest string) error {
	if digest == "" {
		return nil
	}
	champions, err := q.Champions(ctx)
	if err != nil || slices.ContainsFunc(champions, func(c meta.Champion) bool { return c.Digest == digest }) {
		return err
	}
	m, err := q.Model(ctx, digest)
	if err != nil || m.TombstonedAt > 0 {
		return err
	}
	return q.UpdateModel(ctx, digest, StateRetired, m.Metrics)
}

// Lift allows a tombstoned model again and signs it. Telling the devices is the caller's part
// (fleet.Lift).
func (r *Registry) Lift(ctx context.Context, actor, digest, reason string) error {
	var m meta.Model
	err := r.db.Tx(ctx, func(q *meta.Queries) (err error) {
		if m, err = q.Model(ctx, digest); err != nil {
			return err
		}
		if m.TombstonedAt == 0 {
			return ErrNotTombstoned
		}
		if err := q.LiftTombstone(ctx, digest, StateRetired, meta.Now()); err != nil {
			return err
		}
		return q.Audit(ctx, actor, "model.lift", Name(m), reason)
	})
	if err == nil && m.RemovedAt == 0 {
		m.TombstonedAt = 0
		err = r.signModel(m)
	}
	if err != nil {
		return fmt.Errorf("lift the tombstone of model %s: %w", digest, err)
	}
	return nil
}

// Tombstone marks a model as never to run again and stops signing it. Telling the devices is the
// caller's part (fleet.Tombstone).
func (r *Registry) Tombstone(ctx context.Context, actor, digest, reason string) error {
	var m meta.Model
	err := r.db.Tx(ctx, func(q *meta.Queries) (err error) {
		if m, err = q.Model(ctx, digest); err != nil || m.TombstonedAt > 0 {
			return err
		}
		if err := q.TombstoneModel(ctx, digest, reason, meta.Now()); err != nil {
			return err
		}
		return q.Audit(ctx, actor, "model.tombstone", Name(m), reason)
	})
	if err == nil {
		err = r.sign.Remove(m.Target)
	}
	if err != nil {
		return fmt.Errorf("tombstone model %s: %w", digest, err)
	}
	return nil
}
