package training

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"testing"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/jobs"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/rollout"
)

const taskFile = `task: next
kind: forecast
target: {series: pm25, horizon: 1h}
inputs: [{series: pm25, topic: a, path: $.p}]
rows: {on: pm25, max_age: 3h}
`

// counts is the trainer's consumer.
func counts(db *meta.Store) *feed.Consumer {
	return &feed.Consumer{DB: db, Name: "training", Rebuild: rebuild, Apply: apply, Batch: 2}
}

func catch(t *testing.T, db *meta.Store) map[string]*progress {
	t.Helper()
	if _, err := counts(db).Catch(t.Context()); err != nil {
		t.Fatal(err)
	}
	return stored(t, db)
}

func store(t *testing.T, db *meta.Store, fn func(q *meta.Queries) error) {
	t.Helper()
	if err := db.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// TestProgress follows the feed: labels, readings of the target, drift newer than the last
// training, and a task file that comes late.
func TestProgress(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		if got := catch(t, db); len(got) != 0 {
			t.Fatalf("progress of nothing = %v", got)
		}
		applied := func(labels, readings int64) {
			store(t, db, func(q *meta.Queries) error {
				return feed.Add(ctx, q, feed.KindApplied, "", "", feed.Applied{
					Tasks:  map[string]feed.LabelSum{"next": {Labels: labels, Newest: 10 * labels, Scored: labels, Model: float64(labels), Base: 2 * float64(labels)}},
					Series: map[string]int64{"pm25": readings, "temp": 99},
				})
			})
		}
		applied(4, 7)
		if p := catch(t, db)["next"]; p.Labels != 4 || p.Targets != 0 || p.rows() != 0 {
			t.Errorf("before the task file: %+v", p)
		}
		store(t, db, func(q *meta.Queries) error {
			return errors.Join(
				q.PutTask(ctx, meta.Task{Name: "next", Spec: taskFile, Hash: "h"}, "dev-1"),
				feed.Add(ctx, q, feed.KindState, "", "dev-1", feed.State{Tasks: map[string]string{"next": "h", "gone": "x"}}))
		})
		applied(3, 5)
		store(t, db, func(q *meta.Queries) error {
			return errors.Join(
				feed.Add(ctx, q, feed.KindDrift, "next", "dev-1", feed.Drift{Time: 1, Model: "m"}),
				feed.Add(ctx, q, feed.KindDrift, "next", "dev-1", feed.Drift{Time: 2}),
				feed.Add(ctx, q, feed.KindDrift, "next", "dev-1", feed.Drift{Time: 2, Model: "m"}))
		})
		p := catch(t, db)["next"]
		want := progress{Labels: 7, Targets: 4 + 5, Newest: 40, Drifts: 2, BaselineDrifts: 1, Loss: lossTrail{Model: 1, Base: 2, N: 7}, Hash: "h", Series: "pm25"}
		if *p != want {
			t.Errorf("progress = %+v, want %+v", *p, want)
		}
		store(t, db, func(q *meta.Queries) error {
			b, err := open(ctx, q)
			if err != nil {
				return err
			}
			b.task("next").began(&JobResult{Labels: 7, Newest: 40})
			return errors.Join(b.store(ctx, q), feed.Add(ctx, q, feed.KindDrift, "next", "dev-1", feed.Drift{Time: 40, Model: "m"}))
		})
		if p := catch(t, db)["next"]; p.Drifts != 0 || p.BaselineDrifts != 0 || !p.Trained || p.LabelsThen != 7 || p.NewestThen != 40 || p.Loss.N != 0 {
			t.Errorf("after a training and drift of an older world: %+v", p)
		}
	})
}

// TestRebuild: a hub that is new to the feed counts what its tables hold.
func TestRebuild(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		store(t, db, func(q *meta.Queries) error {
			for i := range int64(5) {
				if err := q.InsertLabelPoint(ctx, meta.LabelPoint{Task: "next", Device: "d", RowTime: i, ReceivedAt: 1}); err != nil {
					return err
				}
			}
			result, err := json.Marshal(JobResult{Labels: 3, Newest: 9})
			return errors.Join(err,
				q.PutTask(ctx, meta.Task{Name: "next", Spec: taskFile, Hash: "h"}, "d"),
				q.PutJob(ctx, meta.Job{ID: "j", Kind: JobKind, Task: "next", State: Done, Result: string(result)}),
				feed.Add(ctx, q, feed.KindApplied, "", "", feed.Applied{Tasks: map[string]feed.LabelSum{"next": {Labels: 5}}}))
		})
		want := map[string]*progress{"next": {Labels: 5, Targets: 5, Trained: true, LabelsThen: 3, NewestThen: 9, Hash: "h", Series: "pm25"}}
		if got := catch(t, db); !reflect.DeepEqual(got, want) {
			t.Errorf("progress = %+v, want %+v", got["next"], want["next"])
		}
	})
}

// killHere names the database of a child process of TestKill.
const killHere = "SKERRY_TEST_TRAINING_KILL"

// TestKill: a process that ends between the commit of a batch and the trainer's look at it, or in
// the trainer's transaction, loses no label and counts none twice.
func TestKill(t *testing.T) {
	batch := func(t *testing.T, db *meta.Store) {
		store(t, db, func(q *meta.Queries) error {
			return feed.Add(t.Context(), q, feed.KindApplied, "", "", feed.Applied{Tasks: map[string]feed.LabelSum{"next": {Labels: 1}}})
		})
	}
	if dsn := os.Getenv(killHere); dsn != "" {
		db, err := meta.Open(t.Context(), meta.Options{URL: dsn})
		if err != nil {
			t.Fatal(err)
		}
		batch(t, db)
		if os.Getenv(killHere+"_IN") == "" {
			os.Exit(7) // before anybody looked
		}
		store(t, db, func(q *meta.Queries) error {
			events, err := feed.Read(t.Context(), q, 0, 100)
			if err == nil {
				err = apply(t.Context(), q, events)
			}
			if err != nil {
				return err
			}
			os.Exit(7) // counted, not committed
			return nil
		})
	}
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		dsn := d.Options.URL
		if dsn == "" {
			dsn = d.Options.Dir + "/hub.db"
		}
		look := func(want int64) {
			t.Helper()
			db, err := meta.Open(t.Context(), d.Options)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			got := int64(0)
			if p := catch(t, db)["next"]; p != nil {
				got = p.Labels
			}
			if got != want {
				t.Errorf("%d labels counted, want %d", got, want)
			}
		}
		look(0)
		for i, in := range []string{"", "yes", ""} {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKill$")
			child.Env = append(os.Environ(), killHere+"="+dsn, killHere+"_IN="+in)
			out, err := child.CombinedOutput()
			if ee, ok := errors.AsType[*exec.ExitError](err); !ok || ee.ExitCode() != 7 {
				t.Fatalf("the child did not end where it should: %v\n%s", err, out)
			}
			look(int64(i) + 1)
		}
		look(3)
	})
}

// TestCancel: what triggered a job that was cancelled does not trigger it again.
func TestCancel(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		tr := New(db, nil, nil, nil, nil, Policy{}, rollout.Spec{}, nil)
		store(t, db, func(q *meta.Queries) error {
			b, err := open(ctx, q)
			if err != nil {
				return err
			}
			*b.task("next") = progress{Labels: 5000, Targets: 5000, Newest: 9}
			return errors.Join(b.store(ctx, q), q.PutTask(ctx, meta.Task{Name: "next", Spec: taskFile, Hash: "h"}, "d"))
		})
		due := func() bool {
			_, ok := tr.policy.due(stored(t, db)["next"], false, "")
			return ok
		}
		if !due() {
			t.Fatal("a first training is not due")
		}
		j, err := tr.Queue(ctx, "trigger", JobSpec{Task: "next", Trigger: "labels"})
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Cancel(ctx, "user/ada", j.ID); err != nil {
			t.Fatal(err)
		}
		if j, err = tr.Job(ctx, j.ID); err != nil || j.State != Cancelled || due() {
			t.Errorf("job = %+v, %v, due again: %v", j, err, due())
		}
		if err := tr.Cancel(ctx, "user/ada", j.ID); !errors.Is(err, jobs.ErrEnded) {
			t.Errorf("Cancel again = %v", err)
		}
	})
}

// stored reads the progress as it is stored.
func stored(t *testing.T, db *meta.Store) map[string]*progress {
	t.Helper()
	b, err := open(t.Context(), db.Read())
	if err != nil {
		t.Fatal(err)
	}
	return b.tasks
}
