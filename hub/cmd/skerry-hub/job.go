package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/hub/client"
	"skerry.dev/hub/training"
)

// pollEvery is how often a command that waits looks.
const pollEvery = 500 * time.Millisecond

func (r *remote) trainCommand() *cobra.Command {
	var wait, force bool
	var reason string
	c := &cobra.Command{
		Use:   "train <task>",
		Short: "Train a task now",
		Long: "Queue a training of a task: rows from the lake, model selection, a judgement on newer rows against the champion, or against the baseline where there is none, and a rollout when it is better.\n\n" +
			"With --wait the command follows the job and fails when the job fails.",
		Example:           "  skerry-hub train pm25-next-hour --wait\n  skerry-hub train pm25-next-hour --reason \"sensor replaced\" --force",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.taskNames(),
		RunE: func(c *cobra.Command, args []string) error {
			j, err := r.client().Train(c.Context(), args[0], reason, force)
			if err != nil {
				return fmt.Errorf("train task %q: %w", args[0], err)
			}
			if !wait {
				return r.print(c, j, fmt.Sprintf("%s Follow it with: skerry-hub job show %s", queued(j), j.ID))
			}
			if j.Existing {
				fmt.Fprintln(c.ErrOrStderr(), queued(j))
			}
			return r.await(c, j.ID)
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "follow the job until it is done")
	c.Flags().BoolVar(&force, "force", false, "roll the model out even when the judgement is inconclusive")
	c.Flags().StringVar(&reason, "reason", "", "why, for the record (default \"command\")")
	return c
}

// queued says what became of a request for a training.
func queued(j training.Job) string {
	if j.Existing {
		return fmt.Sprintf("Task %s has the training %s already, which is %s: nothing new was queued.", j.Task, j.ID, j.State)
	}
	return fmt.Sprintf("Queued %s.", j.ID)
}

// await follows a job to its end.
func (r *remote) await(c *cobra.Command, id string) error {
	p := newProgress(c.ErrOrStderr())
	defer p.clear()
	hub := r.client()
	for {
		j, err := hub.Job(c.Context(), id)
		if err != nil {
			return err
		}
		switch j.State {
		case training.Done, training.Failed, training.Cancelled:
			p.clear()
			if r.json {
				if err := r.print(c, j, ""); err != nil {
					return err
				}
			} else if err := writeJob(c.OutOrStdout(), j); err != nil {
				return err
			}
			if j.State != training.Done {
				return fmt.Errorf("job %s %s: %s", j.ID, j.State, j.Error)
			}
			return nil
		case training.Started:
			res := j.Result
			p.show("%s: %s %d/%d %s, %s", j.ID, res.Stage, res.Done, res.Trials, res.Learner, time.Since(time.UnixMicro(j.StartedAt)).Round(time.Second))
		default:
			p.show("%s: %s", j.ID, j.State)
		}
		if err := sleep(c.Context(), pollEvery); err != nil {
			return fmt.Errorf("stopped waiting; job %s goes on: %w", id, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

var jobColumns = []column[training.Job]{
	{"JOB", func(j training.Job) string { return text(j.ID) }},
	{"TASK", func(j training.Job) string { return text(j.Task) }},
	{"STATE", func(j training.Job) string { return text(j.State) }},
	{"STAGE", func(j training.Job) string { return text(j.Result.Stage) }},
	{"MODEL", func(j training.Job) string { return text(j.Result.Model) }},
	{"OUTCOME", func(j training.Job) string { return text(j.Result.Outcome) }},
	{"BY", func(j training.Job) string { return text(j.CreatedBy) }},
	{"CREATED", func(j training.Job) string { return stamp(j.CreatedAt) }},
}

func (r *remote) jobNames() cobra.CompletionFunc {
	return r.names(func(ctx context.Context, hub *client.Client) ([]string, error) {
		jobs, err := hub.Jobs(ctx, "", "")
		return mapped(jobs, err, func(j training.Job) string { return j.ID })
	})
}

func (r *remote) jobCommand() *cobra.Command {
	var task, state string
	ls := &cobra.Command{
		Use:   "list",
		Short: "List training jobs, newest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			jobs, err := r.client().Jobs(c.Context(), task, state)
			if err != nil {
				return err
			}
			return list(r, c, jobs, jobColumns...)
		},
	}
	ls.Flags().StringVar(&task, "task", "", "jobs of one task")
	ls.Flags().StringVar(&state, "state", "", "queued, running, done, failed or cancelled")
	return group("job", "Training jobs", ls,
		&cobra.Command{
			Use:               "show <id>",
			Short:             "A job: progress, leaderboard, verdict",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.jobNames(),
			RunE: func(c *cobra.Command, args []string) error {
				j, err := r.client().Job(c.Context(), args[0])
				if err != nil {
					return err
				}
				if r.json {
					return writeJSON(c.OutOrStdout(), j)
				}
				return writeJob(c.OutOrStdout(), j)
			},
		},
		&cobra.Command{
			Use:               "cancel <id>",
			Short:             "Cancel a training that is queued or runs",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.jobNames(),
			RunE: func(c *cobra.Command, args []string) error {
				j, err := r.client().CancelJob(c.Context(), args[0])
				if err != nil {
					return fmt.Errorf("cancel job %q: %w", args[0], err)
				}
				return r.print(c, j, fmt.Sprintf("Cancelled %s of task %s.", j.ID, j.Task))
			},
		})
}

func writeJob(w io.Writer, j training.Job) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	res := j.Result
	fmt.Fprintf(t, "job\t%s\ntask\t%s\nstate\t%s\ntrigger\t%s\nlineage\t%s\n", j.ID, j.Task, j.State, j.Spec.Trigger, j.Spec.Lineage)
	if res.Stage != "" {
		fmt.Fprintf(t, "stage\t%s %d/%d\n", res.Stage, res.Done, res.Trials)
	}
	if res.Rows > 0 {
		fmt.Fprintf(t, "rows\t%d\n", res.Rows)
	}
	if h := res.Holdout; h != nil && h.Accuracy > 0 {
		fmt.Fprintf(t, "held out\taccuracy %.4f, log loss %.4f on %d rows\n", h.Accuracy, h.LogLoss, h.Rows)
	} else if h != nil {
		fmt.Fprintf(t, "held out\terror %.4g against %.4g of the last value on %d rows\n", h.MAE, h.MAEBaseline, h.Rows)
	}
	if res.Model != "" {
		fmt.Fprintf(t, "model\t%s (%s) %s\n", res.Model, res.Learner, res.Digest)
	}
	if v := res.Verdict; v != nil {
		fmt.Fprintf(t, "verdict\t%s against %s: %s\n", v.Outcome, cmp.Or(v.Against, "the champion"), v.Reason)
		for _, f := range v.Floors {
			fmt.Fprintf(t, "floor\tmean loss %.4g, of %s %.4g, on the newest %d rows\n", f.Challenger, f.Name, f.Loss, f.Rows)
		}
	}
	if res.GoneWhy != "" {
		fmt.Fprintf(t, "champion\tnone: %s\n", res.GoneWhy)
	}
	if res.Outcome != "" {
		fmt.Fprintf(t, "outcome\t%s\n", res.Outcome)
	}
	if res.Rollout != "" {
		fmt.Fprintf(t, "rollout\t%s\n", res.Rollout)
	}
	if j.Error != "" {
		fmt.Fprintf(t, "error\t%s\n", j.Error)
	}
	if len(res.Leaderboard) > 0 {
		fmt.Fprintln(t, "\nLEARNER\tSCORE\tOF BASELINE\tLATENCY\tBYTES")
		for _, e := range res.Leaderboard[:min(len(res.Leaderboard), 10)] {
			fmt.Fprintf(t, "%s\t%.5g\t%.3f\t%.1f µs\t%d\n", e.Learner, e.Score, e.Relative, e.LatencyUS, e.Bytes)
		}
	}
	return t.Flush()
}
