package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry.dev/agent/source"
)

// Run works until ctx ends and everything accepted is durable, or until the store fails in a way
// that leaves its state unknown.
func (r *Runtime) Run(ctx context.Context) error {
	defer close(r.done)
	stored := make(chan error, 1)
	cctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		defer close(r.gone)
		stored <- r.committer(cctx)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	beat := time.Now()
	for {
		select {
		case in := <-r.in:
			r.message(ctx, in)
		case f := <-r.do:
			f()
		case err := <-stored:
			return err
		case now := <-tick.C:
			r.idle(ctx, now)
			if r.due(now) {
				r.sealNow(ctx)
			}
			if now.Sub(beat) >= 500*time.Millisecond {
				beat = now
				r.opts.Heartbeat()
				r.setStatus()
			}
		case <-ctx.Done():
			late := time.AfterFunc(lastCommit, cancel) // a disk that stores nothing holds up no stop
			defer late.Stop()
			r.sealWith(cctx, r.changedTasks())
			close(r.seal)
			err := <-stored
			if cctx.Err() != nil {
				err = errors.Join(fmt.Errorf("the last commit did not become durable in %v", lastCommit), err)
			}
			return err
		}
	}
}

// lastCommit is how long a stop waits for what was taken to become durable; the broker has what was
// not acknowledged.
const lastCommit = 10 * time.Second

// tickMargin is how long a message may take from its arrival to the runtime: a silence
// reaches the engines only when it is older, so that they have seen every message of before.
const tickMargin = 500 * time.Millisecond

// idle gives the engines the time. What follows is journalled, as it must not be published
// again after a crash; without anything, the next message leads to the same state.
func (r *Runtime) idle(ctx context.Context, now time.Time) {
	r.drain(ctx)
	at, journalled := now.Add(-tickMargin).UnixMicro(), false
	for _, t := range r.tasks {
		o := t.engine.Idle(at)
		if o.Empty() {
			continue
		}
		if !journalled {
			r.open.Journal = appendIdle(r.open.Journal, at)
			journalled = true
		}
		t.changed = true
		r.emit(t, o, 0)
	}
}

// Message implements source.Sink: it copies the readings and waits until the runtime has room.
func (r *Runtime) Message(ctx context.Context, m source.Message) error {
	in := inbounds.Get().(*inbound)
	in.Message = m
	in.readings = append(in.readings[:0], m.Readings...)
	in.Message.Readings = nil
	select {
	case r.in <- in:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return errors.New("the runtime has stopped")
	}
}

// Flush implements source.Flusher: it makes the open commit durable.
func (r *Runtime) Flush() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// the source acknowledges what it can; the rest comes again
	_ = r.durably(ctx, func(*sealed) error { return nil })
}

// changedTasks are those whose state is not stored as it is.
func (r *Runtime) changedTasks() (out []*running) {
	for _, t := range r.tasks {
		if t.fresh || t.changed {
			out = append(out, t)
		}
	}
	return out
}

// call runs f in the runtime's goroutine.
func (r *Runtime) call(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	select {
	case r.do <- func() { defer close(ran); f() }:
		<-ran
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return errors.New("the runtime has stopped")
	}
}

// durably runs f in the runtime's goroutine and returns once what it added to the open commit is
// stored.
func (r *Runtime) durably(ctx context.Context, f func(*sealed) error) error {
	stored := make(chan struct{})
	var ferr error
	err := r.call(ctx, func() {
		r.drain(ctx) // what was handed over before comes before
		if ferr = f(r.open); ferr != nil {
			return
		}
		r.open.after = append(r.open.after, func() { close(stored) })
		r.sealNow(ctx)
	})
	if err != nil || ferr != nil {
		return errors.Join(err, ferr)
	}
	select {
	case <-stored:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return errors.New("the runtime has stopped")
	}
}

// drain handles the messages that wait now. Those that come meanwhile are not awaited: a backlog
// would keep it from everything else, the heartbeat included.
func (r *Runtime) drain(ctx context.Context) {
	for range len(r.in) {
		r.message(ctx, <-r.in)
	}
}
