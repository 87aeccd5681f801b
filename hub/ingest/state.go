package ingest

import (
	"context"
	"encoding/json"
	"errors"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// State is a reported state as it came: a spec.Reported in JSON.
type State struct {
	Device string // vouched for by the source
	Data   []byte
}

// States stores reported states, oldest first, in one transaction. After an error none of them is
// stored.
func (i *Ingester) States(ctx context.Context, batch []State) error {
	return i.db.Tx(ctx, func(q *meta.Queries) error {
		for _, s := range batch {
			if err := i.state(ctx, q, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// state stores one reported state and reports it to the feed. A message that is not one is
// ignored: states repeat, the next is soon here.
func (i *Ingester) state(ctx context.Context, q *meta.Queries, s State) error {
	var r spec.Reported
	if err := json.Unmarshal(s.Data, &r); err != nil || r.Device != s.Device {
		i.opts.Log.Warn("reported state ignored", "device", s.Device, "names", r.Device, "err", err)
		return nil
	}
	dev, err := q.Device(ctx, r.Device)
	if errors.Is(err, meta.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	now := meta.Now()
	if err := q.PutReported(ctx, meta.Document{
		Device:     r.Device,
		Generation: int64(r.Generation),
		Document:   text(string(s.Data)),
		At:         now,
	}); err != nil {
		return err
	}
	dev.SeenAt, dev.Version, dev.Class = now, text(r.Version), text(r.Class)
	if err := q.UpdateDevice(ctx, dev); err != nil {
		return err
	}
	for name, t := range r.Tasks {
		if err := q.PutTask(ctx, meta.Task{
			Name:      text(name),
			Kind:      text(t.Kind),
			Spec:      text(t.Spec),
			Hash:      text(t.SpecHash),
			FirstSeen: now,
			LastSeen:  now,
		}, r.Device); err != nil {
			return err
		}
	}
	e, err := stateEvent(&r)
	if err != nil {
		return err
	}
	return feed.Append(ctx, q, e)
}
