package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Run works until ctx ends. Readings are taken last and given up first, so that nothing is
// acknowledged that is not kept.
func (d *Device) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// the runtime outlives what feeds it
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	var core, edges sync.WaitGroup
	var errs errorList
	start := func(wg *sync.WaitGroup, ctx context.Context, name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				errs.add(fmt.Errorf("%s: %w", name, err))
				cancel(err)
			}
		})
	}
	start(&core, inner, "runtime", d.runtime.Run)
	start(&edges, ctx, "http", d.pages)

	names := make([]string, 0, len(d.Tasks()))
	for _, t := range d.Tasks() {
		names = append(names, t.Name)
	}
	err := d.manager.Restore(ctx, names)
	if err == nil {
		err = d.models.Reconcile(ctx)
	}
	if err != nil && ctx.Err() == nil {
		errs.add(fmt.Errorf("restore models: %w", err))
		cancel(err)
	}
	start(&edges, ctx, "updater", d.manager.Run)
	if d.client != nil {
		start(&edges, ctx, "mqtt", func(ctx context.Context) error { return d.client.Run(ctx, d.runtime) })
	}
	start(&edges, ctx, "silence", d.watchInputs)
	start(&edges, ctx, "host", d.host.Run)
	start(&edges, ctx, "tasks", d.watchTasks)
	start(&edges, ctx, "state", d.reportLoop)
	if d.link != nil {
		start(&edges, ctx, "link", d.link.Run)
		start(&edges, ctx, "identity", func(ctx context.Context) error { return d.id.Run(ctx, d.log) })
	}
	d.ready.Store(true)
	if d.opts.Ready != nil {
		d.opts.Ready()
	}
	d.log.Info("agent is up", "device", d.name, "tasks", len(d.Tasks()), "http", d.cfg.HTTP.Listen, "ms", time.Since(d.began).Milliseconds())
	confirm := time.AfterFunc(time.Minute, func() {
		if err := d.manager.Confirm(); err != nil {
			d.log.Error("start not confirmed", "err", err)
		}
	})
	defer confirm.Stop()
	<-ctx.Done()
	edges.Wait()
	stopInner()
	core.Wait()
	return errs.join()
}

// pages serves the agent's own pages. What keeps it from it, a taken port mostly, keeps nothing else
// from running: it is reported and tried again.
func (d *Device) pages(ctx context.Context) error {
	for {
		l, err := d.server.Listen()
		if err == nil {
			d.noPages.Store(nil)
			return d.server.Serve(ctx, l)
		}
		msg := err.Error()
		if d.noPages.Swap(&msg) == nil {
			d.log.Error("no local pages: this is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryPages):
		}
	}
}

const retryPages = 10 * time.Second

type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	l.errs = append(l.errs, err)
	l.mu.Unlock()
}

func (l *errorList) join() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

func (d *Device) hello() wire.Hello {
	return wire.Hello{Fingerprint: identity.Fingerprint(), JoinCounter: d.id.Join(), Version: d.opts.Version}
}

func (d *Device) desired(doc spec.Desired) {
	if doc.Generation >= d.manager.Generation() && d.held.Swap(doc.Suspect) != doc.Suspect {
		if doc.Suspect {
			d.log.Warn("the hub holds this device back: its state looks like a copy of another's, or was copied", "device", d.name)
		} else {
			d.log.Info("the hub does not hold this device back any more", "device", d.name)
		}
		defer d.report()
	}
	if err := d.manager.Apply(doc); err != nil {
		d.log.Error("desired state not applied", "err", err)
	}
}

// declareLost reports to the hub, once, what a damaged cache has lost for good.
func (d *Device) declareLost(a wire.Applied) {
	if d.store.Damage() == "" || d.declared.Swap(true) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, g := range d.store.Outbox().Holes(a) {
		detail := map[string]any{"run": g.Run.String(), "class": g.Class.String(), "from": g.From, "to": g.To, "reason": g.Reason}
		if err := d.runtime.Event(ctx, wire.GapKind, "", time.Now().UnixMicro(), detail); err != nil {
			d.declared.Store(false) // again at the next hello
			return
		}
		d.log.Warn("records lost to damage", "run", g.Run.String(), "class", g.Class.String(), "from", g.From, "to", g.To)
	}
}

func (d *Device) publish(topic string, payload []byte, retain bool) {
	if d.client != nil {
		d.client.Publish(topic, payload, retain)
	}
}

func (d *Device) heartbeat() {
	d.beat.Store(time.Now().UnixNano())
	if d.opts.Heartbeat != nil {
		d.opts.Heartbeat()
	}
}

// samples stores host telemetry.
func (d *Device) samples(hs []wire.Host) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.runtime.Hosts(ctx, hs); err != nil {
		d.log.Warn("host telemetry not stored", "err", err)
	}
}
