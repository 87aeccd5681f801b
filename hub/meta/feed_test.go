package meta_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// TestFeedQueries holds the numbers of events, what a reader gets after one, and how far pruning
// goes: by age or number, never beyond what every consumer has read.
func TestFeedQueries(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		head, err := q.FeedHead(ctx)
		same(t, "the head of an empty feed", head, err, meta.FeedHead{})
		none, err := q.FeedCursor(ctx, "training")
		absent(t, "the cursor of an unknown consumer", none, err)
		woken := s.Appended()
		var all []meta.FeedEvent
		for i := range 5 { // two each
			events := []meta.FeedEvent{{Time: int64(10 * i), Kind: "a", Detail: "{}"}, {Time: int64(10 * i), Kind: "b", Task: "t", Device: "d", Detail: `{"n":1}`}}
			write(t, s, func(q *meta.Queries) error { return q.AppendFeed(ctx, events) })
			all = append(all, events...)
		}
		select {
		case <-woken:
		default:
			t.Error("Appended is still open after a commit that appends")
		}
		for i := range all {
			all[i].Seq = int64(i) + 1
		}
		got, err := q.FeedEvents(ctx, 0, 0)
		same(t, "FeedEvents", got, err, all)
		got, err = q.FeedEvents(ctx, 7, 2)
		same(t, "two FeedEvents after 7", got, err, all[7:9])

		woken = s.Appended()
		boom := errors.New("boom")
		refused(t, s, boom, func(q *meta.Queries) error {
			return errors.Join(q.AppendFeed(ctx, []meta.FeedEvent{{Kind: "lost", Detail: "{}"}}), boom)
		})
		select {
		case <-woken:
			t.Error("Appended wakes for what was rolled back")
		default:
		}
		head, err = q.FeedHead(ctx)
		same(t, "the head after a rollback", head, err, meta.FeedHead{Seq: 10})

		cursor := func(name string, seq, at int64) {
			t.Helper()
			write(t, s, func(q *meta.Queries) error {
				return q.PutFeedCursor(ctx, meta.FeedCursor{Consumer: name, Seq: seq, MovedAt: at})
			})
		}
		prune := func(before, keep, want, pruned int64) {
			t.Helper()
			write(t, s, func(q *meta.Queries) error {
				n, err := q.PruneFeed(ctx, before, keep)
				if n != want {
					t.Errorf("PruneFeed(%d, %d) = %d, want %d", before, keep, n, want)
				}
				return err
			})
			head, err := q.FeedHead(ctx)
			same(t, "the head after pruning", head, err, meta.FeedHead{Seq: 10, Pruned: pruned})
		}
		cursor("slow", 3, 100)
		cursor("slow", 4, 200)
		cursor("quick", 10, 100)
		c, err := q.FeedCursor(ctx, "slow")
		same(t, "FeedCursor", c, err, meta.FeedCursor{Consumer: "slow", Seq: 4, MovedAt: 200})
		prune(10, 100, 2, 2) // older than 10
		prune(10, 100, 0, 2) // again
		prune(0, 2, 2, 4)    // all but two, as far as slow has read
		write(t, s, func(q *meta.Queries) error { return q.TouchFeedCursors(ctx, 300) })
		write(t, s, func(q *meta.Queries) error {
			n, err := q.DropFeedCursors(ctx, 300) // quick has read everything: it was touched
			same(t, "DropFeedCursors", n, err, 1)
			return err
		})
		c, err = q.FeedCursor(ctx, "slow")
		absent(t, "a cursor that was dropped", c, err)
		prune(0, 2, 4, 8)
		got, err = q.FeedEvents(ctx, 0, 0)
		same(t, "what is left of the feed", got, err, all[8:])
	})
}

// TestDutiesAndRevocations: the last holder of a duty stands; of revocations the latest time.
func TestDutiesAndRevocations(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		none, err := q.Duty(ctx, "lake")
		absent(t, "a duty that nobody ever had", none, err)
		for token := range int64(2) {
			write(t, s, func(q *meta.Queries) error {
				return q.PutDuty(ctx, meta.Duty{Name: "lake", Holder: "hub-2", Token: token, ExpiresAt: 9})
			})
		}
		d, err := q.Duty(ctx, "lake")
		same(t, "Duty", d, err, meta.Duty{Name: "lake", Holder: "hub-2", Token: 1, ExpiresAt: 9})

		for _, r := range []meta.Revocation{{PublicKey: "b", Before: 5}, {PublicKey: "a", Before: 1}, {PublicKey: "b", Before: 3}, {PublicKey: "a", Before: 2}} {
			write(t, s, func(q *meta.Queries) error { return q.PutRevocation(ctx, r) })
		}
		all, err := q.Revocations(ctx)
		same(t, "Revocations", all, err, []meta.Revocation{{PublicKey: "a", Before: 2}, {PublicKey: "b", Before: 5}})

		before, err := q.Clock(ctx)
		if err != nil || before-meta.Now() > 60e6 || meta.Now()-before > 60e6 {
			t.Errorf("Clock = %d, %v, here it is %d", before, err, meta.Now())
		}
		if after, err := q.Clock(ctx); err != nil || after < before {
			t.Errorf("Clock goes from %d to %d, %v", before, after, err)
		}
		if err := s.Ping(ctx); err != nil {
			t.Errorf("Ping = %v", err)
		}
	})
}

// TestView: what one view reads is of one moment, whatever is committed meanwhile, and a view cannot
// write.
func TestView(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		names := func(q *meta.Queries) (n int) {
			t.Helper()
			a, err := q.Accounts(ctx)
			if err != nil {
				t.Error(err)
			}
			return len(a)
		}
		boom := errors.New("boom")
		err := s.View(ctx, func(q *meta.Queries) error {
			first := names(q)
			write(t, s, func(q *meta.Queries) error { return q.InsertAccount(ctx, meta.Account{Name: "zoe"}) })
			if again := names(q); first != 0 || again != 0 || names(s.Read()) != 1 {
				t.Errorf("a view sees %d accounts, then %d, others %d; want 0, 0 and 1", first, again, names(s.Read()))
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Errorf("View = %v, want the function's error", err)
		}
		if err := s.View(ctx, func(q *meta.Queries) error { return q.InsertAccount(ctx, meta.Account{Name: "ann"}) }); err == nil {
			t.Error("a view stores an account")
		}
		if n := names(s.Read()); n != 1 {
			t.Errorf("%d accounts afterwards, want 1", n)
		}
	})
}

// TestMigrations takes a database down step by step and up again: the schema is the one of a new
// database, and the store works on it.
func TestMigrations(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		ctx := t.Context()
		if err := d.Open(t).Close(); err != nil {
			t.Fatal(err)
		}
		driver, dsn, dialect := "pgx", d.Options.URL, goose.DialectPostgres
		schema := "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns WHERE table_schema = 'public'"
		if dsn == "" {
			driver, dsn, dialect = "sqlite", filepath.Join(d.Options.Dir, "hub.db"), goose.DialectSQLite3
			schema = "SELECT m.name || '.' || c.name || ' ' || c.type FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'"
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		columns := func() (out []string) {
			t.Helper()
			rows, err := db.QueryContext(ctx, schema)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var c string
				if err := rows.Scan(&c); err != nil {
					t.Fatal(err)
				}
				out = append(out, c)
			}
			slices.Sort(out)
			return out
		}
		files, err := fs.Sub(meta.Migrations, "migrations")
		if err != nil {
			t.Fatal(err)
		}
		p, err := goose.NewProvider(dialect, db, files)
		if err != nil {
			t.Fatal(err)
		}
		fresh := columns()
		for range p.ListSources() {
			if _, err := p.Down(ctx); err != nil {
				t.Fatalf("Down = %v", err)
			}
		}
		if left := columns(); slices.ContainsFunc(left, func(c string) bool { return c[:5] != "goose" && c[:6] != "sqlite" }) {
			t.Errorf("all the way down are left %v", left)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s := d.Open(t)
		if db, err = sql.Open(driver, dsn); err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if again := columns(); !slices.Equal(again, fresh) || len(fresh) < 100 {
			t.Errorf("up again the schema has %d columns, %v, want %d as before", len(again), again, len(fresh))
		}
		write(t, s, func(q *meta.Queries) error { return q.Audit(ctx, "a", "b", "c", "") })
	})
}

// TestPruneKeepsOrder holds that an entry of the audit and an event of the feed which were written
// while the clock was not set do not take younger ones before them along.
func TestPruneKeepsOrder(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		now := time.Now().UnixMicro()
		write(t, s, func(q *meta.Queries) error {
			err := q.AppendFeed(ctx, []meta.FeedEvent{{Time: now, Kind: "young"}, {Time: 5, Kind: "unset"}})
			for range 3 {
				err = errors.Join(err, q.Audit(ctx, "user/x", "something", "", ""))
			}
			_, err1 := meta.Exec(q, ctx, "UPDATE audit SET at = 5 WHERE seq = 2")
			return errors.Join(err, err1)
		})
		write(t, s, func(q *meta.Queries) error {
			feed, err := q.PruneFeed(ctx, now-1, 100)
			audit, err1 := q.PruneAudit(ctx, now-time.Hour.Microseconds())
			if feed != 0 || audit != 0 {
				t.Errorf("%d events of the feed and %d audit entries are pruned, want none", feed, audit)
			}
			return errors.Join(err, err1)
		})
	})
}
