package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// Run publishes desired state that a crash kept back, follows the links of devices and stops pushes
// to devices that became suspect, until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	err := f.db.Tx(ctx, func(q *meta.Queries) error { return q.DisconnectAll(ctx, f.opts.Hub) })
	if err == nil {
		err = f.republish(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("publish desired state: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.followLinks(ctx) })
	g.Go(func() error { return f.followSuspicion(ctx) })
	g.Go(func() error { return f.followRevocations(ctx) })
	g.Go(func() error { return f.publishAgain(ctx) })
	return g.Wait()
}

// followLinks stores what Watch collected.
func (f *Fleet) followLinks(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		}
		f.mu.Lock()
		events := f.links
		f.links = nil
		f.mu.Unlock()
		err := f.db.Tx(ctx, func(q *meta.Queries) error {
			for _, e := range events {
				err := q.SetConnected(ctx, e.Device, f.opts.Hub, e.Connected, e.At)
				if errors.Is(err, meta.ErrNotFound) {
					continue // deleted while it was connected
				}
				if err = errors.Join(err, q.InsertLinkEvent(ctx, e)); err != nil {
					return err
				}
				if err := feed.Add(ctx, q, feed.KindLink, "", e.Device, feed.Link{Connected: e.Connected}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			f.opts.Log.Error("recording links failed", "err", err)
		}
	}
}

// Watch subscribes to the links of devices. Call it after the bus opened and before devices may
// connect.
func (f *Fleet) Watch() error {
	return f.bus.OnLink(func(device string, up bool) {
		f.mu.Lock()
		f.links = append(f.links, meta.LinkEvent{
			ID:        rand.Text(),
			Device:    device,
			At:        meta.Now(),
			Connected: up,
		})
		f.mu.Unlock()
		select {
		case f.wake <- struct{}{}:
		default:
		}
	})
}

// publishAgain publishes what could not be published when it was stored.
func (f *Fleet) publishAgain(ctx context.Context) error {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		f.mu.Lock()
		devices := slices.Collect(maps.Keys(f.unpublished))
		clear(f.unpublished)
		f.mu.Unlock()
		for _, d := range devices {
			f.publish(ctx, d)
		}
	}
}

// consumer is the name of the fleet's cursor in the feed.
const consumer = "fleet"

// cursorEvery is how often the cursor moves when nobody becomes suspect, so that it does not hold
// back pruning.
const cursorEvery = time.Minute

// followSuspicion stops pushes to devices that ingest found to be copies. The desired state changes
// in the transaction that moves the cursor.
func (f *Fleet) followSuspicion(ctx context.Context) error {
	var touched []string // devices to publish
	stop := func(ctx context.Context, q *meta.Queries, device, reason string) error {
		touched = append(touched, device) // once too often does no harm
		return f.stopPushes(ctx, q, device, reason)
	}
	c := feed.Consumer{
		DB:   f.db,
		Name: consumer,
		Rebuild: func(ctx context.Context, q *meta.Queries) error {
			devices, err := q.Devices(ctx, "", "", 0)
			if err != nil {
				return err
			}
			for _, d := range devices {
				if d.Suspect == "" {
					continue
				}
				if err := stop(ctx, q, d.Name, d.Suspect); err != nil {
					return err
				}
			}
			return nil
		},
		Apply: func(ctx context.Context, q *meta.Queries, events []feed.Event) error {
			for _, e := range events {
				if e.Kind != feed.KindSuspect {
					continue
				}
				d, err := q.Device(ctx, e.Device)
				if errors.Is(err, meta.ErrNotFound) || err == nil && d.Suspect == "" {
					continue // deleted or cleared meanwhile
				}
				if err == nil {
					err = stop(ctx, q, d.Name, d.Suspect)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
		Batch: 4096,
	}
	for ctx.Err() == nil {
		cursor, err := c.Catch(ctx)
		for _, device := range touched {
			f.publish(ctx, device)
		}
		touched = nil
		pause := cursorEvery
		if err != nil && ctx.Err() == nil {
			f.opts.Log.Error("stopping pushes to suspect devices failed, it will be tried again", "err", err)
			pause = time.Second
		}
		waiting, cancel := context.WithTimeout(ctx, pause)
		if err == nil {
			_, err = feed.Wait(waiting, f.db, cursor, feed.KindSuspect)
		}
		if err != nil {
			<-waiting.Done()
		}
		cancel()
	}
	return nil
}

// stopPushes marks the desired state of a device that may be a copy, whose row is already marked.
// The caller publishes it.
func (f *Fleet) stopPushes(ctx context.Context, q *meta.Queries, device, reason string) error {
	_, err := update(ctx, q, device, func(_ *meta.Queries, d *spec.Desired) error {
		if d.Suspect {
			return ErrUnchanged
		}
		d.Suspect = true
		return nil
	})
	if errors.Is(err, ErrUnchanged) {
		return nil
	}
	if err == nil {
		f.opts.Log.Warn("device is suspect of being a clone or a restored copy", "device", device, "reason", reason)
	}
	return err
}
