package training

import (
	"errors"
	"strings"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
)

// TestQueueOnce: twenty requests are one job, which says so; force is added to one that is queued,
// and refused where it runs without.
func TestQueueOnce(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		tr := New(db, nil, nil, nil, nil, Policy{}, rollout.Spec{}, nil)
		store(t, db, func(q *meta.Queries) error {
			return errors.Join(q.PutTask(ctx, meta.Task{Name: "next", Spec: taskFile, Hash: "h"}, "d"),
				q.PutTask(ctx, meta.Task{Name: "other", Spec: taskFile, Hash: "h"}, "d"))
		})
		queue := func(s JobSpec) Job {
			t.Helper()
			j, err := tr.Queue(ctx, "user/ada", s)
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
		first := queue(JobSpec{Task: "next", Trigger: "command"})
		for range 20 {
			if j := queue(JobSpec{Task: "next", Trigger: "again"}); j.ID != first.ID || !j.Existing || first.Existing {
				t.Fatalf("queued again is %+v, want job %s, marked as existing", j, first.ID)
			}
		}
		if j := queue(JobSpec{Task: "other", Trigger: "command"}); j.Existing || j.ID == first.ID {
			t.Errorf("the job of another task is %+v", j)
		}
		if j := queue(JobSpec{Task: "next", Force: true}); j.ID != first.ID || !j.Spec.Force || j.Spec.Trigger != "command" {
			t.Errorf("with force it is %+v, want the queued job with force", j)
		}
		if list, err := tr.Jobs(ctx, "next", "", 0); err != nil || len(list) != 1 || !list[0].Spec.Force || list[0].Existing {
			t.Errorf("jobs = %+v, %v, want one with force", list, err)
		}
		store(t, db, func(q *meta.Queries) error {
			j, err := q.Job(ctx, first.ID)
			j.State, j.Spec = Started, `{"task":"next","trigger":"command"}`
			return errors.Join(err, q.PutJob(ctx, j))
		})
		if j := queue(JobSpec{Task: "next"}); j.ID != first.ID || !j.Existing {
			t.Errorf("while it runs, queued is %+v, want the running job", j)
		}
		if _, err := tr.Queue(ctx, "user/ada", JobSpec{Task: "next", Force: true}); !errors.Is(err, ErrRuns) || !strings.Contains(err.Error(), first.ID) {
			t.Errorf("force while it runs = %v, want ErrRuns with the job", err)
		}
	})
}

// TestOffer: a challenger that passed while its task was busy waits for the end of the rollout. Then
// it is offered, judged again where the champion has changed, or dropped with the reason.
func TestOffer(t *testing.T) {
	digest := strings.Repeat("c0ffee00", 8)
	roll := func(s rollout.State, digest, by string) meta.Rollout {
		return meta.Rollout{ID: "r", Task: "next", State: string(s), Spec: `{"digest":"` + digest + `"}`, Status: "{}", CreatedBy: by}
	}
	for _, tt := range []struct {
		name    string
		labels  int64
		rollout meta.Rollout
		also    func(q *meta.Queries) error
		waits   bool
		outcome string // of the job that trained it
		offered bool
	}{
		{name: "the rollout goes on", rollout: roll(rollout.Paused, "x", ""), waits: true},
		{name: "the rollout has ended", rollout: roll(rollout.Completed, "x", ""), outcome: "rollout created when the task was free", offered: true},
		{name: "the hub ended before it noted its rollout", rollout: roll(rollout.Running, digest, "training j-1"), outcome: "rollout created when the task was free"},
		{name: "many labels since", labels: 9001, rollout: roll(rollout.Aborted, "x", ""),
			outcome: "dropped while it waited: out of date: it was judged on 5000 labelled rows, and 5001 have come since"},
		{name: "tombstoned since", rollout: roll(rollout.Completed, "x", ""),
			also: func(q *meta.Queries) error { return q.TombstoneModel(t.Context(), digest, "by hand", 7) }, outcome: "dropped while it waited: model next@1 is tombstoned: by hand"},
		{name: "the champion has changed", rollout: roll(rollout.Completed, "x", ""),
			also: func(q *meta.Queries) error {
				_, err := q.InsertModel(t.Context(), meta.Model{Digest: "new", Task: "next", Metrics: "{}", Lineage: "{}"})
				return errors.Join(err, q.SetChampion(t.Context(), meta.Champion{Task: "next", Digest: "new"}))
			}, outcome: "the champion changed while it waited: job j-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, ctx := metatest.SQLite(t).Open(t), t.Context()
			tr := New(db, nil, nil, rollout.New(db, nil, nil, nil), nil, Policy{}, rollout.Spec{}, nil)
			tr.fits[[2]string{digest, "h"}], tr.fits[[2]string{"new", "h"}] = nil, nil
			k := Kept{Digest: digest, Job: "j-1", Labels: 5000, Evidence: spec.Evidence{Rows: 400, Incumbent: 1, Diff: -0.5, Passed: true}}
			store(t, db, func(q *meta.Queries) error {
				b, err := open(ctx, q)
				if err != nil {
					return err
				}
				n := max(tt.labels, 5000) + min(tt.labels, 1000)
				*b.task("next") = progress{Labels: n, Targets: n, Trained: true, LabelsThen: 5000, Kept: &k}
				_, err = q.InsertModel(ctx, meta.Model{Digest: digest, Task: "next", Metrics: "{}", Lineage: "{}"})
				err = errors.Join(err, b.store(ctx, q), q.PutTask(ctx, meta.Task{Name: "next", Spec: taskFile, Hash: "h"}, "d"), q.PutRollout(ctx, tt.rollout),
					q.PutJob(ctx, meta.Job{ID: "j-1", Kind: JobKind, Task: "next", State: Done, Spec: "{}", Result: `{"outcome":"waits","kept":{"digest":"` + digest + `","job":"j-1"}}`}))
				if tt.also != nil {
					err = errors.Join(err, tt.also(q))
				}
				return err
			})
			for range 2 { // the second time there is nothing left to do
				if err := tr.offer(ctx); err != nil {
					t.Fatal(err)
				}
			}
			j, err := tr.Job(ctx, "j-1")
			if err != nil {
				t.Fatal(err)
			}
			if p := stored(t, db)["next"]; (p.Kept != nil) != tt.waits || (j.Result.Kept != nil) != tt.waits {
				t.Errorf("kept is %+v, at its job %+v, want that it waits %v", p.Kept, j.Result.Kept, tt.waits)
			}
			if !tt.waits && !strings.HasPrefix(j.Result.Outcome, tt.outcome) {
				t.Errorf("outcome %q, want %q", j.Result.Outcome, tt.outcome)
			}
			list, err := tr.rollouts.List(ctx, "next", "", 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != map[bool]int{true: 2, false: 1}[tt.offered] {
				t.Fatalf("%d rollouts", len(list))
			}
			if tt.offered && (list[0].Spec.Digest != digest || *list[0].Spec.Evidence != k.Evidence || list[0].ID != j.Result.Rollout) {
				t.Errorf("the rollout is %+v, want the challenger with its evidence", list[0].Spec)
			}
			again, err := tr.Jobs(ctx, "next", Queued, 0)
			if err != nil {
				t.Fatal(err)
			}
			if compares := strings.Contains(tt.outcome, "champion changed"); compares != (len(again) == 1) || compares && again[0].Spec.Compare != digest {
				t.Errorf("queued is %+v", again)
			}
		})
	}
}
