package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"skerry.dev/compute/sequential"
	"skerry.dev/hub/api"
	"skerry.dev/hub/client"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
)

var rolloutColumns = []column[rollout.Rollout]{
	{"ROLLOUT", func(r rollout.Rollout) string { return text(r.ID) }},
	{"MODEL", func(r rollout.Rollout) string { return text(r.Model) }},
	{"STATE", func(r rollout.Rollout) string { return text(r.State) }},
	{"STAGE", func(r rollout.Rollout) string { return text(r.Status.StageName) }},
	{"ACTIVE", func(r rollout.Rollout) string {
		return fmt.Sprintf("%d/%d", r.Status.Counts.Active, r.Status.Counts.Targets)
	}},
	{"REASON", func(r rollout.Rollout) string { return text(r.Status.Reason) }},
	{"CREATED", func(r rollout.Rollout) string { return stamp(r.CreatedAt) }},
}

func (r *remote) rolloutNames() cobra.CompletionFunc {
	return r.names(func(ctx context.Context, hub *client.Client) ([]string, error) {
		rollouts, err := hub.Rollouts(ctx, "", "")
		return mapped(rollouts, err, func(r rollout.Rollout) string { return r.ID })
	})
}

func (r *remote) rolloutCommand() *cobra.Command {
	var task, state string
	ls := &cobra.Command{
		Use:   "list",
		Short: "List rollouts, newest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rollouts, err := r.client().Rollouts(c.Context(), task, state)
			if err != nil {
				return err
			}
			return list(r, c, rollouts, rolloutColumns...)
		},
	}
	ls.Flags().StringVar(&task, "task", "", "rollouts of one task")
	ls.Flags().StringVar(&state, "state", "", "rollouts in one state, for example running")
	do := func(cmd rollout.Command, short string) *cobra.Command {
		var reason string
		c := &cobra.Command{
			Use:               string(cmd) + " <id>",
			Short:             short,
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.rolloutNames(),
			RunE: func(c *cobra.Command, args []string) error {
				out, err := r.client().CommandRollout(c.Context(), args[0], cmd, reason)
				if err != nil {
					return err
				}
				return r.print(c, out, fmt.Sprintf("Rollout %s of %s is %s", out.ID, out.Model, out.State))
			},
		}
		c.Flags().StringVar(&reason, "reason", "", "why, for the record")
		return c
	}
	return group("rollout", "Bring models to devices, in stages", r.rolloutCreateCommand(), ls, r.rolloutShowCommand(), r.rolloutWatchCommand(),
		do(rollout.Approve, "Let a rollout that waits for an approval begin"),
		do(rollout.Pause, "Stop where it is; trials go on and measure, no device activates the model"),
		do(rollout.Resume, "Go on with a paused rollout"),
		do(rollout.Abort, "End it and take the model back everywhere; it can be rolled out again"),
		do(rollout.Rollback, "End it, forbid the model and take it back everywhere"),
		do(rollout.Skip, "Enter the next stage although this one is not through; a device must have the model as far"),
		r.freezeCommand(), r.thawCommand(),
		do(rollout.Retry, "Order the failed devices again; the stage's time begins anew"))
}

func (r *remote) freezeCommand() *cobra.Command {
	var task, reason string
	c := &cobra.Command{
		Use:   "freeze",
		Short: "Hold every device where it is, of one task or of all; without --reason list what is frozen",
		Long: "No stage passes and no device is told to run another model until `rollout thaw`, whatever is created or resumed meanwhile. " +
			"Trials go on and measure; what is forbidden stays forbidden, and a device still gives up a model that fails.",
		Example: "  skerry-hub rollout freeze --reason 'inventory until Monday'\n  skerry-hub rollout freeze --task pm25-next-hour --reason 'the stations are being cleaned'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if reason == "" && task == "" {
				all, err := r.client().Freezes(c.Context())
				if err != nil {
					return err
				}
				return list(r, c, all,
					column[meta.Freeze]{"TASK", func(f meta.Freeze) string { return text(cmp.Or(f.Task, "all tasks")) }},
					column[meta.Freeze]{"SINCE", func(f meta.Freeze) string { return stamp(f.At) }},
					column[meta.Freeze]{"BY", func(f meta.Freeze) string { return text(f.Actor) }},
					column[meta.Freeze]{"REASON", func(f meta.Freeze) string { return text(f.Reason) }})
			}
			f, err := r.client().Freeze(c.Context(), task, reason)
			if err != nil {
				return err
			}
			return r.print(c, f, fmt.Sprintf("Frozen: %s. Let it go on with: skerry-hub rollout thaw", cmp.Or(f.Task, "all tasks")))
		},
	}
	c.Flags().StringVar(&task, "task", "", "this task alone (default all)")
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}

func (r *remote) thawCommand() *cobra.Command {
	var task, reason string
	c := &cobra.Command{
		Use:   "thaw",
		Short: "End a freeze: rollouts go on, and the stages that it held begin their time anew",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return r.client().Thaw(c.Context(), task, reason)
		},
	}
	c.Flags().StringVar(&task, "task", "", "the freeze of this task alone (default that of all)")
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

// createFlags are the knobs of rollout.Spec.
type createFlags struct {
	file           string
	stages         []string
	s              rollout.Spec
	latency        time.Duration
	each, expires  time.Duration
	window         string
	silent, expiry time.Duration
	dry            bool
	rehearse       string
}

func (r *remote) rolloutCreateCommand() *cobra.Command {
	f := new(createFlags)
	c := &cobra.Command{
		Use:   "create <digest | task@version>",
		Short: "Roll a registered model out",
		Long: "Every target device runs the model in shadow first; then the stages say who may activate it. A stage passes when no gate objects; a model that is worse is taken back and forbidden.\n\n" +
			"--file reads the same knobs from YAML (the keys are those of the REST API: stages, min_shadow, max_regression, …); flags win. --dry-run shows who would be in which stage and how well these devices are connected. --rehearse 30d replays the model, with everything that devices learn and labels as late as they came, over the " +
			"last 30 days of each target's own rows, and shows what would change, who would veto and how long the rollout takes.",
		Example: "  skerry-hub rollout create pm25-next-hour@3 --dry-run\n  skerry-hub rollout create pm25-next-hour@3 --rehearse 30d\n  skerry-hub rollout create pm25-next-hour@3 --stage canary=5:2 --stage half=50 --stage all=100 --approval\n" +
			"  skerry-hub rollout create pm25-next-hour@3 --file rollout.yaml --cohort lab",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.modelNames(),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := f.build(c)
			if err != nil {
				return err
			}
			hub := r.client()
			m, err := hub.FindModel(c.Context(), args[0])
			if err != nil {
				return err
			}
			s.Digest, s.Task = m.Digest, m.Task
			if f.dry {
				p, err := hub.PlanRollout(c.Context(), s)
				if err != nil {
					return err
				}
				if r.json {
					return r.print(c, p, "")
				}
				return writePlan(c.OutOrStdout(), m.Name, p)
			}
			if f.rehearse != "" {
				period, err := spec.ParseDuration(f.rehearse)
				if err != nil || period < time.Minute {
					return fmt.Errorf("--rehearse %q: must be a period of at least a minute, for example 30d or 12h", f.rehearse)
				}
				stop := r.watchReplay(c)
				out, err := hub.RehearseRollout(c.Context(), s, period)
				stop()
				if err != nil {
					return err
				}
				if r.json {
					return r.print(c, out, "")
				}
				return writeRehearsal(c.OutOrStdout(), m.Name, out)
			}
			out, err := hub.CreateRollout(c.Context(), s)
			if err != nil {
				return err
			}
			return r.print(c, out, fmt.Sprintf("Rollout %s of %s is %s. Follow it with: skerry-hub rollout show %s --watch", out.ID, out.Model, out.State, out.ID))
		},
	}
	fl := c.Flags()
	fl.StringVarP(&f.file, "file", "f", "", "YAML file with the knobs")
	fl.BoolVar(&f.dry, "dry-run", false, "show who would be in which stage, create nothing")
	fl.StringVar(&f.rehearse, "rehearse", "", "replay the model over each target's own recorded rows of a period, for example 30d, show what it would change, create nothing")
	fl.StringArrayVar(&f.stages, "stage", nil, "a stage as name=percent or name=percent:count, in order; the last one is 100 (default canary=20:1, all=100)")
	fl.StringVar(&f.s.Cohort, "cohort", "", "only devices of this cohort")
	fl.StringSliceVar(&f.s.Devices, "devices", nil, "only these devices")
	fl.StringSliceVar(&f.s.Sites, "sites", nil, "only devices of these sites")
	fl.StringSliceVar(&f.s.Classes, "classes", nil, "only devices of these classes, for example linux/arm64")
	fl.StringVar(&f.window, "window", "", "when devices may activate it, by their local time, as 22:00-05:00 or 22:00-05:00/fri,sat")
	fl.DurationVar(&f.each, "device-deadline", 0, "a stage goes on without a device that takes longer (default as long as the stage)")
	fl.DurationVar(&f.expires, "expires", 0, "the rollout pauses when it has taken longer in all (default no bound)")
	fl.IntVar(&f.s.MinShadow, "min-shadow", 0, "labelled rows a device needs in shadow (default 48)")
	fl.IntVar(&f.s.Probation, "probation", 0, "labelled rows a device runs on probation (default 48)")
	fl.Float64Var(&f.s.MaxRegression, "max-regression", 0, "share by which the candidate's loss may exceed the incumbent's (default 0.05)")
	fl.Float64Var(&f.s.Alpha, "alpha", 0, "probability of a wrong verdict on losses (default 0.05)")
	fl.BoolVar(&f.s.WithoutLabels, "without-labels", false, "nobody sends what was true: count rows, and judge by how far predictions are from those of the model in use")
	fl.Float64Var(&f.s.MaxDisagreement, "max-disagreement", 0, "without labels: by how much they may differ in the mean, in units of the usual change (default 0.5)")
	fl.DurationVar(&f.latency, "max-latency", 0, "p99 of one prediction on a device (default 1ms)")
	fl.Float64Var(&f.s.MaxFailed, "max-failed", 0, "share of the devices that may fail, one where there are three or more (default 0.1)")
	fl.Float64Var(&f.s.MaxUnknown, "max-unknown", 0, "share of the targets that may be without a link when a stage passes (default 0.5)")
	fl.IntVar(&f.s.Retries, "retries", 0, "how often a device that failed for no fault of the model is ordered again before it counts as failed (default 3)")
	fl.DurationVar(&f.silent, "silent", 0, "a connected device that does not report for so long has failed (default 2m)")
	fl.DurationVar(&f.expiry, "deadline", 0, "a stage that takes longer pauses as inconclusive (default a day and twice the task's cycle: 360h)")
	fl.BoolVar(&f.s.Approval, "approval", false, "wait for an approval before anything happens")
	return c
}

// build joins the file with the flags that were set.
func (f *createFlags) build(c *cobra.Command) (rollout.Spec, error) {
	var s rollout.Spec
	if f.file != "" {
		b, err := os.ReadFile(f.file)
		if err != nil {
			return s, fmt.Errorf("read --file: %w", err)
		}
		if s, err = parseRollout(b); err != nil {
			return s, fmt.Errorf("read --file %s: %w", f.file, err)
		}
	}
	if len(f.stages) > 0 {
		s.Stages = nil
		for _, t := range f.stages {
			st, err := parseStage(t)
			if err != nil {
				return s, err
			}
			s.Stages = append(s.Stages, st)
		}
	}
	set := c.Flags().Changed
	for name, take := range map[string]func(){
		"cohort": func() { s.Cohort = f.s.Cohort }, "devices": func() { s.Devices = f.s.Devices }, "sites": func() { s.Sites = f.s.Sites }, "classes": func() { s.Classes = f.s.Classes },
		"device-deadline": func() { s.DeviceDeadline = int64(f.each / time.Second) }, "expires": func() { s.Expires = int64(f.expires / time.Second) },
		"window": func() { s.Window = parseWindow(f.window) }, "min-shadow": func() { s.MinShadow = f.s.MinShadow },
		"probation": func() { s.Probation = f.s.Probation }, "max-regression": func() { s.MaxRegression = f.s.MaxRegression }, "alpha": func() { s.Alpha = f.s.Alpha },
		"max-latency": func() { s.MaxLatencyUS = float64(f.latency) / 1e3 }, "max-failed": func() { s.MaxFailed = f.s.MaxFailed }, "max-unknown": func() { s.MaxUnknown = f.s.MaxUnknown }, "without-labels": func() { s.WithoutLabels = f.s.WithoutLabels }, "max-disagreement": func() { s.MaxDisagreement = f.s.MaxDisagreement },
		"retries": func() { s.Retries = f.s.Retries },
		"silent":  func() { s.Silent = int64(f.silent / time.Second) }, "deadline": func() { s.Deadline = int64(f.expiry / time.Second) }, "approval": func() { s.Approval = f.s.Approval },
	} {
		if set(name) {
			take()
		}
	}
	return s, nil
}

// parseWindow reads FROM-TO or FROM-TO/DAYS; the hub says what is wrong with it.
func parseWindow(text string) *spec.Window {
	hours, days, _ := strings.Cut(text, "/")
	from, to, _ := strings.Cut(hours, "-")
	w := &spec.Window{From: from, To: to}
	if days != "" {
		w.Days = strings.Split(days, ",")
	}
	return w
}

// parseRollout reads YAML by the JSON keys of the specification; an unknown key is an error.
func parseRollout(b []byte) (s rollout.Spec, err error) {
	root, err := spec.Document(b)
	if err != nil || root == nil {
		return s, err
	}
	decimals(root)
	var doc map[string]any
	if err := root.Decode(&doc); err != nil {
		return s, err
	}
	j, err := json.Marshal(doc)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(j))
	d.DisallowUnknownFields()
	return s, d.Decode(&s)
}

// decimals makes every number below a node one that people mean.
func decimals(n *yaml.Node) {
	for _, c := range n.Content {
		decimals(c)
	}
	*n = *spec.Decimal(n)
}

func parseStage(t string) (rollout.Stage, error) {
	wrong := fmt.Errorf("--stage %q: must be name=percent or name=percent:count, for example canary=5:2", t)
	name, size, ok := strings.Cut(t, "=")
	if !ok || name == "" {
		return rollout.Stage{}, wrong
	}
	percent, count, counted := strings.Cut(size, ":")
	st := rollout.Stage{Name: name}
	var err error
	if st.Percent, err = strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64); err != nil {
		return st, wrong
	}
	if counted {
		if st.Count, err = strconv.Atoi(count); err != nil || st.Count < 0 {
			return st, wrong
		}
	}
	return st, nil
}

func writePlan(w io.Writer, model string, p rollout.Plan) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Rolling out %s would run it in shadow on %d devices, %d of them without a link now.\n", model, len(p.Devices), p.Offline)
	if p.Blocked != "" {
		fmt.Fprintf(w, "It cannot be created now: %s.\n", p.Blocked)
	}
	fmt.Fprintln(t, "\nDEVICE\tSTAGE\tLINK\tLINKED 14 D\tLONGEST AWAY\tSEEN\tRUNS")
	for _, d := range p.Devices {
		link, share, away, seen, runs := "no", "-", "-", "-", "baselines"
		if d.Connected {
			link = "yes"
		}
		if d.LinkShare >= 0 {
			share, away = fmt.Sprintf("%.0f %%", 100*d.LinkShare), (time.Duration(d.LongestOffline) * time.Second).String()
		}
		if d.SeenAt > 0 {
			seen = stamp(d.SeenAt)
		}
		if d.Running != "" {
			runs = d.Running[:min(len(d.Running), 12)]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Device, d.Stage, link, share, away, seen, runs)
	}
	return t.Flush()
}

func (r *remote) rolloutShowCommand() *cobra.Command {
	watch := false
	c := &cobra.Command{
		Use:               "show <id>",
		Short:             "A rollout: stage, gates, devices",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.rolloutNames(),
		Long:              "Show a rollout. --watch follows it and prints a line for every change until it is completed, rolled back, aborted or paused; it fails when the model did not reach the devices.",
		RunE: func(c *cobra.Command, args []string) error {
			v, err := r.client().Rollout(c.Context(), args[0])
			if err != nil {
				return err
			}
			if watch {
				if v, err = r.follow(c, v); err != nil {
					return err
				}
			}
			if r.json {
				err = r.print(c, v, "")
			} else {
				err = writeRollout(c.OutOrStdout(), v)
			}
			if watch && v.State != rollout.Completed {
				err = errors.Join(err, fmt.Errorf("rollout %s is %s: %s", v.ID, v.State, v.Status.Reason))
			}
			return err
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "follow it to its end")
	return c
}

// rolloutWatchCommand is show --watch under the name that people try.
func (r *remote) rolloutWatchCommand() *cobra.Command {
	c := r.rolloutShowCommand()
	c.Use, c.Short = "watch <id>", "Follow a rollout to its end"
	c.Long = "Print a line for every change of a rollout until it is completed, rolled back, aborted or paused; it fails when the model did not reach the devices."
	_ = c.Flags().Set("watch", "true") // the flag exists
	_ = c.Flags().MarkHidden("watch")
	return c
}

func (r *remote) follow(c *cobra.Command, v api.RolloutDetail) (api.RolloutDetail, error) {
	p := newProgress(c.ErrOrStderr())
	defer p.clear()
	for seen := 0; ; {
		for ; seen < len(v.Status.History); seen++ {
			if h := v.Status.History[seen]; !r.json {
				p.clear()
				fmt.Fprintf(c.OutOrStdout(), "%s  %s  %s  %s\n", stamp(h.At), h.State, h.Stage, h.Reason)
			}
		}
		if v.State.Final() || v.State == rollout.Paused {
			return v, nil
		}
		n := v.Status.Counts
		p.show("%s %s: %d shadow, %d probation, %d active, %d waiting, %d failed, %d without a link", v.Status.StageName, v.Status.Step, n.Shadow, n.Trial, n.Active, n.Waiting, n.Failed, n.Unknown)
		if err := sleep(c.Context(), pollEvery); err != nil {
			return v, fmt.Errorf("stopped watching; rollout %s goes on: %w", v.ID, err)
		}
		var err error
		if v, err = r.client().Rollout(c.Context(), v.ID); err != nil {
			return v, err
		}
	}
}

// blamed is why a device is where it is, with whose fault that is.
func blamed(d rollout.Part) string {
	if d.Cause == "" {
		return d.Reason
	}
	return string(d.Cause) + ": " + d.Reason
}

func writeRollout(w io.Writer, v api.RolloutDetail) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	st, p := v.Status, v.Status.Pooled
	fmt.Fprintf(t, "rollout\t%s\nmodel\t%s %s\nstate\t%s\nstage\t%s %s (%s)\n", v.ID, v.Model, v.Spec.Digest, v.State, st.StageName, st.Step, strings.Join(v.Spec.StageNames(), " → "))
	if st.Reason != "" {
		fmt.Fprintf(t, "reason\t%s\n", st.Reason)
	}
	n := st.Counts
	fmt.Fprintf(t, "devices\t%d: %d shadow, %d probation, %d active, %d waiting, %d failed, %d to be told again, %d without a link\n", n.Targets, n.Shadow, n.Trial, n.Active, n.Waiting, n.Failed, n.Penalty, n.Unknown)
	if p.Labelled > 0 {
		k := float64(p.Labelled)
		fmt.Fprintf(t, "losses\tcandidate %.4f, incumbent %.4f on %d labelled rows; the difference lies in [%.4f, %.4f]\n", p.SumCandidate/k, p.SumIncumbent/k, p.Labelled, st.Bound[0], st.Bound[1])
	}
	fmt.Fprintf(t, "created\t%s by %s\n", stamp(v.CreatedAt), v.CreatedBy)
	if e := v.Spec.Evidence; e != nil {
		passed := ""
		if e.Passed {
			passed = ": it passed there"
		}
		fmt.Fprintf(t, "before\tthe hub measured a difference of %.4f on %d rows%s\n", e.Diff, e.Rows, passed)
	}
	switch q := st.Proof; {
	case q != nil && q.By != "":
		fmt.Fprintf(t, "proof\tnone: %s skipped the stage %s at %s\n", text(q.By), text(q.Stage), stamp(q.At))
	case q != nil:
		fmt.Fprintf(t, "proof\tnot worse, by %.0f rows in the stage %s at %s\n", q.Rows, text(q.Stage), stamp(q.At))
	case st.Verdict == string(sequential.Inconclusive) && st.Needs > 0 && st.Needs < 1e9:
		fmt.Fprintf(t, "proof\tnone yet: it would take some %.0f rows\n", st.Needs)
	}
	for _, a := range st.Apart {
		fmt.Fprintf(t, "set apart\t%s: %s\n", text(a.Device), text(a.Reason))
	}
	if len(v.Devices) > 0 {
		fmt.Fprintln(t, "\nDEVICE\tLINK\tWANTED\tPHASE\tLABELLED\tCANDIDATE\tINCUMBENT\tP99\tREASON")
	}
	for _, d := range v.Devices {
		link, cand, inc := "no", "-", "-"
		if d.Connected {
			link = "yes"
		}
		if k := float64(d.Stats.Labelled); k > 0 {
			cand, inc = fmt.Sprintf("%.4f", d.Stats.SumCandidate/k), fmt.Sprintf("%.4f", d.Stats.SumIncumbent/k)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%.0f µs\t%s\n", d.Device, link, text(d.Wanted), text(d.Phase), d.Stats.Labelled, cand, inc, d.Stats.LatencyP99US, text(blamed(d)))
	}
	return t.Flush()
}
