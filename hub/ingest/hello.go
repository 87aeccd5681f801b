package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry.dev/hub/alarm"
	"skerry.dev/hub/clock"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// Greet answers the hello of a device: it registers the run chain and returns what the ledger
// holds.
func (i *Ingester) Greet(ctx context.Context, device string, h wire.Hello) (wire.HelloReply, error) {
	if h.Device != device {
		return wire.HelloReply{}, fmt.Errorf("hello of device %q sent by %q", h.Device, device)
	}
	if err := checkHello(h); err != nil {
		return wire.HelloReply{}, fmt.Errorf("hello of device %q: %w", device, err)
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
		now, err := q.Clock(ctx)
		if err != nil {
			return err
		}
		t := newTally(now)
		u, err := t.of(ctx, q, device)
		if err != nil {
			return err
		}
		runs := make([]meta.Run, len(h.Runs))
		for n, r := range h.Runs {
			runs[n] = meta.Run{
				Run:       r.Run.String(),
				Prev:      r.Prev.String(),
				BootID:    r.BootID,
				StartedAt: r.StartedAt,
				ClockOK:   r.ClockOK,
				FirstSeen: now,
			}
		}
		fresh, err := q.PutRuns(ctx, device, runs)
		if err != nil {
			return err
		}
		u.Runs += fresh
		if u.Runs > maxRuns {
			return fmt.Errorf("device %q started more than %d times today: its telemetry waits until 00:00 UTC", device, maxRuns)
		}
		if err := t.store(ctx, q, int64(i.opts.DeviceQuota)); err != nil {
			return err
		}
		suspect, err := i.suspicion(ctx, q, dev, h)
		if err != nil {
			return err
		}
		dev.Version, dev.SeenAt = h.Version, now
		if suspect != "" && dev.Suspect == "" {
			dev.Suspect = suspect
			if err := alarm.Raise(ctx, q, now, alarm.Alarm{
				Device: device,
				Kind:   "suspect",
				Key:    fmt.Sprint(now),
				Detail: map[string]any{"reason": suspect},
			}); err != nil {
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
	// An agent that says more runs at once than one answer holds hears of the newest. Of the others
	// it sends again what it holds, and has it confirmed.
	told := h.Runs[max(0, len(h.Runs)-wire.MaxHelloRuns):]
	runs := make([]wire.Run, len(told))
	for n, r := range told {
		runs[n] = r.Run
	}
	applied, err := i.Applied(ctx, device, runs...)
	if err != nil {
		return wire.HelloReply{}, err
	}
	shorten(applied.Sets)
	return wire.HelloReply{
		Suspect:   dev.Suspect != "",
		HubTime:   clock.Known(time.Now()),
		Applied:   applied,
		BackedUp:  wire.Applied{Sets: []wire.AppliedSet{}},
		MaxChunks: wire.MaxChunks,
	}, nil
}

// maxRanges bounds the ranges above the marks of one answer: with them and the marks of
// wire.MaxHelloRuns runs it keeps within wire.MaxMessage.
const maxRanges = 6000

// shorten leaves ranges out of an answer that has too many. The device sends again what is in
// them.
func shorten(sets []wire.AppliedSet) {
	left := maxRanges
	for n := range sets {
		s := &sets[n]
		s.Ranges = s.Ranges[:min(len(s.Ranges), left)]
		left -= len(s.Ranges)
	}
}

// suspicion reports why the device that greets may be a copy of another: two runs continue the same
// one, or its join counter is older than one it has already confirmed. A chain is compared only
// with itself: a device whose store was lost starts a new one.
func (i *Ingester) suspicion(ctx context.Context, q *meta.Queries, dev meta.Device, h wire.Hello) (string, error) {
	var said []string
	for _, r := range h.Runs {
		if r.Prev != (wire.Run{}) {
			said = append(said, r.Prev.String())
		}
	}
	runs, err := q.RunsAfter(ctx, dev.Name, said)
	if err != nil {
		return "", err
	}
	child := map[string]string{}
	for _, r := range runs {
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
