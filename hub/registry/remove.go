package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"skerry.dev/hub/blob"
	"skerry.dev/hub/duty"
	"skerry.dev/hub/meta"
)

const (
	// removeEvery is how often unused artifacts are looked for.
	removeEvery = time.Hour
	// newest is how many models of a task keep their artifacts, however old they are.
	newest = 10
)

// RunRemoval removes now and then every hour what nothing has needed for an age, until ctx ends. It
// is done under a duty. age 0 keeps everything. clock returns the time, and whether it may decide
// what is old: while it may not, nothing is removed.
func (r *Registry) RunRemoval(ctx context.Context, lease *duty.Lease, age time.Duration, clock func(context.Context) (time.Time, bool), log *slog.Logger) error {
	t := time.NewTicker(removeEvery)
	defer t.Stop()
	for first := true; ; first = false {
		now, ok := clock(ctx)
		age := age
		if !ok {
			age = 0
		}
		if err := r.Remove(ctx, lease, age, now, first, log); err != nil && ctx.Err() == nil {
			log.Error("removing unused artifacts failed, it will be tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Remove deletes the artifacts of models that nothing has needed for an age; see
// [meta.Queries.UnusedModels]. The models' records stay, and the same bytes registered again bring
// an artifact back. It is noted first and deleted then; again also deletes what a crash between the
// two has left. lease may be nil.
func (r *Registry) Remove(ctx context.Context, lease *duty.Lease, age time.Duration, now time.Time, again bool, log *slog.Logger) error {
	if again {
		models, err := r.db.Read().Models(ctx, "", 0)
		if err != nil {
			return err
		}
		for _, m := range models {
			if m.RemovedAt > 0 {
				if err := r.deleteRemoved(ctx, lease, m); err != nil {
					return err
				}
			}
		}
	}
	if age == 0 {
		return nil
	}
	var gone []meta.Model
	err := r.db.Tx(ctx, func(q *meta.Queries) (err error) {
		if err := lease.Check(ctx, q); err != nil {
			return err
		}
		if gone, err = q.UnusedModels(ctx, now.Add(-age).UnixMicro(), newest); err != nil {
			return err
		}
		for _, m := range gone {
			err = errors.Join(err, q.SetModelRemoved(ctx, m.Digest, now.UnixMicro()),
				q.Audit(ctx, "hub", "model.remove", Name(m), fmt.Sprintf("artifact unused for %s, %d bytes", age, m.Size)))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, m := range gone {
		if err := r.sign.Remove(m.Target); err != nil {
			return err
		}
		if err := r.deleteRemoved(ctx, lease, m); err != nil {
			return err
		}
		log.Info("deleted an artifact that nothing has needed for long; its record stays", "model", Name(m), "digest", m.Digest, "bytes", m.Size)
	}
	return nil
}

// deleteRemoved deletes the artifact of a model that is still noted as removed. It does so within a
// transaction that writes the record, so that a registration of the same bytes comes before it or
// after it.
func (r *Registry) deleteRemoved(ctx context.Context, lease *duty.Lease, m meta.Model) error {
	return r.db.Tx(ctx, func(q *meta.Queries) error {
		if err := lease.Check(ctx, q); err != nil {
			return err
		}
		now, err := q.Model(ctx, m.Digest)
		if err != nil || now.RemovedAt == 0 {
			return err
		}
		if err := q.SetModelRemoved(ctx, m.Digest, now.RemovedAt); err != nil {
			return err
		}
		return r.blobs.Delete(ctx, blob.Key(m.Digest))
	})
}
