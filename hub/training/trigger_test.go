package training

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/jobs"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/rollout"
)

// day is one in microseconds of event time.
const day = int64(24 * time.Hour / time.Microsecond)

// TestTrigger takes each reason for a training by itself from the stored progress to a job, and
// everything that holds one back: a job or a rollout under way, an unknown task file, the policy.
func TestTrigger(t *testing.T) {
	first := progress{Labels: 3000, Targets: 3000, Newest: 9 * day}
	trained := progress{Labels: 9000, Targets: 9000, Newest: 100 * day, Trained: true, LabelsThen: 5000, NewestThen: 9 * day, HeldOut: 0.5}
	with := func(p progress, f func(p *progress)) progress { f(&p); return p }
	job := func(state string) func(q *meta.Queries) error {
		return func(q *meta.Queries) error {
			return q.PutJob(t.Context(), meta.Job{ID: "j-old", Kind: JobKind, Task: "next", State: state, Spec: "{}", Result: "{}"})
		}
	}
	roll := func(s rollout.State) func(q *meta.Queries) error {
		return func(q *meta.Queries) error {
			return q.PutRollout(t.Context(), meta.Rollout{ID: "r", Task: "next", State: string(s), Spec: "{}", Status: "{}"})
		}
	}
	promoted := func(m meta.Model) func(q *meta.Queries) error {
		m.Digest, m.Task, m.Metrics, m.Lineage = "d", "next", "{}", "{}"
		return func(q *meta.Queries) error {
			_, err := q.InsertModel(t.Context(), m)
			return errors.Join(err, q.SetChampion(t.Context(), meta.Champion{Task: "next", Digest: "d"}))
		}
	}
	inForce, tombstoned := promoted(meta.Model{}), promoted(meta.Model{TombstonedAt: 1, Tombstone: "bad"})
	unknown := func(q *meta.Queries) error {
		return q.SetChampion(t.Context(), meta.Champion{Task: "next", Digest: "d"})
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		state  progress
		also   func(q *meta.Queries) error // besides the reported task file
		want   string                      // beginning of the reason, "" for no job
	}{
		{"a first model", Policy{}, first, nil, "labels: enough for a first model"},
		{"new labels", Policy{NewLabels: 4000}, trained, inForce, "labels: enough new ones"},
		{"drift", Policy{DriftEvents: 2}, with(trained, func(p *progress) { p.Drifts = 2 }), inForce, "drift: reported by devices"},
		{"a loss that rose", Policy{}, with(trained, func(p *progress) { p.Loss = lossTrail{Model: 0.6, Base: 1, N: trailLabels} }), inForce, "drift: the champion's loss"},
		{"a loss that rose on few labels", Policy{}, with(trained, func(p *progress) { p.Loss = lossTrail{Model: 0.6, Base: 1, N: trailLabels - 1} }), inForce, ""},
		{"a loss that rose over one that is unknown", Policy{}, with(trained, func(p *progress) { p.HeldOut, p.Loss = 0, lossTrail{Model: 9, Base: 1, N: trailLabels} }), inForce, ""},
		{"a champion that is tombstoned", Policy{}, trained, tombstoned, "labels: enough for another model after the one in force was lost"},
		{"a champion that is in no registry", Policy{}, trained, unknown, "labels: enough for another model after the one in force was lost"},
		{"a lost champion, tried since", Policy{MinNewLabels: 1}, with(trained, func(p *progress) { p.Gone, p.LabelsThen = "d", 8000 }), tombstoned, ""},
		{"a failure a minute ago", Policy{}, with(first, func(p *progress) { p.Failures, p.RetryAt = 2, meta.Now()+60e6 }), nil, ""},
		{"a failure, and its time has come", Policy{}, with(first, func(p *progress) { p.Failures, p.RetryAt = 2, meta.Now()-1 }), nil, "labels: enough for a first model; try 3 after failures"},
		{"another try at a first model", Policy{}, trained, nil, "labels: enough for another try"},
		{"twice as many labels", Policy{Cooldown: 92 * 24 * time.Hour}, with(trained, func(p *progress) { p.LabelsThen = 4500 }), inForce, "labels: twice as many"},
		{"the schedule", Policy{Schedule: 91 * 24 * time.Hour}, trained, inForce, "schedule"},
		{"nothing", Policy{}, trained, inForce, ""},
		{"the cool-down", Policy{NewLabels: 1, Cooldown: 92 * 24 * time.Hour}, trained, inForce, ""},
		{"training is off", Policy{Disabled: true}, first, nil, ""},
		{"a job waits", Policy{}, first, job(Queued), ""},
		{"a job runs", Policy{}, first, job(Started), ""},
		{"a job has failed", Policy{}, first, job(Failed), "labels"},
		{"a rollout runs", Policy{}, first, roll(rollout.Running), ""},
		{"a rollout is paused", Policy{}, first, roll(rollout.Paused), "labels"},
		{"a rollout is done", Policy{}, first, roll(rollout.Completed), "labels"},
		{"the rollout of another task", Policy{}, first, func(q *meta.Queries) error {
			return q.PutRollout(t.Context(), meta.Rollout{ID: "r", Task: "other", State: string(rollout.Running), Spec: "{}", Status: "{}"})
		}, "labels"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, ctx := metatest.SQLite(t).Open(t), t.Context()
			tr := New(db, nil, nil, rollout.New(db, nil, nil, nil), nil, tt.policy, rollout.Spec{}, nil)
			tr.fits[[2]string{"d", "h"}] = nil
			store(t, db, func(q *meta.Queries) error {
				b, err := open(ctx, q)
				if err != nil {
					return err
				}
				*b.task("next") = tt.state
				err = errors.Join(b.store(ctx, q), q.PutTask(ctx, meta.Task{Name: "next", Spec: taskFile, Hash: "h"}, "d"))
				if tt.also != nil {
					err = errors.Join(err, tt.also(q))
				}
				return err
			})
			for range 2 { // the second time the job of the first is under way
				if err := tr.trigger(ctx); err != nil {
					t.Fatal(err)
				}
			}
			list, err := tr.Jobs(ctx, "next", "", 0)
			if err != nil {
				t.Fatal(err)
			}
			list = slices.DeleteFunc(list, func(j Job) bool { return j.ID == "j-old" })
			if tt.want == "" {
				if len(list) != 0 {
					t.Errorf("queued is %+v, want nothing", list)
				}
				return
			}
			if len(list) != 1 || list[0].State != Queued || list[0].CreatedBy != "trigger" || !strings.HasPrefix(list[0].Spec.Trigger, tt.want) || list[0].Spec.Lineage == "" || list[0].Spec.Force {
				t.Errorf("queued is %+v, want one job because of %q", list, tt.want)
			}
		})
	}
}

// TestUnknownTask: labels of a task whose file no device has reported wait for it.
func TestUnknownTask(t *testing.T) {
	db, ctx := metatest.SQLite(t).Open(t), t.Context()
	tr := New(db, nil, nil, rollout.New(db, nil, nil, nil), nil, Policy{}, rollout.Spec{}, nil)
	store(t, db, func(q *meta.Queries) error {
		return q.PutTrainingProgress(ctx, meta.TrainingProgress{Task: "next", Document: `{"labels":5000,"targets":5000}`})
	})
	queued := func() int {
		t.Helper()
		if err := tr.trigger(ctx); err != nil {
			t.Fatal(err)
		}
		list, err := tr.Jobs(ctx, "next", Queued, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := queued(); n != 0 {
		t.Errorf("%d jobs before the task file is known, want none", n)
	}
	store(t, db, func(q *meta.Queries) error {
		return q.PutTask(ctx, meta.Task{Name: "next", Spec: taskFile, Hash: "h"}, "d")
	})
	if n := queued(); n != 1 {
		t.Errorf("%d jobs after it came, want 1", n)
	}
}

// TestDamagedProgress: progress that cannot be read is named, not taken for none, which would start
// trainings of everything.
func TestDamagedProgress(t *testing.T) {
	db := metatest.SQLite(t).Open(t)
	store(t, db, func(q *meta.Queries) error {
		return q.PutTrainingProgress(t.Context(), meta.TrainingProgress{Task: "next", Document: "{"})
	})
	tr := New(db, nil, nil, rollout.New(db, nil, nil, nil), nil, Policy{}, rollout.Spec{}, nil)
	if err := tr.trigger(t.Context()); err == nil || !strings.Contains(err.Error(), `training progress of task "next"`) {
		t.Errorf("trigger = %v, want the task in it", err)
	}
}

// TestJobs lists the trainings alone, newest first, by task and state, and decodes what they are.
func TestJobs(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		tr := New(db, nil, nil, nil, nil, Policy{}, rollout.Spec{}, nil)
		store(t, db, func(q *meta.Queries) error {
			var errs []error
			for i, j := range []meta.Job{
				{ID: "a", Kind: JobKind, Task: "next", State: Done, Result: `{"model":"next@1","rows":7}`},
				{ID: "b", Kind: JobKind, Task: "next", State: Queued, Spec: `{"task":"next","trigger":"command","lineage":"l"}`},
				{ID: "c", Kind: JobKind, Task: "other", State: Failed, Error: "boom"},
				{ID: "d", Kind: "export", Task: "next", State: Done},
			} {
				j.CreatedAt, j.CreatedBy = int64(i), "user/ada"
				errs = append(errs, q.PutJob(ctx, j))
			}
			return errors.Join(errs...)
		})
		for _, tt := range []struct {
			task, state string
			limit       int
			want        string
		}{
			{"", "", 0, "cba"}, {"next", "", 0, "ba"}, {"", Done, 0, "a"}, {"other", Done, 0, ""}, {"none", "", 0, ""}, {"other", "", 1, "c"},
		} {
			list, err := tr.Jobs(ctx, tt.task, tt.state, tt.limit)
			got := ""
			for _, j := range list {
				got += j.ID
			}
			if err != nil || got != tt.want || list == nil {
				t.Errorf("Jobs(%q, %q, %d) = %s, %v, want %s", tt.task, tt.state, tt.limit, got, err, tt.want)
			}
		}
		if j, err := tr.Job(ctx, "a"); err != nil || j.Result.Model != "next@1" || j.Result.Rows != 7 || j.CreatedBy != "user/ada" {
			t.Errorf("Job(a) = %+v, %v", j, err)
		}
		if j, err := tr.Job(ctx, "b"); err != nil || j.Spec != (JobSpec{Task: "next", Trigger: "command", Lineage: "l"}) {
			t.Errorf("Job(b) = %+v, %v", j, err)
		}
		if _, err := tr.Job(ctx, "z"); !errors.Is(err, meta.ErrNotFound) || !strings.Contains(err.Error(), `job "z"`) {
			t.Errorf("Job(z) = %v, want that there is none", err)
		}
		if err := tr.Cancel(ctx, "user/ada", "z"); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Cancel(z) = %v, want that there is none", err)
		}
	})
}

// TestFencedWorker: a worker that lost its job, here to the same hub after its restart, stores
// neither a result nor progress, and what the new one stores stays.
func TestFencedWorker(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		old, now := jobs.NewWorker(db, "hub-1", jobs.Options{}), jobs.NewWorker(db, "hub-1", jobs.Options{})
		first := New(db, nil, nil, nil, old, Policy{}, rollout.Spec{}, nil)
		store(t, db, func(q *meta.Queries) error {
			b, err := open(ctx, q)
			if err != nil {
				return err
			}
			*b.task("next") = progress{Labels: 5000, Targets: 5000, Newest: 9}
			return errors.Join(b.store(ctx, q), q.PutTask(ctx, meta.Task{Name: "next", Spec: "no task file", Hash: "h"}, "d"))
		})
		q, err := first.Queue(ctx, "user/ada", JobSpec{Task: "next", Trigger: "command"})
		if err != nil {
			t.Fatal(err)
		}
		claim, err := old.Take(ctx, JobKind)
		if err != nil || claim == nil {
			t.Fatalf("Take = %v, %v", claim, err)
		}
		if err := now.Recover(ctx, JobKind); err != nil { // the hub has started again
			t.Fatal(err)
		}
		second, err := now.Take(ctx, JobKind)
		if err != nil || second == nil || second.Job.ID != q.ID {
			t.Fatalf("Take of the new worker = %v, %v, want the same job", second, err)
		}
		first.work(ctx, claim) // fails at the task file, which it may not store
		if j, err := first.Job(ctx, q.ID); err != nil || j.State != Started || j.Error != "" {
			t.Errorf("after the fenced worker the job is %+v, %v, want it running", j, err)
		}
		if p := stored(t, db)["next"]; p.Trained {
			t.Error("the fenced worker stores that it has trained")
		}
		New(db, nil, nil, nil, now, Policy{}, rollout.Spec{}, nil).work(ctx, second)
		if j, err := first.Job(ctx, q.ID); err != nil || j.State != Failed || j.Error == "" {
			t.Errorf("after the worker of the job it is %+v, %v, want it failed", j, err)
		}
		seen := int64(0)
		for n := 1; n < 3; n++ { // what fails is counted, and waits longer each time
			store(t, db, func(q *meta.Queries) error {
				events, err := feed.Read(ctx, q, seen, 100)
				if err != nil || len(events) == 0 {
					return errors.Join(err, errors.New("no event"))
				}
				seen = events[len(events)-1].Seq
				return apply(ctx, q, events)
			})
			if p := stored(t, db)["next"]; p.Trained || p.Failures != n || p.RetryAt < meta.Now()+backoff(n)-10e6 || p.RetryAt > meta.Now()+backoff(n) {
				t.Errorf("progress after %d failures = %+v at %d", n, p, meta.Now())
			}
			store(t, db, func(q *meta.Queries) error {
				return feed.Add(ctx, q, feed.KindJob, "next", "", feed.Job{ID: "j", Kind: JobKind, State: Failed})
			})
		}
	})
}
