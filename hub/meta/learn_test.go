package meta_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"skerry.dev/hub/meta"
)

func TestTasks(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		none, err := q.Task(ctx, "t")
		absent(t, "an unknown task", none, err)
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(
				q.PutTask(ctx, meta.Task{Name: "t", Kind: "forecast", FirstSeen: 5, LastSeen: 5}, "b"),
				q.PutTask(ctx, meta.Task{Name: "t", Kind: "forecast", FirstSeen: 9, LastSeen: 9}, "a"),
				q.PutTask(ctx, meta.Task{Name: "s", Kind: "anomaly", FirstSeen: 6, LastSeen: 6}, "a"))
		})
		got, err := q.Task(ctx, "t")
		if err != nil || got.FirstSeen != 5 || got.LastSeen != 9 {
			t.Errorf("Task = %+v, %v, want it seen from 5 to 9", got, err)
		}
		all, err := q.Tasks(ctx)
		if err != nil || len(all) != 2 || all[0].Name != "s" || all[1] != got {
			t.Errorf("Tasks = %+v, %v", all, err)
		}
		devices, err := q.TaskDevices(ctx, "t")
		same(t, "TaskDevices", devices, err, []string{"a", "b"})
	})
}

// TestLabelPoints reads the newest points in the order of their rows, and forgets old ones.
func TestLabelPoints(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		began := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
		var points []meta.LabelPoint
		for i := range 250 { // more than one statement takes
			points = append(points, meta.LabelPoint{Task: "t", Device: []string{"a", "b"}[i%2], RowTime: int64(i), At: int64(i) + 10, Truth: meta.Float(i), ReceivedAt: began + int64(i),
				Classes: i % 5, Chance: 0.5, ChampionChance: 0.25, CandidateChance: 0.125, BaselineChance: meta.Float(i), SetSize: i % 3, Covered: i%2 == 0})
		}
		write(t, s, func(q *meta.Queries) error { return q.InsertLabelPoints(ctx, points) })
		again := points[7]
		again.Truth = -1
		write(t, s, func(q *meta.Queries) error { return q.InsertLabelPoints(ctx, []meta.LabelPoint{again}) })
		got, err := q.LabelPoints(ctx, "t", "", 0, 300, 0)
		same(t, "LabelPoints, a repeat ignored", got, err, points)
		got, err = q.LabelPoints(ctx, "t", "", 10, 20, 3)
		same(t, "the newest three of eleven", got, err, points[18:21])
		got, err = q.LabelPoints(ctx, "t", "b", 0, 4, 0)
		same(t, "LabelPoints of a device", got, err, []meta.LabelPoint{points[1], points[3]})
		if got, err = q.LabelPoints(ctx, "other", "", 0, 300, 0); err != nil || len(got) != 0 {
			t.Errorf("LabelPoints of another task = %d, %v", len(got), err)
		}
		n, err := q.CountLabels(ctx, "t", began+240)
		same(t, "CountLabels after 240", n, err, 9)
		write(t, s, func(q *meta.Queries) error {
			n, err := q.PruneLabelPoints(ctx, began+100)
			same(t, "PruneLabelPoints before 100", n, err, 100)
			return err
		})
		n, err = q.CountLabels(ctx, "t", 0)
		same(t, "CountLabels of what is left", n, err, 150)

		unset := meta.LabelPoint{Task: "unset", Device: "a", RowTime: 1, ReceivedAt: 1000}
		write(t, s, func(q *meta.Queries) error { return q.InsertLabelPoints(ctx, []meta.LabelPoint{unset}) })
		write(t, s, func(q *meta.Queries) error {
			n, err := q.PruneLabelPoints(ctx, began)
			same(t, "PruneLabelPoints of what came with an unset clock", n, err, 0)
			return err
		})
	})
}

// TestJobLeases holds that a job and who works on it do not overwrite each other.
func TestJobLeases(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		job := func(id, kind, state string, at int64) meta.Job {
			return meta.Job{ID: id, Kind: kind, Task: "t" + id, State: state, Spec: "{}", CreatedBy: "zoe", CreatedAt: at}
		}
		first, second, other := job("2", "train", "queued", 5), job("1", "train", "queued", 6), job("3", "export", "queued", 1)
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.PutJob(ctx, second), q.PutJob(ctx, first), q.PutJob(ctx, other))
		})
		lease := meta.JobLease{ID: "2", Worker: "w1", Token: 3, Until: 99, CancelledBy: "ann", Lost: 2}
		write(t, s, func(q *meta.Queries) error { return q.SetJobLease(ctx, lease) })
		first.State, first.StartedAt, first.Result, first.Error, first.FinishedAt = "running", 7, "r", "e", 8
		write(t, s, func(q *meta.Queries) error {
			changed := first
			changed.CreatedAt, changed.CreatedBy = 1, "somebody else"
			return q.PutJob(ctx, changed)
		})
		got, err := q.Job(ctx, "2")
		same(t, "a job put again keeps its beginning", got, err, first)
		l, err := q.JobLease(ctx, "2")
		same(t, "the lease of a job put again", l, err, lease)
		l, err = q.JobLease(ctx, "1")
		same(t, "the lease of a job that nobody works on", l, err, meta.JobLease{ID: "1"})
		l, err = q.JobLease(ctx, "9")
		absent(t, "the lease of no job", l, err)
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.SetJobLease(ctx, meta.JobLease{ID: "9"}) })

		oldest, err := q.OldestJob(ctx, "train", "queued")
		same(t, "OldestJob", oldest, err, second)
		oldest, err = q.OldestJob(ctx, "train", "failed")
		absent(t, "the oldest of no jobs", oldest, err)
		third := job("0", "train", "queued", 6) // as old as the second: the id decides
		write(t, s, func(q *meta.Queries) error { return q.PutJob(ctx, third) })
		jobs, err := q.JobsOf(ctx, "train", "queued")
		same(t, "JobsOf", jobs, err, []meta.Job{third, second})
		jobs, err = q.Jobs(ctx, "", "", 2)
		same(t, "the newest Jobs", jobs, err, []meta.Job{second, third})
		jobs, err = q.Jobs(ctx, "t3", "", 0)
		same(t, "Jobs of a task", jobs, err, []meta.Job{other})
	})
}

func TestTrainingProgress(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		for _, p := range []meta.TrainingProgress{{Task: "b", Document: "1"}, {Task: "a", Document: "2"}, {Task: "b", Document: "3"}} {
			write(t, s, func(q *meta.Queries) error { return q.PutTrainingProgress(ctx, p) })
		}
		got, err := s.Read().TrainingProgress(ctx)
		same(t, "TrainingProgress", got, err, []meta.TrainingProgress{{Task: "a", Document: "2"}, {Task: "b", Document: "3"}})
		write(t, s, func(q *meta.Queries) error { return q.ClearTrainingProgress(ctx) })
		if got, err = s.Read().TrainingProgress(ctx); err != nil || len(got) != 0 {
			t.Errorf("after clearing %+v, %v", got, err)
		}
	})
}

// TestModels counts versions for each task, and holds what a tombstone does.
func TestModels(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		var models []meta.Model
		for i, task := range []string{"t", "u", "t"} {
			m := meta.Model{Digest: fmt.Sprintf("d%d", i), Task: task, Kind: "forecast", State: "registered", Size: 100, Target: "pm25", Metrics: "{}", Lineage: "{}", CreatedBy: "zoe", CreatedAt: int64(i)}
			write(t, s, func(q *meta.Queries) (err error) {
				m, err = q.InsertModel(ctx, m)
				return err
			})
			models = append(models, m)
		}
		if models[0].Version != 1 || models[1].Version != 1 || models[2].Version != 2 {
			t.Errorf("versions %d, %d and %d, want 1 and 1 of another task, then 2", models[0].Version, models[1].Version, models[2].Version)
		}
		if err := s.Tx(ctx, func(q *meta.Queries) error {
			_, err := q.InsertModel(ctx, meta.Model{Digest: "d0", Task: "t"})
			return err
		}); err == nil {
			t.Error("one digest is two models")
		}
		write(t, s, func(q *meta.Queries) error { return q.UpdateModel(ctx, "d2", "champion", `{"mae":1}`) })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.UpdateModel(ctx, "d9", "champion", "") })
		models[2].State, models[2].Metrics = "champion", `{"mae":1}`
		got, err := q.Model(ctx, "d2")
		same(t, "Model", got, err, models[2])
		got, err = q.ModelVersion(ctx, "t", 1)
		same(t, "ModelVersion", got, err, models[0])
		got, err = q.ModelVersion(ctx, "u", 2)
		absent(t, "a version that is none", got, err)
		list, err := q.Models(ctx, "", 2)
		same(t, "the newest Models", list, err, []meta.Model{models[2], models[1]})
		list, err = q.Models(ctx, "t", 0)
		same(t, "Models of a task", list, err, []meta.Model{models[2], models[0]})

		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.TombstoneModel(ctx, "d2", "worse", 8), q.TombstoneModel(ctx, "d1", "slow", 7))
		})
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.TombstoneModel(ctx, "d2", "again", 9) })
		if got, err = q.Model(ctx, "d2"); err != nil || got.State != "tombstoned" || got.Tombstone != "worse" || got.TombstonedAt != 8 {
			t.Errorf("a tombstoned model = %+v, %v", got, err)
		}
		dead, err := q.Tombstones(ctx, "")
		same(t, "Tombstones in their order", dead, err, []string{"d1", "d2"})
		dead, err = q.Tombstones(ctx, "t")
		same(t, "Tombstones of a task", dead, err, []string{"d2"})
	})
}

// TestChampions falls back to a task's default for cohorts without one.
func TestChampions(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		none, err := q.Champion(ctx, "t", "canary")
		absent(t, "the champion of a task without any", none, err)
		all, canary := meta.Champion{Task: "t", Digest: "d1", Since: 1}, meta.Champion{Task: "t", Cohort: "canary", Digest: "d2", Since: 2}
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.SetChampion(ctx, meta.Champion{Task: "t", Digest: "d0"}), q.SetChampion(ctx, all), q.SetChampion(ctx, canary))
		})
		for cohort, want := range map[string]meta.Champion{"": all, "canary": canary, "rest": all} {
			got, err := q.Champion(ctx, "t", cohort)
			same(t, "Champion of cohort "+cohort, got, err, want)
		}
		list, err := q.Champions(ctx)
		same(t, "Champions", list, err, []meta.Champion{all, canary})
	})
}

func TestRollouts(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		a := meta.Rollout{ID: "a", Task: "t", Digest: "d1", State: "running", Spec: "{}", Status: "{}", CreatedBy: "zoe", CreatedAt: 1, UpdatedAt: 1}
		b := meta.Rollout{ID: "b", Task: "u", Digest: "d2", State: "draft", Spec: "{}", Status: "{}", CreatedBy: "ann", CreatedAt: 2, UpdatedAt: 2}
		write(t, s, func(q *meta.Queries) error { return errors.Join(q.PutRollout(ctx, a), q.PutRollout(ctx, b)) })
		a.State, a.Stage, a.Status, a.UpdatedAt = "paused", 1, `{"why":"gate"}`, 5
		write(t, s, func(q *meta.Queries) error {
			changed := a
			changed.CreatedBy, changed.CreatedAt = "somebody else", 9
			return q.PutRollout(ctx, changed)
		})
		got, err := q.Rollout(ctx, "a")
		same(t, "a rollout put again keeps its beginning", got, err, a)
		got, err = q.Rollout(ctx, "c")
		absent(t, "an unknown rollout", got, err)
		list, err := q.Rollouts(ctx, "", "", 0)
		same(t, "Rollouts, the newest first", list, err, []meta.Rollout{b, a})
		list, err = q.Rollouts(ctx, "t", "paused", 1)
		same(t, "Rollouts of a task and state", list, err, []meta.Rollout{a})
		if list, err = q.Rollouts(ctx, "t", "running", 1); err != nil || len(list) != 0 {
			t.Errorf("Rollouts in a state that none is in = %+v, %v", list, err)
		}
		x := meta.RolloutDevice{Rollout: "a", Device: "x", Stage: 1, Generation: 3, Phase: "shadow", Stats: "{}", UpdatedAt: 1}
		y := meta.RolloutDevice{Rollout: "a", Device: "y", Phase: "assigned", Stats: "{}"}
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.PutRolloutDevice(ctx, meta.RolloutDevice{Rollout: "a", Device: "x"}), q.PutRolloutDevice(ctx, x), q.PutRolloutDevice(ctx, y),
				q.PutRolloutDevice(ctx, meta.RolloutDevice{Rollout: "b", Device: "x"}))
		})
		devices, err := q.RolloutDevices(ctx, "a")
		same(t, "RolloutDevices by stage", devices, err, []meta.RolloutDevice{y, x})
	})
}
