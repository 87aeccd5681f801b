package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/jobs"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// fixture is a queue with two workers, on two stores where the database may be open twice.
type fixture struct {
	t    *testing.T
	db   *meta.Store
	a, b *jobs.Worker
}

// each runs a test on both databases. ttl is the length of the workers' leases.
func each(t *testing.T, ttl time.Duration, fn func(t *testing.T, f *fixture)) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db := d.Open(t)
		other := db
		if d.Shared {
			other = d.Open(t)
		}
		fn(t, &fixture{
			t:  t,
			db: db,
			a:  jobs.NewWorker(db, "a", jobs.Options{TTL: ttl}),
			b:  jobs.NewWorker(other, "b", jobs.Options{TTL: ttl}),
		})
	})
}

func (f *fixture) tx(fn func(q *meta.Queries) error) {
	f.t.Helper()
	if err := f.db.Tx(context.Background(), fn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) add(ids ...string) {
	f.t.Helper()
	f.tx(func(q *meta.Queries) error {
		for i, id := range ids {
			j := meta.Job{ID: id, Kind: "k", Task: "t", Spec: "{}", Result: "{}", CreatedAt: int64(i)}
			if err := jobs.Add(f.t.Context(), q, &j); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *fixture) take(w *jobs.Worker) *jobs.Claim {
	f.t.Helper()
	c, err := w.Take(f.t.Context(), "k")
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) job(id string) meta.Job {
	f.t.Helper()
	j, err := f.db.Read().Job(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return j
}

// expire ends the lease of a job, as the database's clock would.
func (f *fixture) expire(id string) {
	f.t.Helper()
	f.tx(func(q *meta.Queries) error {
		l, err := q.JobLease(f.t.Context(), id)
		if err != nil {
			return err
		}
		l.Until = 1
		return q.SetJobLease(f.t.Context(), l)
	})
}

// work returns what it is told, and audits when it is stored.
func work(result string, err error) jobs.Work {
	return jobs.Work{
		Do:       func(context.Context) (string, error) { return result, err },
		Progress: func() string { return `"on the way"` },
		Store:    func(ctx context.Context, q *meta.Queries) error { return q.Audit(ctx, "w", "stored", result, "") },
	}
}

func TestOrderAndResult(t *testing.T) {
	each(t, time.Hour, func(t *testing.T, f *fixture) {
		if c := f.take(f.a); c != nil {
			t.Fatalf("a job of an empty queue: %+v", c)
		}
		f.add("1", "2", "3")
		c := f.take(f.a)
		if c.Job.ID != "1" || f.job("1").State != jobs.Running || f.job("1").StartedAt == 0 {
			t.Fatalf("taken %+v", c.Job)
		}
		if d := f.take(f.b); d.Job.ID != "2" {
			t.Errorf("the second worker takes %s, want 2", d.Job.ID)
		}
		if err := f.a.Run(t.Context(), c, work(`"r"`, nil)); err != nil {
			t.Fatal(err)
		}
		if j := f.job("1"); j.State != jobs.Done || j.Result != `"r"` || j.FinishedAt == 0 || j.Error != "" {
			t.Errorf("job = %+v", j)
		}
		boom := errors.New("boom")
		if err := f.a.Run(t.Context(), f.take(f.a), work(`"half"`, boom)); err != nil {
			t.Fatal(err)
		}
		if j := f.job("3"); j.State != jobs.Failed || j.Error != "boom" || j.Result != `"half"` {
			t.Errorf("job = %+v", j)
		}
		events, err := feed.Read(t.Context(), f.db.Read(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var states []string
		for _, e := range events {
			if strings.Contains(string(e.Detail), `"id":"1"`) {
				states = append(states, string(e.Detail))
			}
		}
		if len(states) != 3 || !strings.Contains(states[0], jobs.Queued) || !strings.Contains(states[1], jobs.Running) || !strings.Contains(states[2], jobs.Done) {
			t.Errorf("the feed says %v of the first job", states)
		}
	})
}

// TestEveryJobOnce: workers beside each other do every job once.
func TestEveryJobOnce(t *testing.T) {
	const n = 60
	each(t, time.Hour, func(t *testing.T, f *fixture) {
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprintf("%02d", i))
		}
		f.add(ids...)
		var mu sync.Mutex
		did := map[string]int{}
		var g errgroup.Group
		for i := range 6 {
			w := []*jobs.Worker{f.a, f.b}[i%2]
			g.Go(func() error {
				for {
					c, err := w.Take(t.Context(), "k")
					if err != nil || c == nil {
						return err
					}
					mu.Lock()
					did[c.Job.ID]++
					mu.Unlock()
					if err := w.Run(t.Context(), c, work("{}", nil)); err != nil {
						return err
					}
				}
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if did[id] != 1 || f.job(id).State != jobs.Done {
				t.Errorf("job %s was done %d times and is %s", id, did[id], f.job(id).State)
			}
		}
	})
}

// TestLostLease: a worker whose lease ended cannot store a result, and its work is stopped when it
// finds out; the job is done by another.
func TestLostLease(t *testing.T) {
	each(t, 600*time.Millisecond, func(t *testing.T, f *fixture) {
		f.add("1")
		c := f.take(f.a)
		stalled := make(chan error, 1)
		began := make(chan struct{})
		go func() {
			stalled <- f.a.Run(context.Background(), c, jobs.Work{
				Do: func(ctx context.Context) (string, error) {
					close(began)
					<-ctx.Done()
					return `"stale"`, nil
				},
				Progress: func() string { return "{}" },
				Store:    func(context.Context, *meta.Queries) error { return errors.New("stored what was lost") },
			})
		}()
		<-began
		var d *jobs.Claim
		for d == nil { // a renewal may come between
			f.expire("1")
			d = f.take(f.b)
		}
		if err := <-stalled; !errors.Is(err, jobs.ErrLost) {
			t.Errorf("the stalled worker's Run = %v, want ErrLost", err)
		}
		if err := f.b.Run(t.Context(), d, work(`"fresh"`, nil)); err != nil {
			t.Fatal(err)
		}
		if err := f.a.Run(t.Context(), c, work(`"stale"`, nil)); !errors.Is(err, jobs.ErrLost) {
			t.Errorf("a result stored under an old token: %v, want ErrLost", err)
		}
		if j := f.job("1"); j.State != jobs.Done || j.Result != `"fresh"` {
			t.Errorf("job = %+v", j)
		}
	})
}

// TestRecover: a worker that begins again queues what it had, at once; others wait for its lease.
func TestRecover(t *testing.T) {
	each(t, time.Hour, func(t *testing.T, f *fixture) {
		f.add("1")
		c := f.take(f.a)
		if err := f.b.Recover(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if d := f.take(f.b); d != nil {
			t.Fatal("a job was taken from its worker")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cut := work("{}", nil)
		cut.Do = func(ctx context.Context) (string, error) { cancel(); <-ctx.Done(); return "", ctx.Err() }
		if err := f.a.Run(ctx, c, cut); !errors.Is(err, context.Canceled) {
			t.Errorf("Run of a worker that stops = %v", err)
		}
		if j := f.job("1"); j.State != jobs.Running {
			t.Errorf("job = %+v, want it running for the next start", j)
		}
		if err := f.a.Recover(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if d := f.take(f.b); d == nil || d.Job.ID != "1" {
			t.Errorf("after the restart %+v is taken", d)
		}
	})
}

// TestLostWorkers holds that a job fails when it has lost three workers, that a worker that is
// stopped in order is none of them, and that such a job can be cancelled before and added again
// after.
func TestLostWorkers(t *testing.T) {
	each(t, time.Hour, func(t *testing.T, f *fixture) {
		const id = "1"
		f.add(id)
		stop := func() { // and give the job back
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			cut := work("{}", nil)
			cut.Do = func(ctx context.Context) (string, error) { cancel(); <-ctx.Done(); return "", ctx.Err() }
			c := f.take(f.a)
			if c == nil {
				t.Fatal("the job is not there to be taken")
			}
			if err := f.a.Run(ctx, c, cut); !errors.Is(err, context.Canceled) {
				t.Fatalf("Run of a worker that stops = %v", err)
			}
		}
		for range 5 {
			stop()
		}
		for n := 1; n <= 3; n++ { // a process that dies: nobody runs what it took
			c := f.take(f.b)
			if c == nil || c.Job.ID != id {
				t.Fatalf("after %d workers died %+v is taken", n-1, c)
			}
			if n == 2 {
				f.expire(id) // and another finds it
				continue
			}
			if err := f.b.Recover(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
		if j := f.job(id); j.State != jobs.Failed || j.Error != "its worker died three times" || j.FinishedAt == 0 {
			t.Errorf("job = %+v, want it failed", j)
		}
		if c := f.take(f.a); c != nil {
			t.Errorf("the failed job is taken: %+v", c.Job)
		}
		f.add("again")
		f.take(f.b)
		f.expire("again")
		if c := f.take(f.a); c == nil || c.Job.ID != "again" {
			t.Fatalf("%+v is taken, want the new job for the second time", c)
		}
		f.tx(func(q *meta.Queries) error { return jobs.Cancel(t.Context(), q, "user/ada", "again") })
		f.expire("again")
		if c := f.take(f.a); c != nil || f.job("again").State != jobs.Cancelled {
			t.Errorf("the cancelled job is %+v", f.job("again"))
		}
	})
}

func TestCancel(t *testing.T) {
	each(t, 300*time.Millisecond, func(t *testing.T, f *fixture) {
		cancel := func(id string) error {
			return f.db.Tx(t.Context(), func(q *meta.Queries) error { return jobs.Cancel(t.Context(), q, "user/ada", id) })
		}
		f.add("waits", "works", "stalls")
		if err := cancel("waits"); err != nil {
			t.Fatal(err)
		}
		if j := f.job("waits"); j.State != jobs.Cancelled || j.Error != "cancelled by user/ada" || j.FinishedAt == 0 {
			t.Errorf("job = %+v", j)
		}
		c := f.take(f.a)
		if c.Job.ID != "works" {
			t.Fatalf("taken %s", c.Job.ID)
		}
		w := work("{}", nil)
		w.Do = func(ctx context.Context) (string, error) {
			if err := cancel("works"); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, jobs.ErrCancelled) {
				t.Errorf("the work ends for %v", cause)
			}
			return `"half"`, ctx.Err()
		}
		w.Store = func(context.Context, *meta.Queries) error { return errors.New("stored a cancelled job") }
		if err := f.a.Run(t.Context(), c, w); err != nil {
			t.Fatal(err)
		}
		if j := f.job("works"); j.State != jobs.Cancelled || j.Error != "cancelled by user/ada" || j.Result != `"half"` {
			t.Errorf("job = %+v", j)
		}
		// a worker that is gone cannot obey: the job ends with its lease
		f.take(f.a)
		if err := cancel("stalls"); err != nil {
			t.Fatal(err)
		}
		f.expire("stalls")
		if d := f.take(f.b); d != nil {
			t.Errorf("a cancelled job is taken: %+v", d.Job)
		}
		if j := f.job("stalls"); j.State != jobs.Cancelled {
			t.Errorf("job = %+v", j)
		}
		if err := cancel("stalls"); !errors.Is(err, jobs.ErrEnded) {
			t.Errorf("Cancel of what has ended = %v", err)
		}
		if err := cancel("none"); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Cancel of an unknown job = %v", err)
		}
	})
}

// TestProgress: what a job has so far is stored while it works.
func TestProgress(t *testing.T) {
	each(t, 300*time.Millisecond, func(t *testing.T, f *fixture) {
		f.add("1")
		c := f.take(f.a)
		w := work(`"end"`, nil)
		w.Do = func(ctx context.Context) (string, error) {
			for f.job("1").Result != `"on the way"` {
				select {
				case <-ctx.Done():
					return "", ctx.Err()
				case <-time.After(5 * time.Millisecond):
				}
			}
			return `"end"`, nil
		}
		if err := f.a.Run(t.Context(), c, w); err != nil {
			t.Fatal(err)
		}
		if j := f.job("1"); j.Result != `"end"` || j.State != jobs.Done {
			t.Errorf("job = %+v", j)
		}
	})
}
