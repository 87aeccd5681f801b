package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/tasks"
	"skerry.dev/sync/spec"
)

// progress is what triggers look at, of one task. It is stored as JSON in the transaction that
// moves the trainer's cursor in the feed, so that every label counts once.
type progress struct {
	Labels int64 `json:"labels"`
	// Targets counts readings of the target series; labels travel before readings, and a model
	// needs both.
	Targets int64 `json:"targets"`
	Newest  int64 `json:"newest"` // newest event time of a label, microseconds
	Drifts  int   `json:"drifts"` // since the last training, in the errors of a hub's model
	// the same in the errors of devices that run on their baselines
	BaselineDrifts int       `json:"baseline_drifts,omitempty"`
	Loss           lossTrail `json:"loss"`

	Trained    bool    `json:"trained"`
	LabelsThen int64   `json:"labels_then"` // rows when the last training began
	NewestThen int64   `json:"newest_then"`
	HeldOut    float64 `json:"held_out"` // champion's held-out loss over persistence, 0 unknown

	// Gone is the champion that could not be in force any longer when the last training began.
	Gone string `json:"gone,omitempty"`
	// trainings that failed since the last one that did not, and when the next may begin, microseconds
	Failures int   `json:"failures,omitempty"`
	RetryAt  int64 `json:"retry_at,omitempty"`
	// a challenger that passed while the task was busy
	Kept *Kept `json:"kept,omitempty"`

	Hash   string `json:"hash"`   // of the task file that Series was read from
	Series string `json:"series"` // the target series, "" before the task file is known
}

// rows is how many labelled rows can be built at most from what has arrived.
func (s *progress) rows() int64 { return min(s.Labels, s.Targets) }

// read learns the target series from a task file. What came before is counted as if labels and
// readings had come together.
func (s *progress) read(row meta.Task) {
	s.Hash = row.Hash
	task, err := spec.ParseTask("reported", strings.NewReader(row.Spec))
	if err != nil || task.Target.Series == s.Series {
		return
	}
	s.Series, s.Targets = task.Target.Series, s.Labels
}

// began notes that a training has looked at everything up to its beginning.
func (s *progress) began(r *JobResult) {
	s.Trained = true
	s.LabelsThen, s.NewestThen = min(r.Labels, s.rows()), r.Newest
	s.Drifts, s.BaselineDrifts, s.Loss = 0, 0, lossTrail{}
	s.Failures, s.RetryAt, s.Gone = 0, 0, r.Gone
	if r.Kept != nil || r.Rollout != "" {
		s.Kept = r.Kept
	}
	if r.Holdout != nil && r.Holdout.MAEBaseline > 0 {
		s.HeldOut = r.Holdout.MAE / r.Holdout.MAEBaseline
	}
}

// lossTrail follows the champion's error relative to the last value's over the newest labels: the
// mean of the first trailLabels, then an exponentially weighted one with that many as its length.
type lossTrail struct {
	Model float64 `json:"model"`
	Base  float64 `json:"base"`
	N     float64 `json:"n"`
}

const trailLabels = 500

// add takes n labels by their mean errors.
func (l *lossTrail) add(model, base, n float64) {
	l.N += n
	w := n / l.N
	if l.N > trailLabels {
		w = 1 - math.Pow(1-1./trailLabels, n)
	}
	l.Model += (model - l.Model) * w
	l.Base += (base - l.Base) * w
}

// relative is the champion's error over the last value's, 0 before enough labels.
func (l *lossTrail) relative() float64 {
	if l.N < trailLabels || l.Base <= 0 {
		return 0
	}
	return l.Model / l.Base
}

// book is the progress of every task within one transaction.
type book struct {
	tasks   map[string]*progress
	changed map[string]bool
}

// open reads the progress of every task.
func open(ctx context.Context, q *meta.Queries) (*book, error) {
	rows, err := q.TrainingProgress(ctx)
	if err != nil {
		return nil, err
	}
	b := &book{tasks: map[string]*progress{}, changed: map[string]bool{}}
	for _, row := range rows {
		p := new(progress)
		if err := json.Unmarshal([]byte(row.Document), p); err != nil {
			return nil, fmt.Errorf("training progress of task %q: %w", row.Task, err)
		}
		b.tasks[row.Task] = p
	}
	return b, nil
}

// task returns the progress of a task to be changed.
func (b *book) task(name string) *progress {
	p := b.tasks[name]
	if p == nil {
		p = new(progress)
		b.tasks[name] = p
	}
	b.changed[name] = true
	return p
}

// knows reports whether there is progress of a task, or room for it: labels may come before their
// task, but names are the sender's, and have no end.
func (b *book) knows(name string) bool {
	return b.tasks[name] != nil || len(b.tasks) < 2*tasks.MaxTasks
}

// store writes what was changed.
func (b *book) store(ctx context.Context, q *meta.Queries) error {
	for name := range b.changed {
		doc, err := json.Marshal(b.tasks[name])
		if err != nil {
			return err
		}
		if err := q.PutTrainingProgress(ctx, meta.TrainingProgress{Task: name, Document: string(doc)}); err != nil {
			return err
		}
	}
	return nil
}

// apply counts events of the feed.
func apply(ctx context.Context, q *meta.Queries, events []feed.Event) error {
	b, err := open(ctx, q)
	if err != nil {
		return err
	}
	for _, e := range events {
		switch e.Kind {
		case feed.KindApplied:
			err = b.applied(e)
		case feed.KindDrift:
			err = b.drift(e)
		case feed.KindState:
			err = b.state(ctx, q, e)
		case feed.KindJob:
			err = b.job(e)
		}
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Seq, err)
		}
	}
	return b.store(ctx, q)
}

func (b *book) applied(e feed.Event) error {
	var a feed.Applied
	if err := json.Unmarshal(e.Detail, &a); err != nil {
		return err
	}
	for name, sum := range a.Tasks {
		if !b.knows(name) {
			continue
		}
		p := b.task(name)
		p.Labels += sum.Labels
		p.Newest = max(p.Newest, sum.Newest)
		if n := float64(sum.Scored); n > 0 {
			p.Loss.add(sum.Model/n, sum.Base/n, n)
		}
	}
	for name, p := range b.tasks {
		if n := a.Series[p.Series]; n > 0 && p.Series != "" {
			b.task(name).Targets += n
		}
	}
	return nil
}

func (b *book) drift(e feed.Event) error {
	var d feed.Drift
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return err
	}
	if !b.knows(e.Task) {
		return nil
	}
	p := b.task(e.Task)
	switch {
	case d.Time <= p.NewestThen: // late news of an older world ask for nothing
	case d.Model == "":
		p.BaselineDrifts++
	default:
		p.Drifts++
	}
	return nil
}

// job counts the trainings that failed, also those that ended with their worker.
func (b *book) job(e feed.Event) error {
	var j feed.Job
	if err := json.Unmarshal(e.Detail, &j); err != nil {
		return err
	}
	if j.Kind != JobKind || j.State != Failed || !b.knows(e.Task) {
		return nil
	}
	p := b.task(e.Task)
	p.Failures++
	p.RetryAt = e.Time + backoff(p.Failures)
	return nil
}

// state reads the task files that a device reports and that are not known yet.
func (b *book) state(ctx context.Context, q *meta.Queries, e feed.Event) error {
	var st feed.State
	if err := json.Unmarshal(e.Detail, &st); err != nil {
		return err
	}
	for name, hash := range st.Tasks {
		if p := b.tasks[name]; p != nil && p.Hash == hash {
			continue
		}
		row, err := q.Task(ctx, name)
		if errors.Is(err, meta.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		b.task(name).read(row)
	}
	return nil
}

// rebuild derives the progress from the tables, for a hub that is new to the feed. Labels stand for
// the readings that came with them.
func rebuild(ctx context.Context, q *meta.Queries) error {
	if err := q.ClearTrainingProgress(ctx); err != nil {
		return err
	}
	b, err := open(ctx, q)
	if err != nil {
		return err
	}
	tasks, err := q.Tasks(ctx)
	if err != nil {
		return err
	}
	for _, row := range tasks {
		p := b.task(row.Name)
		if p.Labels, err = q.CountLabels(ctx, row.Name, 0); err != nil {
			return err
		}
		p.read(row)
	}
	jobs, err := q.Jobs(ctx, "", "", 0)
	if err != nil {
		return err
	}
	for i := len(jobs) - 1; i >= 0; i-- { // the list is newest first
		j := jobs[i]
		if j.Kind != JobKind || j.State != Done {
			continue
		}
		var r JobResult
		if json.Unmarshal([]byte(j.Result), &r) == nil {
			b.task(j.Task).began(&r)
		}
	}
	return b.store(ctx, q)
}
