package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// hello answers svc.hello.<device>: it registers the run chain and says what the ledger holds.
func (i *Ingester) hello(ctx context.Context, m *nats.Msg) {
	reply, err := i.greet(ctx, subjectDevice(m.Subject), m.Data)
	if err != nil {
		i.opts.Log.Warn("hello refused", "subject", m.Subject, "err", err)
		reply = wire.HelloReply{
			Error:    err.Error(),
			HubTime:  meta.Now(),
			Applied:  wire.Applied{Sets: []wire.AppliedSet{}},
			BackedUp: wire.Applied{Sets: []wire.AppliedSet{}},
		}
	}
	b, err := json.Marshal(reply)
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil && ctx.Err() == nil {
		i.opts.Log.Warn("answering hello failed", "subject", m.Subject, "err", err)
	}
}

func (i *Ingester) greet(ctx context.Context, device string, data []byte) (wire.HelloReply, error) {
	var h wire.Hello
	if err := json.Unmarshal(data, &h); err != nil {
		return wire.HelloReply{}, fmt.Errorf("read hello: %w", err)
	}
	if h.Device != device {
		return wire.HelloReply{}, fmt.Errorf("hello of device %q sent by %q", h.Device, device)
	}
	var dev meta.Device
	err := i.db.Tx(ctx, func(q *meta.Queries) (err error) {
		dev, err = q.Device(ctx, device)
		if errors.Is(err, meta.ErrNotFound) || (err == nil && dev.RevokedAt > 0) {
			return fmt.Errorf("device %q is not enrolled", device)
		}
		if err != nil {
			return err
		}
		now := meta.Now()
		for _, r := range h.Runs {
			if _, err := q.PutRun(ctx, meta.Run{
				Device:    device,
				Run:       r.Run.String(),
				Prev:      r.Prev.String(),
				BootID:    r.BootID,
				StartedAt: r.StartedAt,
				ClockOK:   r.ClockOK,
				FirstSeen: now,
			}); err != nil {
				return err
			}
		}
		suspect, err := i.suspicion(ctx, q, dev, h)
		if err != nil {
			return err
		}
		dev.Version, dev.SeenAt = h.Version, now
		if suspect != "" && dev.Suspect == "" {
			dev.Suspect = suspect
			if err := alarm(ctx, q, fmt.Sprintf("hub/suspect/%s/%d", device, now), device, "suspect", map[string]any{"reason": suspect}, now); err != nil {
				return err
			}
			if err := feed.Add(ctx, q, feed.KindSuspect, "", device, feed.Suspect{Reason: suspect}); err != nil {
				return err
			}
		}
		return q.UpdateDevice(ctx, dev)
	})
	if err != nil {
		return wire.HelloReply{}, err
	}
	runs := make([]wire.Run, len(h.Runs))
	for n, r := range h.Runs {
		runs[n] = r.Run
	}
	applied, err := i.Applied(ctx, device, runs...)
	if err != nil {
		return wire.HelloReply{}, err
	}
	return wire.HelloReply{
		Suspect:  dev.Suspect != "",
		HubTime:  meta.Now(),
		Applied:  applied,
		BackedUp: wire.Applied{Sets: []wire.AppliedSet{}},
	}, nil
}

// suspicion says why the device that greets may be a copy of another: two runs continue the same
// one, or its join counter is older than one it has already confirmed. A chain is compared only
// with itself: a device whose store was lost starts a new one.
func (i *Ingester) suspicion(ctx context.Context, q *meta.Queries, dev meta.Device, h wire.Hello) (string, error) {
	runs, err := q.Runs(ctx, dev.Name)
	if err != nil {
		return "", err
	}
	said := map[string]bool{}
	for _, r := range h.Runs {
		said[r.Prev.String()] = true
	}
	child := map[string]string{}
	root := wire.Run{}.String()
	for _, r := range runs {
		if r.Prev == root || !said[r.Prev] {
			continue
		}
		if other := child[r.Prev]; other != "" {
			return fmt.Sprintf("runs %s and %s both continue run %s", other, r.Run, r.Prev), nil
		}
		child[r.Prev] = r.Run
	}
	if int64(h.JoinCounter)+1 < dev.JoinCounter {
		return fmt.Sprintf("join counter %d is behind %d", h.JoinCounter, dev.JoinCounter), nil
	}
	return "", nil
}

// states stores a batch of reported states.
func (i *Ingester) states(ctx context.Context, batch []jetstream.Msg) {
	err := i.db.Tx(ctx, func(q *meta.Queries) error {
		for _, m := range batch {
			if err := i.state(ctx, q, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			i.opts.Log.Error("storing reported state failed, it will be tried again", "err", err)
			sleep(ctx, i.opts.BatchDelay)
		}
		for _, m := range batch {
			_ = m.Nak() // lost with the connection at worst, then it is redelivered
		}
		return
	}
	for _, m := range batch {
		if err := m.Ack(); err != nil && ctx.Err() == nil {
			i.opts.Log.Warn("acknowledging failed, the message will come again", "subject", m.Subject(), "err", err)
		}
	}
}

// state stores one reported state. A message that is not one is ignored: states repeat, the next
// is soon here.
func (i *Ingester) state(ctx context.Context, q *meta.Queries, m jetstream.Msg) error {
	var r spec.Reported
	if err := json.Unmarshal(m.Data(), &r); err != nil || r.Device != edgeDevice(m.Subject()) {
		i.opts.Log.Warn("reported state ignored", "subject", m.Subject(), "device", r.Device, "err", err)
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
		Document:   string(m.Data()),
		At:         now,
	}); err != nil {
		return err
	}
	dev.SeenAt, dev.Version, dev.Class = now, r.Version, r.Class
	if err := q.UpdateDevice(ctx, dev); err != nil {
		return err
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
			return err
		}
	}
	e, err := stateEvent(&r)
	if err != nil {
		return err
	}
	return feed.Append(ctx, q, e)
}

// edgeDevice returns the device of edge.<site>.<device>.…
func edgeDevice(subject string) string {
	tokens := strings.Split(subject, ".")
	if len(tokens) < 3 {
		return ""
	}
	return tokens[2]
}
