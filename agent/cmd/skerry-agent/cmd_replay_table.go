package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/online/forecast"
	"skerry.dev/compute/online/learner"
	"skerry.dev/compute/prequential"
	"skerry.dev/configs/commands"
)

// tableFlags are those of a replay of a table, without a task.
type tableFlags struct {
	target, kind, detector string
	learners, drop         []string
	set, detectorSet       map[string]string
	delay                  int
	level                  float64
	seed                   uint64
	plot                   string
}

func (t *tableFlags) bind(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&t.target, "target", "", "column to predict, for a table without a task")
	fl.StringVar(&t.kind, "kind", "", "classification or regression (default: classes when the target is text or up to ten whole numbers)")
	fl.StringSliceVarP(&t.learners, "learner", "l", nil, "learners, separated by commas; several predict together (default auto, which also sees the newest labels)")
	fl.StringToStringVar(&t.set, "set", nil, "settings of the learner, k=v separated by commas")
	fl.StringSliceVar(&t.drop, "drop", nil, "columns that are no inputs")
	fl.StringVar(&t.detector, "detector", "", "drift detector on the errors (default none)")
	fl.StringToStringVar(&t.detectorSet, "detector-set", nil, "settings of the detector, k=v separated by commas")
	fl.IntVar(&t.delay, "delay", 0, "rows that are predicted before a row's label is known")
	fl.Float64Var(&t.level, "interval", 0.9, "nominal coverage of intervals, or of sets of classes, 0.5 to 0.999")
	fl.Uint64Var(&t.seed, "seed", 1, "seed of everything random")
	fl.StringVar(&t.plot, "plot", "", "draw the error over the rows to this SVG file")
	_ = c.RegisterFlagCompletionFunc("learner", cobra.FixedCompletions(append([]cobra.Completion{prequential.Auto}, union(union(learner.Names(true), learner.Names(false)), forecast.Names())...), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("detector", cobra.FixedCompletions(drift.Names(), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]cobra.Completion{"classification", "regression"}, cobra.ShellCompDirectiveNoFileComp))
}

func union(a, b []string) []string {
	out := append([]string(nil), a...)
	for _, s := range b {
		found := false
		for _, o := range a {
			found = found || o == s
		}
		if !found {
			out = append(out, s)
		}
	}
	return out
}

// own lists the flags that belong to tables only.
func (t *tableFlags) own() []string {
	return []string{"kind", "learner", "set", "drop", "detector", "detector-set", "delay", "interval", "seed", "plot"}
}

func (t *tableFlags) run(cmd *cobra.Command, files *fileFlags, model, to, out string) (err error) {
	if !(t.level >= 0.5 && t.level <= 0.999) {
		return fmt.Errorf("--interval %v: must be 0.5 to 0.999", t.level)
	}
	o := prequential.TableOptions{
		Name:     filepath.Base(files.data),
		Target:   t.target,
		Time:     files.opts.Time,
		Table:    files.opts.Table,
		Drop:     t.drop,
		Kind:     t.kind,
		Learners: t.learners,
		Set:      t.set,
		Watching: t.detector,
		Delay:    t.delay,
		Level:    t.level,
		Seed:     t.seed,
	}
	if model != "" {
		if o.Model, err = readModel(model); err != nil {
			return err
		}
	}
	switch {
	case t.detector != "":
		if o.Detector, err = drift.New(t.detector, t.detectorSet); err != nil {
			return fmt.Errorf("--detector: %w", err)
		}
	case len(t.detectorSet) > 0:
		return errors.New("--detector-set needs a --detector")
	}
	o.Table.TimeFormat = files.opts.Format
	in, err := openData(cmd, files.data)
	if err != nil {
		return err
	}
	defer in.Close()
	p := newProgress(cmd.ErrOrStderr())
	defer p.clear()
	o.Progress = p.rows
	visit, done, err := rowsCSV(cmd, out, true)
	if err != nil {
		return err
	}
	o.Visit = visit
	r, err := prequential.Table(cmd.Context(), in, o)
	if err = errors.Join(err, done(err == nil)); err != nil {
		return err
	}
	p.clear()
	if t.plot != "" {
		if err := writePlot(t.plot, r); err != nil {
			return err
		}
	}
	if quiet, err := commands.EmitJSON(cmd, to, r); quiet || err != nil || out == "-" {
		return err
	}
	return writeTable(cmd.OutOrStdout(), r)
}

// rows shows how many rows of a table are done.
func (p *progress) rows(row, rows int) {
	p.show("%d of %d rows, %.0f %%", row, rows, 100*float64(row)/float64(max(rows, 1)))
}

// rowsCSV returns what writes each row of a replay to the file out, with its set of classes when
// sets is true, and what ends the file; visit is nil when out is empty.
func rowsCSV(cmd *cobra.Command, out string, sets bool) (visit func(*prequential.TableRow) error, done func(keep bool) error, err error) {
	if out == "" {
		return nil, func(bool) error { return nil }, nil
	}
	w, done, err := createCSV(cmd, out)
	if err != nil {
		return nil, nil, err
	}
	header := "row,truth,prediction,lower,upper"
	if sets {
		header += ",set"
	}
	fmt.Fprintln(w, header)
	return func(r *prequential.TableRow) error {
		fmt.Fprintf(w, "%d,%s,%s,%s,%s", r.Row, number(r.Truth), number(r.Predicted), number(r.Lower), number(r.Upper))
		if sets {
			fmt.Fprintf(w, ",%s", set(r.Set))
		}
		return w.WriteByte('\n')
	}, done, nil
}

// set writes the numbers of the classes of a set, separated by blanks.
func set(in []bool) string {
	var b strings.Builder
	for c, ok := range in {
		if ok {
			fmt.Fprintf(&b, "%d ", c)
		}
	}
	return strings.TrimSpace(b.String())
}

func writePlot(path string, r *prequential.TableReport) error {
	var b bytes.Buffer
	if err := r.WritePlot(&b); err != nil {
		return err
	}
	return commands.WriteFile(path, b.Bytes())
}

func writeTable(w io.Writer, r *prequential.TableReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "data\t%s, %d labelled rows, %s of %s", r.File, r.Rows, r.Kind, r.Target)
	if r.Delay > 0 {
		fmt.Fprintf(t, ", labels %d rows late", r.Delay)
	}
	fmt.Fprintf(t, "\nlearner\t%s, %.0f rows a second, %d KiB of state\n", r.Learner, r.Speed, (r.Bytes+1023)/1024)
	for _, d := range r.Dropped {
		fmt.Fprintf(t, "left out\t%s\n", d)
	}
	names := []string{r.Learner, "last", "majority"}
	all := []*prequential.TableMetrics{r.Metrics, r.Baselines["last"], r.Baselines["majority"]}
	if r.Kind != "classification" {
		names[2], all[2] = "mean", r.Baselines["mean"]
	}
	fmt.Fprintf(t, "\n\t%s\n", strings.Join(names, "\t"))
	for _, m := range []struct {
		name string
		of   func(*prequential.TableMetrics) *float64
	}{
		{"accuracy", func(m *prequential.TableMetrics) *float64 { return m.Accuracy }}, {"kappa", func(m *prequential.TableMetrics) *float64 { return m.Kappa }},
		{"macro F1", func(m *prequential.TableMetrics) *float64 { return m.MacroF1 }}, {"log loss", func(m *prequential.TableMetrics) *float64 { return m.LogLoss }},
		{"MAE", func(m *prequential.TableMetrics) *float64 { return m.MAE }}, {"RMSE", func(m *prequential.TableMetrics) *float64 { return m.RMSE }},
		{"R²", func(m *prequential.TableMetrics) *float64 { return m.R2 }}, {"coverage", func(m *prequential.TableMetrics) *float64 { return m.Coverage }},
		{"interval width", func(m *prequential.TableMetrics) *float64 { return m.Width }}, {"classes in a set", func(m *prequential.TableMetrics) *float64 { return m.SetSize }}, {"worst coverage of 500", func(m *prequential.TableMetrics) *float64 { return m.Worst }},
	} {
		if m.of(all[0]) == nil {
			continue
		}
		fmt.Fprintf(t, "%s", m.name)
		for _, x := range all {
			if v := m.of(x); v != nil {
				fmt.Fprintf(t, "\t%s", figure(*v))
			} else {
				fmt.Fprint(t, "\t")
			}
		}
		fmt.Fprintln(t)
	}
	if len(r.Experts) > 1 {
		fmt.Fprintln(t, "\nexpert\tloss\tweight")
		for _, e := range r.Experts {
			fmt.Fprintf(t, "%s\t%s\t%.3f\n", e.Name, figure(e.Loss), e.Weight)
		}
	}
	if r.Detector != "" {
		fmt.Fprintf(t, "\n%s\t%d drifts", r.Detector, len(r.Drifts))
		for k, row := range r.Drifts {
			if k == 20 {
				fmt.Fprintf(t, ", …")
				break
			}
			fmt.Fprintf(t, "%s%d", map[bool]string{true: ": rows ", false: ", "}[k == 0], row)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
