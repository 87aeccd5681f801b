package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"skerry.dev/hub/learn"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
)

// Kept is a challenger that passed while its task had a rollout. It is offered when that has ended.
type Kept struct {
	Digest   string        `json:"digest"`
	Job      string        `json:"job"`                // that trained or judged it
	Champion string        `json:"champion,omitempty"` // it was judged against, "" for none
	Labels   int64         `json:"labels"`             // of the task then
	Evidence spec.Evidence `json:"evidence"`
}

// offer proposes the challengers that wait and whose task is free. One that is out of date is dropped
// with the reason, and one whose champion is no longer in force is judged again first.
func (t *Trainer) offer(ctx context.Context) error {
	b, err := open(ctx, t.db.Read())
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(b.tasks)) {
		if p := b.tasks[name]; p.Kept != nil {
			if err := t.offerOne(ctx, name, p); err != nil {
				return fmt.Errorf("offer challenger %.12s of task %q: %w", p.Kept.Digest, name, err)
			}
		}
	}
	return nil
}

func (t *Trainer) offerOne(ctx context.Context, name string, p *progress) error {
	k := p.Kept
	rs, err := t.rollouts.List(ctx, name, "", 20)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if r.Spec.Digest == k.Digest && r.CreatedBy == "training "+k.Job { // the hub ended before it noted that
			return t.settle(ctx, name, k, r.ID, "rollout created when the task was free")
		}
		if !r.State.Final() {
			return nil
		}
	}
	task, err := t.db.Read().Task(ctx, name)
	if errors.Is(err, meta.ErrNotFound) {
		return t.settle(ctx, name, k, "", "dropped while it waited: the task is no longer defined")
	}
	if err != nil {
		return err
	}
	why, err := t.unfit(ctx, task, k.Digest)
	if err != nil {
		return err
	}
	if fresh := p.rows() - k.Labels; why == "" && fresh >= max(t.policy.MinNewLabels, k.Labels) {
		why = fmt.Sprintf("out of date: it was judged on %d labelled rows, and %d have come since", k.Labels, fresh)
	}
	if why != "" {
		return t.settle(ctx, name, k, "", "dropped while it waited: "+why)
	}
	c, err := t.inForce(ctx, task)
	if err != nil {
		return err
	}
	if c.digest != k.Champion {
		j, err := t.Queue(ctx, "trigger", JobSpec{Task: name, Trigger: "a challenger passed, and the champion has changed since: judged again", Compare: k.Digest})
		if err != nil {
			return err
		}
		return t.settle(ctx, name, k, "", fmt.Sprintf("the champion changed while it waited: job %s judges again", j.ID))
	}
	id, err := t.propose(ctx, name, k)
	if errors.Is(err, rollout.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	t.log.Info("challenger offered that had waited", "task", name, "model", k.Digest, "rollout", id)
	return t.settle(ctx, name, k, id, "rollout created when the task was free")
}

// settle ends the wait of a challenger, and notes at its job what became of it.
func (t *Trainer) settle(ctx context.Context, task string, k *Kept, rollout, outcome string) error {
	t.log.Info("challenger waits no longer", "task", task, "model", k.Digest, "outcome", outcome)
	return t.db.Tx(ctx, func(q *meta.Queries) error {
		b, err := open(ctx, q)
		if err != nil {
			return err
		}
		p := b.task(task)
		if p.Kept == nil || *p.Kept != *k {
			return nil // another has taken its place
		}
		p.Kept = nil
		j, err := q.Job(ctx, k.Job)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		if err == nil {
			var r JobResult
			if err := json.Unmarshal([]byte(j.Result), &r); err != nil {
				return fmt.Errorf("job %q: %w", j.ID, err)
			}
			r.Kept, r.Rollout, r.Outcome = nil, rollout, outcome
			body, err := json.Marshal(r)
			if err != nil {
				return err
			}
			j.Result = string(body)
			if err := q.PutJob(ctx, j); err != nil {
				return err
			}
		}
		return errors.Join(b.store(ctx, q), q.Audit(ctx, "trigger", "train.kept", k.Job, outcome))
	})
}

// compare judges a challenger again, against the champion that is in force now.
func (t *Trainer) compare(ctx context.Context, j meta.Job, s JobSpec, res *JobResult, in learn.Input) error {
	t.note(res, func(r *JobResult) { r.Stage, r.Compared = "judge", true })
	m, err := t.db.Read().Model(ctx, s.Compare)
	if err != nil {
		return fmt.Errorf("model %q: %w", s.Compare, err)
	}
	a, err := t.load(ctx, s.Compare)
	if err != nil {
		return err
	}
	v, err := learn.Compare(ctx, in, a)
	if err != nil {
		return err
	}
	t.note(res, func(r *JobResult) { r.Digest, r.Model, r.Learner, r.Verdict = m.Digest, registry.Name(m), m.Kind, &v })
	return t.decide(ctx, j, s, res, m, v, in.Digest)
}
