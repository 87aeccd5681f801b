package meta_test

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// stores opens a database as often as it may be open at one time: twice, as two hubs do, where it
// is shared.
func stores(t *testing.T, d metatest.DB) []*meta.Store {
	all := []*meta.Store{d.Open(t)}
	if d.Shared {
		all = append(all, d.Open(t))
	}
	return all
}

// TestConcurrentWriters: of many transactions at one time, over every store that is open, none
// fails, and whatever is numbered is numbered without a gap.
func TestConcurrentWriters(t *testing.T) {
	const writers = 500
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		ctx := t.Context()
		all := stores(t, d)
		var g errgroup.Group
		for i := range writers {
			s := all[i%len(all)]
			g.Go(func() error {
				return s.Tx(ctx, func(q *meta.Queries) error {
					name := fmt.Sprintf("device-%d", i)
					if err := q.InsertDevice(ctx, meta.Device{Name: name, PublicKey: name}); err != nil {
						return err
					}
					if _, err := q.InsertModel(ctx, meta.Model{Digest: name, Task: "t"}); err != nil {
						return err
					}
					if _, err := q.PutRun(ctx, meta.Run{Device: "d", Run: name}); err != nil {
						return err
					}
					return q.Audit(ctx, "test", "do", name, "")
				})
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		q := all[0].Read()
		if err := q.VerifyAudit(ctx); err != nil {
			t.Error(err)
		}
		entries, err := q.AuditEntries(ctx, 0, 0)
		if err != nil || len(entries) != writers || entries[writers-1].Seq != writers {
			t.Errorf("%d audit entries, %v, want %d in unbroken order", len(entries), err, writers)
		}
		for v := range int64(writers) {
			if _, err := q.ModelVersion(ctx, "t", v+1); err != nil {
				t.Fatalf("version %d: %v", v+1, err)
			}
		}
		runs, err := q.Runs(ctx, "d")
		if err != nil || len(runs) != writers {
			t.Fatalf("%d runs, %v, want %d", len(runs), err, writers)
		}
		for i, r := range runs {
			if r.Ordinal != int64(i+1) {
				t.Fatalf("run %d in order has ordinal %d", i+1, r.Ordinal)
			}
		}
	})
}

// TestReadModifyWrite: what a transaction has read is still so when it writes.
func TestReadModifyWrite(t *testing.T) {
	const writers = 100
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		ctx := t.Context()
		all := stores(t, d)
		put := func(q *meta.Queries) error { return q.InsertDevice(ctx, meta.Device{Name: "d", PublicKey: "k"}) }
		if err := all[0].Tx(ctx, put); err != nil {
			t.Fatal(err)
		}
		var g errgroup.Group
		for i := range writers {
			s := all[i%len(all)]
			g.Go(func() error {
				return s.Tx(ctx, func(q *meta.Queries) error {
					dev, err := q.Device(ctx, "d")
					if err != nil {
						return err
					}
					dev.JoinCounter++
					return q.UpdateDevice(ctx, dev)
				})
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if dev, err := all[0].Read().Device(ctx, "d"); err != nil || dev.JoinCounter != writers {
			t.Errorf("the counter is %d, %v, want %d", dev.JoinCounter, err, writers)
		}
	})
}

// TestDeadlockIsRepeated: a transaction that PostgreSQL ends for the sake of a stranger's, which
// writes without the lock, runs again.
func TestDeadlockIsRepeated(t *testing.T) {
	d := metatest.Postgres(t)
	s, ctx := d.Open(t), t.Context()
	err := s.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(
			q.InsertDevice(ctx, meta.Device{Name: "a", PublicKey: "a"}),
			q.InsertDevice(ctx, meta.Device{Name: "b", PublicKey: "b"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", d.Options.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stranger, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string) error { _, err := stranger.ExecContext(ctx, query); return err }
	// Whoever looks for deadlocks first is the victim.
	if err := errors.Join(exec("SET LOCAL deadlock_timeout = '60s'"), exec("UPDATE device SET site = 's' WHERE name = 'b'")); err != nil {
		t.Fatal(err)
	}
	tries := 0
	done := make(chan error, 1)
	err = s.Tx(ctx, func(q *meta.Queries) error {
		tries++
		if err := q.SetConnected(ctx, "a", true, int64(tries)); err != nil {
			return err
		}
		if tries == 1 {
			go func() { done <- errors.Join(exec("UPDATE device SET site = 's' WHERE name = 'a'"), stranger.Commit()) }()
		}
		return q.SetConnected(ctx, "b", true, int64(tries))
	})
	if err != nil || tries != 2 {
		t.Errorf("Tx = %v after %d tries, want the second to succeed", err, tries)
	}
	if err := <-done; err != nil {
		t.Errorf("the stranger's transaction: %v", err)
	}
	for _, name := range []string{"a", "b"} {
		if dev, err := s.Read().Device(ctx, name); err != nil || dev.Site != "s" || dev.SeenAt != 2 {
			t.Errorf("device %q = %+v, %v: want both changes, the second try's", name, dev, err)
		}
	}
}
