package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

func add(t *testing.T, db *meta.Store, kinds ...string) {
	t.Helper()
	err := db.Tx(t.Context(), func(q *meta.Queries) error {
		for _, k := range kinds {
			if err := feed.Add(t.Context(), q, k, "t", "d", map[string]string{"of": k}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// read returns the kinds of what follows a cursor.
func read(t *testing.T, db *meta.Store, after int64) string {
	t.Helper()
	events, err := feed.Read(t.Context(), db.Read(), after, 100)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for i, e := range events {
		if e.Seq != after+int64(i)+1 {
			t.Fatalf("event %d follows %d", e.Seq, after+int64(i))
		}
		kinds = append(kinds, e.Kind)
	}
	return strings.Join(kinds, "")
}

func TestAppendAndRead(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		add(t, db, "a", "b")
		boom := errors.New("boom")
		if err := db.Tx(ctx, func(q *meta.Queries) error { return errors.Join(feed.Add(ctx, q, "x", "", "", nil), boom) }); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		add(t, db, "c")
		if got := read(t, db, 0); got != "abc" {
			t.Errorf("the feed is %q, want abc: an event of a transaction that failed is none", got)
		}
		if got := read(t, db, 2); got != "c" {
			t.Errorf("after 2 the feed is %q, want c", got)
		}
		events, err := feed.Read(ctx, db.Read(), 1, 1)
		if err != nil || len(events) != 1 {
			t.Fatalf("Read = %v, %v", events, err)
		}
		e := events[0]
		if e.Kind != "b" || e.Task != "t" || e.Device != "d" || string(e.Detail) != `{"of":"b"}` || e.Time < meta.Now()-time.Minute.Microseconds() {
			t.Errorf("event = %+v", e)
		}
		for _, e := range []feed.Event{
			{Kind: strings.Repeat("k", feed.MaxName+1)},
			{Device: strings.Repeat("d", feed.MaxName+1)},
			{Detail: json.RawMessage(`"` + strings.Repeat("x", feed.MaxDetail) + `"`)},
		} {
			if err := db.Tx(ctx, func(q *meta.Queries) error { return feed.Append(ctx, q, e) }); !errors.Is(err, feed.ErrSize) {
				t.Errorf("Append beyond a bound = %v, want ErrSize", err)
			}
		}
	})
}

// TestReaderSeesEveryEventOnce: a reader beside many writers, some of whose transactions fail, gets
// every committed event once and in order. It would not if a number could commit after a larger
// one.
func TestReaderSeesEveryEventOnce(t *testing.T) {
	const writers = 300
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		stores := []*meta.Store{d.Open(t)}
		if d.Shared {
			stores = append(stores, d.Open(t))
		}
		ctx := t.Context()
		var committed atomic.Int64
		var g errgroup.Group
		g.SetLimit(50)
		written := make(chan error, 1)
		go func() {
			for i := range writers {
				g.Go(func() error {
					size := 1 + i%3
					boom := errors.New("boom")
					err := stores[i%len(stores)].Tx(ctx, func(q *meta.Queries) error {
						for range size {
							if err := feed.Add(ctx, q, "k", "", fmt.Sprint(i), nil); err != nil {
								return err
							}
						}
						if i%7 == 0 {
							return boom
						}
						return nil
					})
					if errors.Is(err, boom) {
						return nil
					}
					committed.Add(int64(size))
					return err
				})
			}
			written <- g.Wait()
		}()
		var cursor int64
		seen := map[string]int{}
		for done := false; ; {
			events, err := feed.Read(ctx, stores[0].Read(), cursor, 20)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				cursor++
				if e.Seq != cursor {
					t.Fatalf("event %d where %d follows", e.Seq, cursor)
				}
				seen[e.Device]++
			}
			if done && len(events) == 0 {
				break
			}
			select {
			case err := <-written:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			default:
			}
		}
		if cursor != committed.Load() {
			t.Errorf("the reader saw %d events, %d were committed", cursor, committed.Load())
		}
		for i := range writers {
			want := 1 + i%3
			if i%7 == 0 {
				want = 0
			}
			if got := seen[fmt.Sprint(i)]; got != want {
				t.Errorf("writer %d: %d events seen, want %d", i, got, want)
			}
		}
	})
}

func TestWait(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db := d.Open(t)
		other := db
		if d.Shared {
			other = d.Open(t)
		}
		ctx := t.Context()
		type result struct {
			cursor int64
			err    error
		}
		for n := range int64(4) {
			woken := make(chan result, 1)
			go func() {
				cursor, err := feed.Wait(ctx, db, 2*n, "k")
				woken <- result{cursor, err}
			}()
			from := db
			if n%2 == 1 {
				from = other
			}
			add(t, from, "other")
			add(t, from, "k")
			if r := <-woken; r.err != nil || r.cursor != 2*n+2 {
				t.Fatalf("Wait = %d, %v, want %d", r.cursor, r.err, 2*n+2)
			}
		}
		if cursor, err := feed.Wait(ctx, db, 2); err != nil || cursor != 3 {
			t.Errorf("Wait for what is there = %d, %v, want 3", cursor, err)
		}
		stopped, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if cursor, err := feed.Wait(stopped, db, 2, "never"); !errors.Is(err, context.DeadlineExceeded) || cursor != 8 {
			t.Errorf("Wait until its context ends = %d, %v, want 8 and the context's error", cursor, err)
		}
		if _, err := feed.Prune(ctx, db, feed.Limits{Age: time.Nanosecond}); err != nil {
			t.Fatal(err)
		}
		if cursor, err := feed.Wait(ctx, db, 2, "never"); err != nil || cursor != 8 {
			t.Errorf("Wait for pruned events = %d, %v, want 8", cursor, err)
		}
	})
}

// TestPrune: what is old or in excess goes, but not what a consumer has not read; a consumer that
// rests is forgotten and begins anew when it returns.
func TestPrune(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		prune := func(l feed.Limits, want int64) {
			t.Helper()
			if n, err := feed.Prune(ctx, db, l); err != nil || n != want {
				t.Fatalf("Prune(%+v) removed %d, %v, want %d", l, n, err, want)
			}
		}
		rebuilt := 0
		c := feed.Consumer{
			DB:      db,
			Name:    "c",
			Rebuild: func(context.Context, *meta.Queries) error { rebuilt++; return nil },
			Apply:   func(context.Context, *meta.Queries, []feed.Event) error { return nil },
			Batch:   2,
		}
		step := func(cursor int64, n int) {
			t.Helper()
			if at, got, err := c.Step(ctx); err != nil || at != cursor || got != n {
				t.Fatalf("Step = %d, %d, %v, want %d, %d", at, got, err, cursor, n)
			}
		}
		add(t, db, "a", "b")
		step(2, 0) // begins at the end
		if rebuilt != 1 {
			t.Fatalf("a new consumer was rebuilt %d times", rebuilt)
		}
		add(t, db, "c", "d", "e", "f")
		step(4, 2)
		prune(feed.Limits{}, 0)
		prune(feed.Limits{Events: 1}, 4) // e and f are not read
		if got := read(t, db, 4); got != "ef" {
			t.Errorf("left is %q, want ef", got)
		}
		if _, err := feed.Read(ctx, db.Read(), 3, 10); err == nil || !strings.Contains(err.Error(), "4 to 4") {
			t.Errorf("reading a pruned event = %v", err)
		}
		prune(feed.Limits{Age: time.Nanosecond}, 2) // so old that c is forgotten too
		var gap *feed.Gap
		if _, err := feed.Read(ctx, db.Read(), 4, 10); !errors.As(err, &gap) || gap.First != 7 {
			t.Errorf("reading from an empty feed = %v, want a gap up to 7", err)
		}
		step(6, 0)
		if rebuilt != 2 {
			t.Errorf("a forgotten consumer was rebuilt %d times, want twice", rebuilt)
		}
		add(t, db, "g")
		step(7, 1) // numbers go on where they were
	})
}

// TestConsumerCountsOnce: what a consumer derives, here as many entries of the audit chain as there
// are events, counts every event once although applying fails now and then and two of it run.
func TestConsumerCountsOnce(t *testing.T) {
	const events = 60
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		stores := []*meta.Store{d.Open(t)}
		if d.Shared {
			stores = append(stores, d.Open(t))
		}
		ctx := t.Context()
		boom := errors.New("boom")
		var tries atomic.Int64
		consumer := func(db *meta.Store) *feed.Consumer {
			return &feed.Consumer{
				DB:      db,
				Name:    "c",
				Rebuild: func(context.Context, *meta.Queries) error { return nil },
				Apply: func(ctx context.Context, q *meta.Queries, events []feed.Event) error {
					for _, e := range events {
						if err := q.Audit(ctx, "c", e.Kind, fmt.Sprint(e.Seq), ""); err != nil {
							return err
						}
					}
					if tries.Add(1)%3 == 0 {
						return boom
					}
					return nil
				},
				Batch: 7,
			}
		}
		if _, err := consumer(stores[0]).Catch(ctx); err != nil {
			t.Fatal(err)
		}
		for range events {
			add(t, stores[0], "k")
		}
		var g errgroup.Group
		for i := range 2 {
			g.Go(func() error {
				for {
					at, err := consumer(stores[i%len(stores)]).Catch(ctx)
					if errors.Is(err, boom) {
						continue
					}
					if err != nil || at >= events {
						return err
					}
				}
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		entries, err := stores[0].Read().AuditEntries(ctx, 0, 0)
		if err != nil || len(entries) != events {
			t.Fatalf("%d derived, %v, want %d", len(entries), err, events)
		}
		for i, e := range entries {
			if e.Object != fmt.Sprint(i+1) {
				t.Errorf("event %s was counted as number %d", e.Object, i+1)
			}
		}
	})
}

// crashHere names the database of a child process of TestCrash.
const crashHere = "SKERRY_TEST_FEED_CRASH"

// TestCrash: a process that ends the moment its transaction is committed, before anybody could be
// called, leaves an event that the next process finds.
func TestCrash(t *testing.T) {
	if dsn := os.Getenv(crashHere); dsn != "" {
		db, err := meta.Open(t.Context(), meta.Options{URL: dsn})
		if err != nil {
			t.Fatal(err)
		}
		add(t, db, "crashed")
		os.Exit(7)
	}
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		dsn := d.Options.URL
		if dsn == "" {
			dsn = d.Options.Dir + "/hub.db"
		}
		var seen []string
		consume := func() {
			t.Helper()
			db, err := meta.Open(t.Context(), d.Options)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			c := feed.Consumer{
				DB:      db,
				Name:    "c",
				Rebuild: func(context.Context, *meta.Queries) error { return nil },
				Apply: func(_ context.Context, _ *meta.Queries, events []feed.Event) error {
					for _, e := range events {
						seen = append(seen, fmt.Sprintf("%s %d", e.Kind, e.Seq))
					}
					return nil
				},
			}
			if _, err := c.Catch(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		consume()
		for range 2 {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestCrash$")
			child.Env = append(os.Environ(), crashHere+"="+dsn)
			out, err := child.CombinedOutput()
			if ee, ok := errors.AsType[*exec.ExitError](err); !ok || ee.ExitCode() != 7 {
				t.Fatalf("the child did not crash where it should: %v\n%s", err, out)
			}
			consume()
		}
		if got := strings.Join(seen, ", "); got != "crashed 1, crashed 2" {
			t.Errorf("after two crashes the consumer saw %q", got)
		}
	})
}
