package main

import (
	"context"
	"fmt"
	"time"
)

const (
	window    = 100 // rows that the driver may be ahead of the slower agent
	inRollout = 12  // rows between two pauses while a rollout is under way
	pause     = 250 * time.Millisecond
	stuck     = 5 * time.Minute // without any progress
)

// play publishes a set and judges what came of it.
func play(ctx context.Context, s settings, of *set) (*result, error) {
	began := time.Now()
	d, err := of.load(s.data)
	if err != nil {
		return nil, err
	}
	if s.rows > 0 {
		d.cut(s.rows)
	}
	w, err := newWorld(ctx, s, of)
	defer w.stop()
	if err != nil {
		return nil, err
	}
	fmt.Printf("%s: %d rows\n", of.title, d.rows)
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); w.watch(watching) }()
	err = w.publish(ctx, d)
	if err == nil {
		err = w.settle(ctx, d)
	}
	stop()
	<-watched
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, w.logs())
	}
	r := judge(of, d, w.heard, w.why)
	r.trainings, r.seconds = len(w.jobs), time.Since(began).Seconds()
	return r, nil
}

// cut leaves the first n rows and the labels between them.
func (d *data) cut(n int) {
	for i, m := range d.messages {
		if m.row == 0 {
			continue
		}
		if n--; n < 0 {
			d.messages = d.messages[:i]
			break
		}
	}
	d.rows = 0
	for _, m := range d.messages {
		if m.row != 0 {
			d.rows++
		}
	}
}

// publish sends message after message, no further ahead than both agents follow.
func (w *world) publish(ctx context.Context, d *data) error {
	var rows []int64
	shown := time.Now()
	for _, m := range d.messages {
		if m.row != 0 {
			if n := len(rows); n >= window {
				if err := w.pace(ctx, rows[n-window], n); err != nil {
					return err
				}
			}
			rows = append(rows, m.row)
			if time.Since(shown) > 10*time.Second {
				shown = time.Now()
				fmt.Printf("  %d of %d rows\n", len(rows), d.rows)
			}
		}
		w.pub.Publish(m.topic, 1, false, m.payload)
	}
	return nil
}

// pace waits until both agents have come to a row and the hub is not at work.
func (w *world) pace(ctx context.Context, row int64, n int) error {
	began := time.Now()
	if _, rolling := w.holds(); rolling && n%inRollout == 0 {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	for {
		if err := w.gone(); err != nil {
			return err
		}
		still, _ := w.holds()
		if !still && w.reached(ctx, withHub, row, time.Since(began)) && w.reached(ctx, alone, row, time.Since(began)) {
			return nil
		}
		if time.Since(began) > stuck {
			return fmt.Errorf("event time stands still at row %d", n)
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// reached reports whether an agent has come to a row: by its predictions, or, where it publishes
// none, by its watermark.
func (w *world) reached(ctx context.Context, agent int, row int64, waited time.Duration) bool {
	if w.heard[agent].seen(row) {
		return true
	}
	if waited < 100*time.Millisecond {
		return false
	}
	st, err := w.agents[agent].State(ctx)
	if err != nil {
		return false
	}
	for _, t := range st.Tasks {
		w.heard[agent].mark(t.Watermark)
	}
	return w.heard[agent].seen(row)
}

// gone reports a program that has ended.
func (w *world) gone() error {
	if err, gone := w.hub.Exited(); gone {
		return fmt.Errorf("the hub ended: %v", err)
	}
	for _, a := range w.agents {
		if err, gone := a.Exited(); gone {
			return fmt.Errorf("%s ended: %v", a.Name, err)
		}
	}
	return nil
}

// settle waits for the newest rows' predictions.
func (w *world) settle(ctx context.Context, d *data) error {
	last := int64(0)
	for _, m := range d.messages {
		last = max(last, m.row)
	}
	for began := time.Now(); ; {
		if err := w.gone(); err != nil {
			return err
		}
		if w.reached(ctx, withHub, last, time.Since(began)) && w.reached(ctx, alone, last, time.Since(began)) {
			return sleep(ctx, time.Second) // what was predicted before the watermark was asked for
		}
		if time.Since(began) > stuck {
			return fmt.Errorf("the last row was not predicted within %v", stuck)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
