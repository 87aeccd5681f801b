package duty_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// held is one term of a holder.
type held struct {
	hub   string
	ctx   context.Context
	lease *duty.Lease
}

// run lets a hub do the duty until the test ends or stop is called. Its terms come from the
// channel.
func run(t *testing.T, db *meta.Store, hub string, ttl time.Duration, terms chan<- held) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- duty.New(db, hub, duty.Options{TTL: ttl}).Run(ctx, "d", func(ctx context.Context, l *duty.Lease) error {
			terms <- held{hub, ctx, l}
			<-ctx.Done()
			return nil
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run of %s = %v", hub, err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func next(t *testing.T, terms <-chan held) held {
	t.Helper()
	select {
	case h := <-terms:
		return h
	case <-time.After(20 * time.Second):
		t.Fatal("nobody takes the duty")
		return held{}
	}
}

// write is what a holder does: check, then write.
func write(db *meta.Store, h held) error {
	ctx := context.Background()
	return db.Tx(ctx, func(q *meta.Queries) error {
		if err := h.lease.Check(ctx, q); err != nil {
			return err
		}
		return q.Audit(ctx, h.hub, "write", "d", "")
	})
}

// TestSQLiteIsAlone: the one hub has its duties at once and writes nothing for them.
func TestSQLiteIsAlone(t *testing.T) {
	db := metatest.SQLite(t).Open(t)
	terms := make(chan held, 1)
	stop := run(t, db, "h1", time.Millisecond, terms)
	h := next(t, terms)
	if err := write(db, h); err != nil {
		t.Error(err)
	}
	if _, err := db.Read().Duty(t.Context(), "d"); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a row for the duty: %v", err)
	}
	stop()
	boom := errors.New("boom")
	fail := func(context.Context, *duty.Lease) error { return boom }
	if err := duty.New(db, "h1", duty.Options{}).Run(t.Context(), "d", fail); !errors.Is(err, boom) {
		t.Errorf("Run = %v, want the function's error", err)
	}
	var none *duty.Lease
	if err := write(db, held{hub: "h1", lease: none}); err != nil {
		t.Errorf("Check of no lease = %v", err)
	}
}

// TestHandover: a hub that stops gives the duty up, and the next has it long before the lease ends.
func TestHandover(t *testing.T) {
	d := metatest.Postgres(t)
	terms := make(chan held, 2)
	a, b := d.Open(t), d.Open(t)
	stop := run(t, a, "h1", 3*time.Second, terms)
	first := next(t, terms)
	run(t, b, "h2", 3*time.Second, terms)
	if err := write(a, first); err != nil {
		t.Fatal(err)
	}
	stop()
	second := next(t, terms)
	if second.hub != "h2" {
		t.Errorf("the duty went to %s", second.hub)
	}
	if err := write(a, first); !errors.Is(err, duty.ErrLost) {
		t.Errorf("the former holder writes: %v", err)
	}
	if err := write(b, second); err != nil {
		t.Errorf("the holder cannot write: %v", err)
	}
}

// TestRestart: a hub gets its duty back at once after a crash that gave nothing up.
func TestRestart(t *testing.T) {
	db := metatest.Postgres(t).Open(t)
	err := db.Tx(t.Context(), func(q *meta.Queries) error {
		now, err := q.Clock(t.Context())
		if err != nil {
			return err
		}
		return q.PutDuty(t.Context(), meta.Duty{Name: "d", Holder: "h1", Token: 7, ExpiresAt: now + time.Hour.Microseconds()})
	})
	if err != nil {
		t.Fatal(err)
	}
	terms := make(chan held, 1)
	run(t, db, "h1", time.Hour, terms)
	next(t, terms)
	if d, err := db.Read().Duty(t.Context(), "d"); err != nil || d.Token != 8 {
		t.Errorf("duty = %+v, %v, want a new token", d, err)
	}
}

// TestStalledHolder: a holder that stands still beyond its lease, here with its lease ended in the
// database and no chance to notice, is fenced: another hub has the duty and its writes fail.
func TestStalledHolder(t *testing.T) {
	d := metatest.Postgres(t)
	a, b := d.Open(t), d.Open(t)
	terms := make(chan held, 2)
	run(t, a, "h1", time.Hour, terms) // renews in twenty minutes: it stands still
	first := next(t, terms)
	if err := write(a, first); err != nil {
		t.Fatal(err)
	}
	err := b.Tx(t.Context(), func(q *meta.Queries) error { // an hour later
		return q.PutDuty(t.Context(), meta.Duty{Name: "d", Holder: "h1", Token: 1, ExpiresAt: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, b, "h2", 300*time.Millisecond, terms)
	second := next(t, terms)
	if first.ctx.Err() != nil {
		t.Fatal("the first holder noticed")
	}
	if err := write(a, first); !errors.Is(err, duty.ErrLost) {
		t.Errorf("the stalled holder writes: %v, want ErrLost", err)
	}
	if err := write(b, second); err != nil {
		t.Error(err)
	}
	entries, err := b.Read().AuditEntries(t.Context(), 0, 0)
	if err != nil || len(entries) != 2 || entries[0].Actor != "h1" || entries[1].Actor != "h2" {
		t.Errorf("written: %+v, %v", entries, err)
	}
}

// TestCutOffHolder: a holder that no longer reaches the database stops before another begins.
func TestCutOffHolder(t *testing.T) {
	d := metatest.Postgres(t)
	a, b := d.Open(t), d.Open(t)
	terms := make(chan held, 100)
	run(t, a, "h1", 600*time.Millisecond, terms)
	first := next(t, terms)
	run(t, b, "h2", 600*time.Millisecond, terms)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	second := next(t, terms)
	for second.hub == "h1" { // a slow machine cost it its lease before it was cut off
		first, second = second, next(t, terms)
	}
	if first.ctx.Err() == nil {
		t.Error("two hubs do the duty")
	}
}

// TestNeverTwo lets two hubs take turns, each losing its lease in the database now and then without
// noticing: in the order of commits no holder writes after a later one has.
func TestNeverTwo(t *testing.T) {
	const turns = 12
	d := metatest.Postgres(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var took, fenced atomic.Int64
	var wg sync.WaitGroup
	for _, hub := range []string{"h1", "h2"} {
		db := d.Open(t)
		k := duty.New(db, hub, duty.Options{TTL: 300 * time.Millisecond})
		wg.Go(func() {
			err := k.Run(ctx, "d", func(work context.Context, l *duty.Lease) error {
				if took.Add(1) >= turns {
					cancel()
				}
				for work.Err() == nil {
					err := db.Tx(work, func(q *meta.Queries) error {
						now, err := q.Duty(work, "d")
						if err != nil {
							return err
						}
						if err := l.Check(work, q); err != nil {
							return err
						}
						now.ExpiresAt = 1 // and yet it goes on
						return errors.Join(q.PutDuty(work, now), q.Audit(work, hub, "write", fmt.Sprint(now.Token), ""))
					})
					if errors.Is(err, duty.ErrLost) {
						fenced.Add(1)
						<-work.Done()
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("Run of %s = %v", hub, err)
			}
		})
	}
	wg.Wait()
	entries, err := d.Open(t).Read().AuditEntries(context.Background(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	last, lastHub := int64(0), ""
	for _, e := range entries {
		token, err := strconv.ParseInt(e.Object, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if token < last || token == last && e.Actor != lastHub {
			t.Fatalf("%s wrote under token %d after %s had under %d", e.Actor, token, lastHub, last)
		}
		last, lastHub = token, e.Actor
	}
	if fenced.Load() == 0 || last < turns/2 {
		t.Errorf("%d writes were fenced over %d terms: the test showed nothing", fenced.Load(), last)
	}
}

// TestCopiedFolder runs two processes with one hub's name: the younger takes the duty, for it may be
// the older one's restart, and the older does not take it back in turns.
func TestCopiedFolder(t *testing.T) {
	const ttl = 300 * time.Millisecond
	d := metatest.Postgres(t)
	terms := make(chan held, 100)
	run(t, d.Open(t), "h", ttl, terms)
	older := next(t, terms)
	run(t, d.Open(t), "h", ttl, terms)
	younger := next(t, terms)
	select {
	case <-older.ctx.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the older one never notices that the duty was taken")
	}
	select {
	case <-terms:
		t.Error("the duty changes hands again")
	case <-younger.ctx.Done():
		t.Error("the younger one lost the duty")
	case <-time.After(10 * ttl):
	}
}

// TestClockSetBack: a lease of a holder that is gone, made before the clock of the database was set
// back by an hour, keeps nobody out for an hour.
func TestClockSetBack(t *testing.T) {
	d := metatest.Postgres(t)
	db := d.Open(t)
	err := db.Tx(t.Context(), func(q *meta.Queries) error {
		now, err := q.Clock(t.Context())
		if err != nil {
			return err
		}
		return q.PutDuty(t.Context(), meta.Duty{Name: "d", Holder: "gone/1", Token: 7, ExpiresAt: now + time.Hour.Microseconds()})
	})
	if err != nil {
		t.Fatal(err)
	}
	terms := make(chan held, 10)
	run(t, db, "h", 300*time.Millisecond, terms)
	h := next(t, terms)
	if err := write(db, h); err != nil {
		t.Errorf("write under the duty = %v", err)
	}
}
