package ingest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"skerry.dev/hub/alarm"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/tasks"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// State is a reported state as it came: a spec.Reported in JSON.
type State struct {
	Device string // vouched for by the source
	Data   []byte
}

// States stores reported states, oldest first, if it can in one transaction. Each says everything
// about its device, so of several of one device the last that can be read is stored. It returns for
// every state why it must come again, nil for one that is done with: stored, followed by a newer
// one, or refused for good. A refused one is kept in quarantine and raises an alarm.
func (i *Ingester) States(ctx context.Context, batch []State) []error {
	out := make([]error, len(batch))
	if err := i.opts.Room(); err != nil {
		for n := range out {
			out[n] = err
		}
		return out
	}
	var items []*stateItem
	last := map[string]*stateItem{}
	for n, s := range batch {
		item := &stateItem{State: s, n: n}
		if item.state, item.bad = readState(s); item.bad == nil {
			last[s.Device] = item
		}
		items = append(items, item)
	}
	items = slices.DeleteFunc(items, func(s *stateItem) bool { return s.bad == nil && last[s.Device] != s })
	store := func(part []*stateItem) error {
		err := i.db.Tx(ctx, func(q *meta.Queries) error {
			now, err := q.Clock(ctx)
			if err != nil {
				return err
			}
			t := newTally(now)
			for _, s := range part {
				if err := s.store(ctx, q, t); err != nil {
					return err
				}
			}
			return t.store(ctx, q, int64(i.opts.DeviceQuota))
		})
		if err != nil {
			return err
		}
		for _, s := range part {
			if s.raised {
				i.opts.Log.Warn("reported state refused", "device", s.Device, "reason", s.bad)
			}
		}
		return nil
	}
	bisect(ctx, items, store, func(part []*stateItem, err error) {
		if len(part) == 1 && part[0].bad == nil && meta.IsDataError(err) {
			part[0].bad = fmt.Errorf("the database refuses it: %w", err)
			err = store(part)
		}
		for _, s := range part {
			out[s.n] = err
		}
	})
	return out
}

// stateItem is one state of a batch.
type stateItem struct {
	State
	n      int // its place in the batch
	state  *spec.Reported
	bad    error // why it cannot be stored, nil when it can
	raised bool  // it is refused and an alarm was raised, set by store
}

// store stores one reported state and reports it to the feed, or refuses it.
func (s *stateItem) store(ctx context.Context, q *meta.Queries, t *tally) error {
	s.raised = false
	now := t.now
	dev, err := q.Device(ctx, s.Device)
	if errors.Is(err, meta.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	if s.bad != nil {
		return s.refuse(ctx, q, dev, t)
	}
	r := s.state
	if err := q.PutReported(ctx, meta.Document{
		Device:     r.Device,
		Generation: int64(r.Generation),
		Document:   string(s.Data),
		At:         now,
	}); err != nil {
		return err
	}
	dev.SeenAt, dev.Version, dev.Class = now, r.Version, r.Class
	if err := q.UpdateDevice(ctx, dev); err != nil {
		return err
	}
	fresh, err := tasks.Report(ctx, q, r.Device, r.Tasks, now)
	if err != nil {
		return err
	}
	e, err := stateEvent(r)
	if err == nil {
		err = feed.Append(ctx, q, e)
	}
	if err != nil {
		return err
	}
	return catchUp(ctx, q, r.Device, fresh, now)
}

// refuse keeps a document that cannot be stored. A device reports again within the minute, and most
// of a document changes each time: of one device and reason one is kept a day.
func (s *stateItem) refuse(ctx context.Context, q *meta.Queries, dev meta.Device, t *tally) error {
	subject, reason := wire.SubjectState(dev.Site, dev.Name), s.bad.Error()
	sum := wire.Digest([]byte(subject + "\n" + alarm.Day(t.now) + "\n" + reason))
	id := hex.EncodeToString(sum[:])
	var err error
	if s.raised, err = t.keep(ctx, q, dev.Name, meta.Quarantined{
		SHA256:  id,
		Subject: subject,
		Reason:  reason,
		Bytes:   s.Data,
		SeenAt:  t.now,
	}); err != nil {
		return fmt.Errorf("refuse a state: %w", err)
	}
	return nil
}
