package training

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry.dev/compute/sequential"
	"skerry.dev/hub/duty"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/jobs"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/learn"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// States of a job.
const (
	Queued    = jobs.Queued
	Started   = jobs.Running
	Done      = jobs.Done
	Failed    = jobs.Failed
	Cancelled = jobs.Cancelled
)

// JobKind is the kind of training jobs in the job table.
const JobKind = "train"

// JobSpec is what a job was asked to do.
type JobSpec struct {
	Task    string `json:"task"`
	Trigger string `json:"trigger"`
	Lineage string `json:"lineage"`
	// roll out even an inconclusive challenger, after an explicit command
	Force bool `json:"force,omitempty"`
	// Compare is the digest of a challenger to be judged again; nothing is trained.
	Compare string `json:"compare,omitempty"`
}

// JobResult is what came out, and how far it is while it runs.
type JobResult struct {
	Stage       string             `json:"stage,omitempty"`
	Done        int                `json:"done,omitempty"`
	Trials      int                `json:"trials,omitempty"`
	Rows        int                `json:"rows,omitempty"`
	Digest      string             `json:"digest,omitempty"`
	Model       string             `json:"model,omitempty"`
	Learner     string             `json:"learner,omitempty"`
	Holdout     *selection.Holdout `json:"holdout,omitempty"`
	Leaderboard []selection.Entry  `json:"leaderboard,omitempty"`
	Verdict     *selection.Verdict `json:"verdict,omitempty"`
	Rollout     string             `json:"rollout,omitempty"`
	// what was done with the challenger and why
	Outcome string             `json:"outcome,omitempty"`
	Seconds float64            `json:"seconds,omitempty"`
	Past    *selection.PastRun `json:"past,omitempty"`
	// label count and newest event time when it began
	Labels int64 `json:"labels,omitempty"`
	Newest int64 `json:"newest,omitempty"`
	// the champion that cannot be in force any longer, and why: it counts as none
	Gone    string `json:"gone,omitempty"`
	GoneWhy string `json:"gone_why,omitempty"`
	// a challenger that passed and waits until the task is free
	Kept *Kept `json:"kept,omitempty"`
	// a challenger was judged again, nothing was trained
	Compared bool `json:"compared,omitempty"`
}

// Trainer owns triggers and the worker. Use New, then Run.
type Trainer struct {
	db       *meta.Store
	lake     *lake.Lake
	registry *registry.Registry
	rollouts *rollout.Controller
	worker   *jobs.Worker
	policy   Policy
	rollSpec rollout.Spec // template of automatic rollouts
	log      *slog.Logger

	mu   sync.Mutex            // guards what follows
	live map[string]*JobResult // running jobs
	fits map[[2]string]error   // whether an artifact fits a task file, by the digests of both
}

// New returns a trainer. template gives the gates of automatic rollouts; its Task and Digest are
// ignored. w takes the jobs; it must not be used for others of this kind.
func New(db *meta.Store, l *lake.Lake, r *registry.Registry, c *rollout.Controller, w *jobs.Worker, p Policy, template rollout.Spec, log *slog.Logger) *Trainer {
	p.defaults()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Trainer{
		db:       db,
		lake:     l,
		registry: r,
		rollouts: c,
		worker:   w,
		policy:   p,
		rollSpec: template,
		log:      log,
		live:     map[string]*JobResult{},
		fits:     map[[2]string]error{},
	}
}

// Run queues what a restart interrupted, then follows the feed, watches triggers and works on jobs
// until ctx ends. It is done under a duty.
func (t *Trainer) Run(ctx context.Context, l *duty.Lease) error {
	if err := t.worker.Recover(ctx, JobKind); err != nil {
		return fmt.Errorf("start training: %w", err)
	}
	counts := feed.Consumer{
		DB:   t.db,
		Name: "training",
		Rebuild: func(ctx context.Context, q *meta.Queries) error {
			return errors.Join(l.Check(ctx, q), rebuild(ctx, q))
		},
		Apply: func(ctx context.Context, q *meta.Queries, events []feed.Event) error {
			return errors.Join(l.Check(ctx, q), apply(ctx, q, events))
		},
	}
	failed := 0
	for ctx.Err() == nil {
		cursor, err := counts.Catch(ctx)
		if err == nil {
			err = errors.Join(t.trigger(ctx), t.offer(ctx))
		}
		if err != nil {
			failed++
			if !t.pause(ctx, failed, err) {
				break
			}
			continue
		}
		if failed > 0 {
			t.log.Info("triggers evaluated again", "failed_attempts", failed)
			failed = 0
		}
		claim, err := t.worker.Take(ctx, JobKind)
		if err != nil && ctx.Err() == nil {
			t.log.Error("no job taken", "err", err)
		}
		if claim != nil {
			t.work(ctx, claim)
			continue
		}
		waiting, cancel := context.WithTimeout(ctx, 2*time.Second)
		if _, err := feed.Wait(waiting, t.db, cursor, feed.KindApplied, feed.KindDrift, feed.KindState, feed.KindJob); err != nil {
			<-waiting.Done()
		}
		cancel()
		select { // labels come in bursts
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// pause waits after a failure, as of a full disk: longer each time, so that the log is not what
// fills the rest of it. It returns false when ctx ends.
func (t *Trainer) pause(ctx context.Context, failed int, err error) bool {
	wait := min(200*time.Millisecond<<min(failed-1, 16), 30*time.Second)
	if ctx.Err() == nil {
		t.log.Error("triggers not evaluated", "err", err, "attempt", failed, "retry_ms", wait.Milliseconds())
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// trigger queues a job for every task that is due and has neither a job nor a rollout under way.
func (t *Trainer) trigger(ctx context.Context) error {
	b, err := open(ctx, t.db.Read())
	if err != nil {
		return err
	}
	for name, p := range b.tasks {
		if p.Failures > 0 && meta.Now() < p.RetryAt || !t.policy.may(p) {
			continue
		}
		row, err := t.db.Read().Task(ctx, name)
		if errors.Is(err, meta.ErrNotFound) {
			continue // no device has reported the task file yet
		}
		if err != nil {
			return err
		}
		c, err := t.inForce(ctx, row)
		if err != nil {
			return err
		}
		reason, ok := t.policy.due(p, c.artifact, c.gone)
		if !ok {
			continue
		}
		busy, err := t.busy(ctx, name)
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		if p.Failures > 0 {
			reason += fmt.Sprintf("; try %d after failures", p.Failures+1)
		}
		if _, err := t.Queue(ctx, "trigger", JobSpec{Task: name, Trigger: reason}); err != nil {
			return err
		}
	}
	return nil
}

func (t *Trainer) busy(ctx context.Context, task string) (bool, error) {
	for _, state := range []string{Queued, Started} {
		jobs, err := t.db.Read().Jobs(ctx, task, state, 1)
		if err != nil || len(jobs) > 0 {
			return true, err
		}
	}
	rs, err := t.rollouts.List(ctx, task, "", 20)
	if err != nil {
		return true, err
	}
	return slices.ContainsFunc(rs, func(r *rollout.Rollout) bool { return !r.State.Final() && r.State != rollout.Paused }), nil
}

// ErrRuns is returned where a running job cannot be what is asked for.
var ErrRuns = errors.New("the task is being trained")

// Queue adds a job, or returns the one of the task that is queued or runs, marked as Existing: one
// training sees all that several would. The lineage id runs through everything that follows: data
// set, artifact, rollout. With Force a queued job becomes one with it; of one that runs without it
// is ErrRuns returned.
func (t *Trainer) Queue(ctx context.Context, actor string, s JobSpec) (Job, error) {
	if _, err := t.db.Read().Task(ctx, s.Task); err != nil {
		return Job{}, fmt.Errorf("task %q: %w", s.Task, err)
	}
	var id [6]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Job{}, err
	}
	if s.Lineage == "" {
		s.Lineage = "l-" + hex.EncodeToString(id[:])
	}
	body, err := json.Marshal(s)
	if err != nil {
		return Job{}, err
	}
	j := meta.Job{
		ID:        "j-" + hex.EncodeToString(id[:]),
		Kind:      JobKind,
		Task:      s.Task,
		Spec:      string(body),
		Result:    "{}",
		CreatedBy: actor,
		CreatedAt: meta.Now(),
	}
	var same *meta.Job
	err = t.db.Tx(ctx, func(q *meta.Queries) (err error) {
		if same, err = join(ctx, q, actor, s); err != nil || same != nil {
			return err
		}
		if err := jobs.Add(ctx, q, &j); err != nil {
			return err
		}
		return q.Audit(ctx, actor, "train", j.ID, string(body))
	})
	if err != nil {
		return Job{}, err
	}
	if same != nil {
		out := t.decode(*same)
		out.Existing = true
		return out, nil
	}
	t.log.Info("training queued", "job", j.ID, "task", s.Task, "trigger", s.Trigger)
	return t.decode(j), nil
}

// join returns the job that does what another of its task would do, nil when there is none.
func join(ctx context.Context, q *meta.Queries, actor string, s JobSpec) (*meta.Job, error) {
	for _, state := range []string{Queued, Started} {
		list, err := q.JobsOf(ctx, JobKind, state)
		if err != nil {
			return nil, err
		}
		for i := range list {
			j := &list[i]
			if j.Task != s.Task {
				continue
			}
			var old JobSpec
			if err := json.Unmarshal([]byte(j.Spec), &old); err != nil {
				return nil, fmt.Errorf("job %q: %w", j.ID, err)
			}
			forced := s.Force && !old.Force
			if old.Compare != s.Compare && s.Compare == "" { // judging alone is not training
				continue
			}
			if forced && state == Started {
				return nil, fmt.Errorf("%w by job %s, without force: cancel it, or wait until it has ended", ErrRuns, j.ID)
			}
			if forced {
				old.Force = true
				body, err := json.Marshal(old)
				if err != nil {
					return nil, err
				}
				j.Spec = string(body)
				if err := q.PutJob(ctx, *j); err != nil {
					return nil, err
				}
			}
			return j, q.Audit(ctx, actor, "train.join", j.ID, s.Trigger)
		}
	}
	return nil, nil
}

// Cancel ends a job. It counts as a training that has looked at everything so far: what triggered
// it does not trigger it again.
func (t *Trainer) Cancel(ctx context.Context, actor, id string) error {
	return t.db.Tx(ctx, func(q *meta.Queries) error {
		if err := jobs.Cancel(ctx, q, actor, id); err != nil {
			return err
		}
		j, err := q.Job(ctx, id)
		if err != nil {
			return err
		}
		b, err := open(ctx, q)
		if err != nil {
			return err
		}
		p := b.task(j.Task)
		p.began(&JobResult{Labels: p.rows(), Newest: p.Newest})
		return errors.Join(b.store(ctx, q), q.Audit(ctx, actor, "job.cancel", id, ""))
	})
}

// work does one job and stores its outcome.
func (t *Trainer) work(ctx context.Context, c *jobs.Claim) {
	j := c.Job
	res := &JobResult{Stage: "rows"}
	t.mu.Lock()
	t.live[j.ID] = res
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.live, j.ID)
		t.mu.Unlock()
	}()
	encoded := func() string {
		t.mu.Lock()
		defer t.mu.Unlock()
		b, err := json.Marshal(res)
		if err != nil { // a figure that JSON has no word for
			t.log.Error("training result not encoded", "job", j.ID, "err", err)
			return "{}"
		}
		return string(b)
	}
	var failure error
	err := t.worker.Run(ctx, c, jobs.Work{
		Do: func(ctx context.Context) (string, error) {
			began := time.Now()
			err := t.do(ctx, j, res)
			failure = err
			if err != nil && ctx.Err() == nil {
				t.log.Error("training failed", "job", j.ID, "task", j.Task, "err", err)
			}
			t.note(res, func(r *JobResult) { r.Seconds, r.Stage = time.Since(began).Seconds(), "" })
			return encoded(), err
		},
		Progress: encoded,
		Store: func(ctx context.Context, q *meta.Queries) error {
			// What failed is tried again by itself, but for rows that have to come first.
			if failure != nil && !errors.Is(failure, selection.ErrTooFewRows) {
				return nil
			}
			b, err := open(ctx, q)
			if err != nil {
				return err
			}
			if res.Compared {
				b.task(j.Task).Kept = res.Kept
			} else {
				b.task(j.Task).began(res)
			}
			return b.store(ctx, q)
		},
	})
	if err != nil && ctx.Err() == nil {
		t.log.Error("training result not stored", "job", j.ID, "err", err)
	}
}

// do notes what there is to learn from and trains.
func (t *Trainer) do(ctx context.Context, j meta.Job, res *JobResult) error {
	b, err := open(ctx, t.db.Read())
	if err != nil {
		return err
	}
	p := b.task(j.Task)
	t.note(res, func(r *JobResult) { r.Labels, r.Newest = p.rows(), p.Newest })
	var s JobSpec
	if err := json.Unmarshal([]byte(j.Spec), &s); err != nil {
		return err
	}
	return t.train(ctx, j, s, res)
}

func (t *Trainer) note(res *JobResult, f func(*JobResult)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(res)
}

// train selects a model, registers it, judges it and, when it passes, rolls it out.
func (t *Trainer) train(ctx context.Context, j meta.Job, s JobSpec, res *JobResult) error {
	row, err := t.db.Read().Task(ctx, s.Task)
	if err != nil {
		return fmt.Errorf("task %q: %w", s.Task, err)
	}
	task, err := spec.ParseTask(s.Task, strings.NewReader(row.Spec))
	if err != nil {
		return err
	}
	devices, err := t.db.Read().TaskDevices(ctx, s.Task)
	if err != nil {
		return err
	}
	c, err := t.inForce(ctx, row)
	if err != nil {
		return err
	}
	t.note(res, func(r *JobResult) { r.Gone, r.GoneWhy = c.gone, c.why })
	in := learn.Input{
		Task:      task,
		Devices:   devices,
		Source:    Readings(t.db, t.lake),
		Published: Published(t.lake, task),
		Module:    t.registry.Module,
		Digest:    c.digest,
		Lineage:   []string{s.Lineage, j.ID},
	}
	if c.artifact {
		if in.Champion, err = t.load(ctx, c.digest); err != nil {
			return err
		}
	}
	if s.Compare != "" {
		return t.compare(ctx, j, s, res, in)
	}
	prior, err := t.prior(ctx)
	if err != nil {
		return err
	}
	in.Search = selection.Options{
		Trials:     t.policy.Trials,
		TimeBudget: t.policy.TimeBudget,
		Threads:    t.policy.Threads,
		Learners:   t.policy.Learners,
		Prior:      prior,
		Progress: func(p selection.Progress) {
			t.note(res, func(r *JobResult) { r.Stage, r.Done, r.Trials, r.Learner = p.Stage, p.Done, p.Trials, p.Learner })
		},
	}
	in.Begun = func(rows int) { t.note(res, func(r *JobResult) { r.Rows = rows }) }
	in.Found = func(out *selection.Result) {
		t.note(res, func(r *JobResult) {
			r.Holdout, r.Leaderboard, r.Past, r.Learner = &out.Holdout, out.Leaderboard, &out.Run, out.Artifact.Manifest.Learner
		})
	}
	learned, err := learn.Run(ctx, in)
	if err != nil {
		return err
	}
	out, verdict, rows := learned.Challenger, learned.Verdict, learned.Rows
	m, err := t.registry.Register(ctx, out.Bytes, registry.Info{
		Task:      s.Task,
		Kind:      out.Artifact.Manifest.Learner,
		Metrics:   out.Holdout,
		CreatedBy: j.CreatedBy,
		Lineage: map[string]any{"id": s.Lineage, "job": j.ID, "trigger": s.Trigger, "champion": c.digest, "rows": rows, "devices": devices,
			"train_from": out.Artifact.Manifest.TrainFrom, "train_to": out.Artifact.Manifest.TrainTo, "verdict": verdict, "leaderboard": out.Leaderboard},
	})
	if err != nil {
		return err
	}
	t.note(res, func(r *JobResult) {
		r.Digest, r.Model, r.Learner, r.Verdict = m.Digest, registry.Name(m), m.Kind, &verdict
	})
	return t.decide(ctx, j, s, res, m, verdict, c.digest)
}

// Published is the lake as a source of what devices published for their rows, as far as it can be
// scored.
func Published(l *lake.Lake, task *spec.Task) func(ctx context.Context, device string) iter.Seq2[learn.Published, error] {
	return func(ctx context.Context, device string) iter.Seq2[learn.Published, error] {
		return func(yield func(learn.Published, error) bool) {
			for l, err := range l.Labels(ctx, device, task.Name, math.MinInt64, math.MaxInt64) {
				v := l.Predicted
				switch {
				case l.Classes > 0:
					v = l.Chance
				case task.Kind == spec.KindClassification && l.Truth < 0.5: // of two: v is that of the second
					v = 1 - v
				}
				if !yield(learn.Published{Row: l.Row, Value: v}, err) || err != nil {
					return
				}
			}
		}
	}
}

// Readings is the lake as a source of training rows. When a reading arrived follows from the start
// of its run: between two runs a device may have been off for longer than a task waits.
func Readings(db *meta.Store, l *lake.Lake) learn.Source {
	return func(ctx context.Context, device string) iter.Seq2[learn.Reading, error] {
		return func(yield func(learn.Reading, error) bool) {
			runs, err := db.Read().Runs(ctx, device)
			if err != nil {
				yield(learn.Reading{}, err)
				return
			}
			started := make(map[string]int64, len(runs))
			for _, r := range runs {
				started[r.Run] = r.StartedAt
			}
			for r, err := range l.Readings(ctx, device, nil, math.MinInt64, math.MaxInt64) {
				if !yield(learn.Reading{
					Series:  r.Series,
					Time:    r.Time,
					Value:   r.Value,
					Arrival: started[r.Run] + r.Mono/1e3,
					Flags:   wire.Flags(r.Flags),
				}, err) {
					return
				}
			}
		}
	}
}

// decide rolls out a challenger that passed. champion is the digest of the one it was judged
// against, "" for none.
func (t *Trainer) decide(ctx context.Context, j meta.Job, s JobSpec, res *JobResult, m meta.Model, v selection.Verdict, champion string) error {
	outcome := ""
	switch {
	case v.Outcome != sequential.Pass && !s.Force:
		outcome = fmt.Sprintf("kept in the registry: %s against %s (%s)", v.Outcome, v.Against, v.Reason)
		if champion == "" && !t.policy.Disabled && s.Compare == "" {
			rows, withDrift := t.policy.again(&progress{LabelsThen: res.Labels})
			outcome += fmt.Sprintf("; the task has no model yet and is trained again at %d labelled rows, with drift at %d", rows, withDrift)
		}
	case t.policy.NoRollout:
		outcome = "kept in the registry: automatic rollouts are off"
	default:
		k := &Kept{Digest: m.Digest, Job: j.ID, Champion: champion, Labels: res.Labels, Evidence: evidence(v)}
		id, err := t.propose(ctx, s.Task, k)
		if errors.Is(err, rollout.ErrBusy) {
			outcome = "waits until the task is free: " + err.Error()
			t.note(res, func(res *JobResult) { res.Kept = k })
			break
		}
		if err != nil {
			return err
		}
		outcome = "rollout created"
		t.note(res, func(res *JobResult) { res.Rollout = id })
	}
	if res.GoneWhy != "" {
		outcome += "; judged without a champion: " + res.GoneWhy
	}
	t.note(res, func(r *JobResult) { r.Outcome = outcome })
	t.log.Info("training done", "job", j.ID, "model", registry.Name(m), "outcome", outcome)
	return nil
}

// evidence is what a verdict tells devices and rollouts.
func evidence(v selection.Verdict) spec.Evidence {
	return spec.Evidence{
		Rows:      int64(v.N),
		Incumbent: v.Champion,
		Diff:      v.Challenger - v.Champion,
		Passed:    v.Outcome == sequential.Pass,
	}
}

// propose creates the rollout of a challenger and returns its id.
func (t *Trainer) propose(ctx context.Context, task string, k *Kept) (string, error) {
	sp := t.rollSpec
	sp.Task, sp.Digest = task, k.Digest
	sp.Evidence = &k.Evidence
	r, err := t.rollouts.Create(ctx, "training "+k.Job, sp)
	if err != nil {
		return "", err
	}
	return r.ID, nil
}

// prior collects what earlier runs of every task learned.
func (t *Trainer) prior(ctx context.Context) ([]selection.PastRun, error) {
	if t.policy.ColdStart {
		return nil, nil
	}
	jobs, err := t.db.Read().Jobs(ctx, "", Done, 200)
	if err != nil {
		return nil, err
	}
	var out []selection.PastRun
	for _, j := range jobs {
		var r JobResult
		if j.Kind == JobKind && json.Unmarshal([]byte(j.Result), &r) == nil && r.Past != nil {
			out = append(out, *r.Past)
		}
	}
	return out, nil
}

// Job is a job with its documents decoded and, while it runs, its progress.
type Job struct {
	ID         string    `json:"id"`
	Task       string    `json:"task"`
	State      string    `json:"state"`
	Spec       JobSpec   `json:"spec"`
	Result     JobResult `json:"result"`
	Error      string    `json:"error,omitempty"`
	CreatedBy  string    `json:"created_by"`
	CreatedAt  int64     `json:"created_at"`
	StartedAt  int64     `json:"started_at"`
	FinishedAt int64     `json:"finished_at"`
	// in the answer to a request for a training: the job was there already, nothing was queued
	Existing bool `json:"existing,omitempty"`
}

// Jobs lists jobs, newest first; empty task or state do not restrict.
func (t *Trainer) Jobs(ctx context.Context, task, state string, limit int) ([]Job, error) {
	rows, err := t.db.Read().Jobs(ctx, task, state, limit)
	if err != nil {
		return nil, err
	}
	out := []Job{}
	for _, j := range rows {
		if j.Kind == JobKind {
			out = append(out, t.decode(j))
		}
	}
	return out, nil
}

// Job returns one job.
func (t *Trainer) Job(ctx context.Context, id string) (Job, error) {
	j, err := t.db.Read().Job(ctx, id)
	if err != nil {
		return Job{}, fmt.Errorf("job %q: %w", id, err)
	}
	return t.decode(j), nil
}

func (t *Trainer) decode(j meta.Job) Job {
	out := Job{
		ID:         j.ID,
		Task:       j.Task,
		State:      j.State,
		Error:      j.Error,
		CreatedBy:  j.CreatedBy,
		CreatedAt:  j.CreatedAt,
		StartedAt:  j.StartedAt,
		FinishedAt: j.FinishedAt,
	}
	_ = json.Unmarshal([]byte(j.Spec), &out.Spec) // written by this package
	_ = json.Unmarshal([]byte(j.Result), &out.Result)
	t.mu.Lock()
	if live := t.live[j.ID]; live != nil {
		out.Result = *live
	}
	t.mu.Unlock()
	return out
}
