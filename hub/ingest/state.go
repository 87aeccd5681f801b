package ingest

import (
	"context"
	"encoding/json"
	"errors"

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
	var seen []spec.Reported
	err := i.db.Tx(ctx, func(q *meta.Queries) error {
		seen = seen[:0]
		for _, s := range batch {
			r, err := i.state(ctx, q, s)
			if err != nil {
				return err
			}
			if r != nil {
				seen = append(seen, *r)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range seen {
		for _, fn := range i.onState {
			fn(r)
		}
	}
	return nil
}

// state stores one reported state. It returns nil for a message that is not one: states repeat,
// the next is soon here.
func (i *Ingester) state(ctx context.Context, q *meta.Queries, s State) (*spec.Reported, error) {
	var r spec.Reported
	if err := json.Unmarshal(s.Data, &r); err != nil || r.Device != s.Device {
		i.opts.Log.Warn("reported state ignored", "device", s.Device, "names", r.Device, "err", err)
		return nil, nil
	}
	dev, err := q.Device(ctx, r.Device)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil // deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	now := meta.Now()
	if err := q.PutReported(ctx, meta.Document{
		Device:     r.Device,
		Generation: int64(r.Generation),
		Document:   string(s.Data),
		At:         now,
	}); err != nil {
		return nil, err
	}
	dev.SeenAt, dev.Version, dev.Class = now, r.Version, r.Class
	if err := q.UpdateDevice(ctx, dev); err != nil {
		return nil, err
	}
	for name, t := range r.Tasks {
		if err := q.PutTask(ctx, meta.Task{
			Name:      name,
			Kind:      t.Kind,
			Spec:      t.Spec,
			Hash:      t.SpecHash,
			FirstSeen: now,
			LastSeen:  now,
		}, r.Device); err != nil {
			return nil, err
		}
	}
	return &r, nil
}
