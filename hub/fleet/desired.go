package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// Desired returns the desired state of a device; a device that is assigned nothing has
// generation 0.
func (f *Fleet) Desired(ctx context.Context, device string) (spec.Desired, error) {
	d := spec.Desired{Device: device, Assignments: map[string]spec.Assignment{}}
	doc, err := f.db.Read().Desired(ctx, device)
	if errors.Is(err, meta.ErrNotFound) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(doc.Document), &d)
	}
	if err != nil {
		return d, fmt.Errorf("desired state of device %q: %w", device, err)
	}
	return d, nil
}

// UpdateDesired changes the desired state of a device and publishes it. fn sees the current
// document with the generation it will have; an assignment it changes must get that generation. It
// runs within the transaction, where it may check and store what belongs to the change, and may run
// twice, so it touches only the document and what it sets anew. What was stored and could not be
// published is tried again by Run. The generation grows beyond what the device has reported too: a
// device ignores older ones, and this hub may have been restored from a backup, or the device
// deleted and enrolled again.
func (f *Fleet) UpdateDesired(ctx context.Context, device string, fn func(*meta.Queries, *spec.Desired) error) (spec.Desired, error) {
	var d spec.Desired
	err := f.db.Tx(ctx, func(q *meta.Queries) (err error) {
		d, err = update(ctx, q, device, fn)
		return err
	})
	if errors.Is(err, ErrUnchanged) {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("update desired state of device %q: %w", device, err)
	}
	f.publish(ctx, device)
	return d, nil
}

// update is the part of UpdateDesired within the transaction. With ErrUnchanged it returns the
// document as it was.
func update(ctx context.Context, q *meta.Queries, device string, fn func(*meta.Queries, *spec.Desired) error) (spec.Desired, error) {
	d := spec.Desired{Device: device}
	if _, err := q.Device(ctx, device); err != nil {
		return d, err
	}
	doc, err := q.Desired(ctx, device)
	if err == nil {
		err = json.Unmarshal([]byte(doc.Document), &d)
	} else if errors.Is(err, meta.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return d, err
	}
	if d.Assignments == nil {
		d.Assignments = map[string]spec.Assignment{}
	}
	stored := d.Generation
	seen, err := reportedGeneration(ctx, q, device)
	if err != nil {
		return d, err
	}
	d.Generation = max(stored, seen) + 1
	if err := forbid(ctx, q, &d); err != nil {
		return d, err
	}
	if err := fn(q, &d); err != nil {
		if errors.Is(err, ErrUnchanged) {
			d.Generation = stored
		}
		return d, err
	}
	b, err := json.Marshal(d)
	if err != nil {
		return d, err
	}
	return d, q.PutDesired(ctx, meta.Document{
		Device:     device,
		Generation: int64(d.Generation),
		Document:   string(b),
		At:         meta.Now(),
	})
}

// forbid brings what a document forbids in line with the models of the device's tasks: every
// document names all that must not run, whatever it was written for.
func forbid(ctx context.Context, q *meta.Queries, d *spec.Desired) error {
	tasks, err := q.DeviceTaskNames(ctx, d.Device)
	if err != nil {
		return err
	}
	for task := range d.Assignments {
		if !slices.Contains(tasks, task) {
			tasks = append(tasks, task)
		}
	}
	slices.Sort(tasks)
	d.Lifted = nil
	for _, task := range tasks {
		dead, err := q.Tombstones(ctx, task)
		if err != nil {
			return err
		}
		for _, digest := range dead {
			if !slices.Contains(d.Tombstones, digest) {
				d.Tombstones = append(d.Tombstones, digest)
			}
		}
		lifted, err := q.Lifted(ctx, task)
		if err != nil {
			return err
		}
		d.Lifted = append(d.Lifted, lifted...)
	}
	d.Tombstones = slices.DeleteFunc(d.Tombstones, func(digest string) bool { return slices.Contains(d.Lifted, digest) })
	return nil
}

// publish brings the bucket that the device reads in line with the database. When that fails Run
// tries again: the database is what counts.
func (f *Fleet) publish(ctx context.Context, device string) {
	err := f.tryPublish(ctx, device)
	if err == nil {
		return
	}
	f.opts.Log.Warn("publishing failed, it will be tried again", "device", device, "err", err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unpublished[device] = true
}

// tryPublish publishes once. Others may change and publish the same document meanwhile, also at
// other hubs: whoever has put one looks again, and so the last one put is the newest.
func (f *Fleet) tryPublish(ctx context.Context, device string) error {
	read := func() (meta.Document, error) {
		doc, err := f.db.Read().Desired(ctx, device)
		if errors.Is(err, meta.ErrNotFound) {
			return meta.Document{}, nil // it is assigned nothing, or it was deleted
		}
		return doc, err
	}
	doc, err := read()
	for err == nil {
		if doc.Document == "" {
			if err = f.bus.Desired.Delete(ctx, device); errors.Is(err, jetstream.ErrKeyNotFound) {
				err = nil
			}
		} else {
			_, err = f.bus.Desired.Put(ctx, device, []byte(doc.Document))
		}
		if err != nil {
			break
		}
		var now meta.Document
		if now, err = read(); err == nil && now.Document == doc.Document {
			return nil
		}
		doc = now
	}
	return fmt.Errorf("publish desired state of device %q: %w", device, err)
}

// republish publishes what a crash kept back.
func (f *Fleet) republish(ctx context.Context) error {
	docs, err := f.db.Read().AllDesired(ctx)
	if err != nil {
		return err
	}
	for _, d := range docs {
		e, err := f.bus.Desired.Get(ctx, d.Device)
		if err == nil && string(e.Value()) == d.Document {
			continue
		}
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return err
		}
		if err := f.tryPublish(ctx, d.Device); err != nil {
			return err
		}
	}
	return nil
}

// reportedGeneration is the newest generation that a device reports as accepted, 0 when it has
// reported nothing that can be true.
func reportedGeneration(ctx context.Context, q *meta.Queries, device string) (uint64, error) {
	doc, err := q.Reported(ctx, device)
	if errors.Is(err, meta.ErrNotFound) {
		return 0, nil
	}
	var r spec.Reported
	// beyond it other programs lose digits of it
	if err != nil || json.Unmarshal([]byte(doc.Document), &r) != nil || r.Generation > 1<<53 {
		return 0, err
	}
	return r.Generation, nil
}

// Lift tells the devices that were told that an artifact must not run that it may again.
func (f *Fleet) Lift(ctx context.Context, digest string) error {
	docs, err := f.db.Read().AllDesired(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range docs {
		if !strings.Contains(d.Document, digest) {
			continue
		}
		_, err := f.UpdateDesired(ctx, d.Device, func(*meta.Queries, *spec.Desired) error { return nil })
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Tombstone forbids every device to run an artifact.
func (f *Fleet) Tombstone(ctx context.Context, digest string) error {
	devices, err := f.db.Read().Devices(ctx, "", "", 0)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range devices {
		known, err := f.Desired(ctx, d.Name)
		if err == nil && !slices.Contains(known.Tombstones, digest) {
			_, err = f.UpdateDesired(ctx, d.Name, func(_ *meta.Queries, doc *spec.Desired) error {
				if !slices.Contains(doc.Tombstones, digest) {
					doc.Tombstones = append(doc.Tombstones, digest)
				}
				return nil
			})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ErrDocument is returned for a stored document that cannot be decoded.
var ErrDocument = errors.New("the stored document cannot be read")

// Reported returns what a device last reported and when (microseconds), or meta.ErrNotFound. When
// the document cannot be decoded it returns ErrDocument and the time.
func (f *Fleet) Reported(ctx context.Context, device string) (spec.Reported, int64, error) {
	doc, err := f.db.Read().Reported(ctx, device)
	if err != nil {
		return spec.Reported{}, 0, fmt.Errorf("reported state of device %q: %w", device, err)
	}
	var r spec.Reported
	if err := json.Unmarshal([]byte(doc.Document), &r); err != nil {
		return spec.Reported{}, doc.At, fmt.Errorf("reported state of device %q: %w: %w", device, ErrDocument, err)
	}
	return r, doc.At, nil
}
