package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/compute/feature/expression"
	"skerry.dev/compute/tabular"
	"skerry.dev/configs/commands"
	"skerry.dev/hub/fit"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
)

// chooseLearner decides between a search and one training of a named learner.
func chooseLearner(o *fit.Options, name string) error {
	search := o.Trials > 0 || o.Budget > 0 || o.Horizon > 0
	switch {
	case name == "auto" || name == "all":
		if len(o.Set) > 0 {
			return fmt.Errorf("--set is for a named --learner: %s", strings.Join(fit.Trainers(), ", "))
		}
		return nil
	case slices.Contains(fit.Trainers(), name) && !search:
		o.Learners, o.Direct = []string{name}, true
		return nil
	case name == "neural":
		name = "mlp" // as the search calls it
	}
	if !slices.Contains(selection.Learners(), name) {
		return fmt.Errorf("--learner %q: must be auto, %s (extra-trees only without a search)", name, strings.Join(fit.Trainers(), ", "))
	}
	o.Learners = []string{name}
	return nil
}

func fitCommand() *cobra.Command {
	var o fit.Options
	var learner, out, report string
	var seed uint64
	var own, transforms, text []string
	var table tableFlags
	c := &cobra.Command{
		Use:   "fit",
		Short: "Learn an artifact from a file; no fleet is needed",
		Long: "Automatic features, model selection and an artifact (*.skerry) from a CSV file with a header line, also compressed with gzip, or a Parquet file.\n\n" +
			"A named --learner without --trials or --budget is trained once, at its defaults and --set, on every row that is not for the test; auto searches learners and settings.\n\n" +
			"With --horizon and --time the rows are one device's readings and --target is forecast so far ahead; the newest fifth is the test. Without, every row stands for itself: classes when the target is text or at most ten " +
			"whole numbers (else give --kind), numbers otherwise; a fifth of the rows, chosen by their position (hash), is the test; with kfold every row is tested once. Columns of times and without values are left out, of a column's categories the 255 most frequent are told apart, and the report says so.\n\n" +
			"The same file, options and --seed with --trials give the same artifact, byte for byte, on the same architecture; a --budget makes it depend on the machine.",
		Example: "  skerry-hub fit --data adult.csv.gz --target income --split split=test --out income.skerry --json report.json\n" +
			"  skerry-hub fit --data station.csv --target pm25 --time ts --horizon 1h --trials 12 --out pm25.skerry\n" +
			"  skerry-hub fit --data station.csv --target pm25 --time ts --horizon 1h --feature 'dew_gap=temp - dewp' --feature 'traffic=no2 / max(o3, 1)' --out pm25.skerry\n" +
			"  skerry-hub fit --data station.csv --target pm25 --time ts --horizon 1h --transform 'wet=air.wasm:wet(temp, hum)' --transform 'trend=air.wasm:slope(pm25) over 24' --out pm25.skerry\n" +
			"  skerry-hub fit --data power.csv --target PE --learner gbdt --set rounds=300,leaves=15 --split kfold --out power.skerry --json -",
		RunE: func(c *cobra.Command, _ []string) error {
			o.Seed = seed
			notes, err := table.finish(c, &o.Table)
			if err != nil {
				return err
			}
			o.Table.Text = text
			if err := chooseLearner(&o, learner); err != nil {
				return err
			}
			for _, text := range own {
				name, expr, ok := strings.Cut(text, "=")
				if !ok {
					return fmt.Errorf("--feature %q: must be name=expression, for example gap=temp-dew", text)
				}
				o.Features = append(o.Features, spec.Feature{Name: strings.TrimSpace(name), Expr: expr})
			}
			modules, err := addTransforms(&o, transforms)
			if err != nil {
				return err
			}
			outputs := []commands.Output{{Flag: "--out", Path: out}, {Flag: "--json", Path: report}}
			if err := commands.CheckOutputs(outputs, append(modules, o.Data, o.Test)...); err != nil {
				return err
			}
			p := newProgress(c.ErrOrStderr())
			defer p.clear()
			began := time.Now()
			o.Progress = func(s selection.Progress) {
				best := ""
				if o.Direct && !math.IsNaN(s.Best) {
					best = fmt.Sprintf(", loss %.5g", s.Best)
				} else if !math.IsNaN(s.Best) {
					best = fmt.Sprintf(", best %s at %.3f of the baseline", s.Learner, s.Best)
				}
				p.show("%s %d/%d%s, %s", s.Stage, s.Done, s.Trials, best, time.Since(began).Round(time.Second))
			}
			r, b, err := fit.Run(c.Context(), o)
			if err != nil {
				return fmt.Errorf("fit: %w", err)
			}
			p.clear()
			r.Notes = *notes
			return deliver(c, r, b, out, report)
		},
	}
	fl := c.Flags()
	fl.StringVarP(&o.Data, "data", "d", "", "CSV or Parquet file to learn from")
	fl.StringVarP(&o.Target, "target", "t", "", "column to predict")
	fl.StringVar(&o.Time, "time", "", "column of the event time")
	table.bind(c)
	fl.DurationVar(&o.Horizon, "horizon", 0, "how far ahead to forecast, for example 1h")
	fl.StringVar(&o.Kind, "kind", "", "regression or classification (default by the target's values)")
	fl.StringVar(&learner, "learner", "auto", "auto (search), "+strings.Join(fit.Trainers(), ", "))
	fl.StringToStringVar((*map[string]string)(&o.Set), "set", nil, "settings of a named learner, for example rounds=200,leaves=63; a wrong name lists them")
	fl.StringVar(&o.Weight, "weight", "", "column of the rows' weights, for a named learner")
	fl.StringVar(&o.Test, "test", "", "CSV or Parquet file to test on")
	fl.StringVar(&o.Split, "split", "", "which rows are the test: time, hash, kfold, none, or column=value (default time with --time, else hash)")
	fl.StringSliceVar(&o.Drop, "drop", nil, "columns not to use")
	fl.StringVar(&o.Calendar.UTCOffset, "utc-offset", "", "what the wall clock shows where a forecast's readings come from, for example +08:00 (default UTC)")
	fl.StringSliceVar(&o.Calendar.Holidays, "holidays", nil, "local dates that are unlike other days to a forecast, for example 2026-12-25,2026-12-26")
	fl.StringArrayVar(&own, "feature", nil, "a user-defined column for every model of a search, name=expression: + - * / ( ), "+strings.Join(expression.Functions(), ", ")+"; may be given several times")
	fl.StringArrayVar(&transforms, "transform", nil, "a user-defined column that a WebAssembly module computes, name=file.wasm:function(column, column), with 'over 24' behind it for a function of the newest 24 rows; may be given several times")
	fl.StringSliceVar(&text, "text", nil, "columns to read as text, whatever they look like: postal codes, numbers that are names")
	fl.StringVar(&o.Task, "task", "", "name of the task the artifact is for (default: the target's)")
	fl.IntVar(&o.Threads, "threads", 2, "threads")
	fl.Uint64Var(&seed, "seed", 1, "seed of everything random")
	fl.IntVar(&o.Trials, "trials", 0, "settings to try; makes the result reproducible (default: as many as --budget allows, or until they gain nothing)")
	fl.DurationVar(&o.Budget, "budget", 0, "wall time of the selection (default 1m unless --trials is given)")
	fl.Int64Var(&o.MaxBytes, "max-bytes", 0, "largest artifact (default 4 MB for a search, no bound for a named learner)")
	fl.DurationVar(&o.MaxLatency, "max-latency", 0, "longest prediction, measured here (default no limit)")
	fl.StringVarP(&out, "out", "o", "", "artifact to write")
	commands.JSONFlag(c, &report)
	_, _ = c.MarkFlagRequired("data"), c.MarkFlagRequired("target") // the flags exist
	_ = c.RegisterFlagCompletionFunc("learner", cobra.FixedCompletions(append(fit.Trainers(), "auto"), cobra.ShellCompDirectiveNoFileComp))
	return c
}

// deliver writes the artifact, then the report: what the training took is not lost with a file that
// can be had again. The error names which of the two there are.
func deliver(c *cobra.Command, r *fit.Report, artifact []byte, out, report string) error {
	if out != "" {
		if err := commands.WriteFile(out, artifact); err != nil {
			return fmt.Errorf("the artifact is not written, nor is the report: %w", err)
		}
	}
	stdout, err := commands.EmitJSON(c, report, r)
	if err == nil && !stdout {
		err = writeFit(c.OutOrStdout(), r, out)
	}
	if err != nil && out != "" {
		return fmt.Errorf("the artifact is written, in %s, the report is not: %w", out, err)
	}
	return err
}

// tableFlags define how a table is written.
type tableFlags struct {
	commands.TableFlags
	notes  commands.Notes
	format string
}

func (t *tableFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&t.format, "time-format", "", "format of the time column: rfc3339, unix, unix_ms, unix_us, unix_ns or a layout such as \"%d/%m/%Y %H:%M\" (default: the common forms, UTC where there is no zone, and counts since 1970 by their size)")
	t.Bind(c.Flags())
}

// finish returns what the flags mean, and the notes to come.
func (t *tableFlags) finish(c *cobra.Command, o *tabular.Options) (*commands.Notes, error) {
	var err error
	if *o, err = t.Options(c.ErrOrStderr(), &t.notes); err != nil {
		return nil, err
	}
	o.TimeFormat = t.format
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("--time-format: %w", err)
	}
	return &t.notes, nil
}

func writeFit(w io.Writer, r *fit.Report, out string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	learner := r.Learner
	if r.Trials > 1 {
		learner = fmt.Sprintf("%s, the best of %d trials", r.Learner, r.Trials)
	}
	fmt.Fprintf(t, "%s of\t%s (task %s)\nlearner\t%s\nrows\t%d to learn from, %d to test (split by %s)\ncolumns\t%d inputs, %d features\n",
		r.Kind, r.Target, r.Task, learner, r.RowsTrain, r.RowsTest, r.Split, r.Inputs, r.Features)
	for _, d := range r.Dropped {
		fmt.Fprintf(t, "left out\t%s\n", d)
	}
	writeMetrics(t, r.Metrics)
	for i, g := range r.Importance[:min(len(r.Importance), 8)] {
		head := ""
		if i == 0 {
			head = "worth"
		}
		fmt.Fprintf(t, "%s\t%s %.4g\n", head, g.Feature, g.Gain)
	}
	fmt.Fprintf(t, "time\t%.1f s, peak memory %d MiB\nartifact\t%s, %d bytes", r.SecondsTrain, r.PeakRSS>>20, r.Digest, r.ArtifactBytes)
	if out != "" {
		fmt.Fprintf(t, ", in %s", out)
	}
	fmt.Fprintln(t)
	return t.Flush()
}

func writeMetrics(w io.Writer, m fit.Metrics) {
	for _, f := range []struct {
		name string
		v    *float64
	}{{"AUC", m.AUC}, {"accuracy", m.Accuracy}, {"log loss", m.LogLoss}, {"macro F1", m.MacroF1}, {"RMSE", m.RMSE}, {"MAE", m.MAE}, {"R²", m.R2}, {"MAE of the last value", m.MAELast},
		{"interval coverage", m.Coverage}} {
		if f.v != nil {
			fmt.Fprintf(w, "%s\t%.5g\n", f.name, *f.v)
		}
	}
}

func evaluateCommand() *cobra.Command {
	var o fit.EvaluateOptions
	var model, report string
	var table tableFlags
	c := &cobra.Command{
		Use:   "evaluate",
		Short: "Score an artifact on a file",
		Long: "Run an artifact over the rows of a CSV file, one after the other as a device would, and score it on those whose truth the file holds. Columns are found by the names of the artifact's inputs. " +
			"For a forecast the report counts how many rows are not newer than its training data.",
		Example: "  skerry-hub evaluate --model income.skerry --data adult-test.csv\n  skerry-hub evaluate --model pm25.skerry --data other-station.csv --time ts --json",
		RunE: func(c *cobra.Command, _ []string) error {
			a, _, err := readArtifact(model)
			if err != nil {
				return err
			}
			notes, err := table.finish(c, &o.Table)
			if err != nil {
				return err
			}
			if err := commands.CheckOutputs([]commands.Output{{Flag: "--json", Path: report}}, model, o.Data); err != nil {
				return err
			}
			e, err := fit.Evaluate(c.Context(), a, o)
			if err != nil {
				return fmt.Errorf("evaluate: %w", err)
			}
			e.Notes = *notes
			if done, err := commands.EmitJSON(c, report, e); done || err != nil {
				return err
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(t, "model\t%s (%s of task %s, %s)\nrows\t%d\n", e.Digest[:12], e.Kind, e.Task, e.Learner, e.Rows)
			if e.Seen != nil && *e.Seen > 0 {
				fmt.Fprintf(t, "\t%d of them are not newer than its training data\n", *e.Seen)
			}
			writeMetrics(t, e.Metrics)
			return t.Flush()
		},
	}
	fl := c.Flags()
	fl.StringVarP(&model, "model", "m", "", "artifact (*.skerry)")
	fl.StringVarP(&o.Data, "data", "d", "", "CSV or Parquet file")
	fl.StringVarP(&o.Target, "target", "t", "", "column of the truth (default: what the artifact predicts)")
	fl.StringVar(&o.Time, "time", "", "column of the event time, for a forecast")
	table.bind(c)
	commands.JSONFlag(c, &report)
	_, _ = c.MarkFlagRequired("model"), c.MarkFlagRequired("data") // the flags exist
	return c
}

func explainCommand() *cobra.Command {
	var o fit.ExplainOptions
	var model, report string
	var table tableFlags
	c := &cobra.Command{
		Use:   "explain",
		Short: "Say what moves an artifact's predictions",
		Long: "Shapley values of an artifact's features on rows of a CSV file: exact for trees and linear models, sampled for others, in the unit of the model's raw score. --permutation also shuffles every feature and reports how the " +
			"loss rises; --dependence shows the prediction as a function of one feature.",
		Example: "  skerry-hub explain --model income.skerry --data adult.csv.gz --rows 500\n  skerry-hub explain --model power.skerry --data power.csv --permutation --dependence AT --json report.json",
		RunE: func(c *cobra.Command, _ []string) error {
			a, _, err := readArtifact(model)
			if err != nil {
				return err
			}
			if _, err := table.finish(c, &o.Table); err != nil {
				return err
			}
			if err := commands.CheckOutputs([]commands.Output{{Flag: "--json", Path: report}}, model, o.Data); err != nil {
				return err
			}
			e, err := fit.Explain(c.Context(), a, o)
			if err != nil {
				return fmt.Errorf("explain: %w", err)
			}
			if done, err := commands.EmitJSON(c, report, e); done || err != nil {
				return err
			}
			return writeExplanation(c.OutOrStdout(), e)
		},
	}
	fl := c.Flags()
	fl.StringVarP(&model, "model", "m", "", "artifact (*.skerry)")
	fl.StringVarP(&o.Data, "data", "d", "", "CSV or Parquet file")
	fl.StringVarP(&o.Target, "target", "t", "", "column of the truth (default: what the artifact predicts)")
	fl.StringVar(&o.Time, "time", "", "column of the event time, for a forecast")
	table.bind(c)
	fl.StringVar(&o.Class, "class", "", "class to explain (default: the last)")
	fl.IntVar(&o.Rows, "rows", 0, "rows at most, evenly spread (default 1000)")
	fl.BoolVar(&o.Permutation, "permutation", false, "shuffle features and measure the loss")
	fl.StringVar(&o.Dependence, "dependence", "", "feature whose partial dependence to compute")
	fl.IntVar(&o.Points, "points", 0, "points of the dependence (default 20)")
	fl.BoolVar(&o.PerRow, "per-row", false, "put the contributions of every row into the report")
	fl.Uint64Var(&o.Seed, "seed", 1, "seed of samples and shuffles")
	fl.IntVar(&o.Threads, "threads", 2, "threads")
	commands.JSONFlag(c, &report)
	_, _ = c.MarkFlagRequired("model"), c.MarkFlagRequired("data") // the flags exist
	return c
}

func writeExplanation(w io.Writer, e *fit.Explanation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "model\t%s (%s of task %s, %s)\nmethod\t%s on %d rows, from %.5g\n", e.Digest[:12], e.Kind, e.Task, e.Learner, e.Method, e.Rows, e.Expected)
	if e.Class != "" {
		fmt.Fprintf(t, "class\t%s\n", e.Class)
	}
	fmt.Fprintln(t, "\nfeature\tmean |contribution|\tmean")
	for _, f := range e.Features {
		fmt.Fprintf(t, "%s\t%.5g\t%+.5g\n", f.Feature, f.MeanAbs, f.Mean)
	}
	if e.Permutation != nil {
		fmt.Fprintln(t, "\nshuffled\tloss rises by")
		for _, g := range e.Permutation {
			fmt.Fprintf(t, "%s\t%+.5g\n", g.Feature, g.Gain)
		}
	}
	if d := e.Dependence; d != nil {
		fmt.Fprintf(t, "\n%s\tprediction\n", d.Feature)
		for k, v := range d.Grid {
			fmt.Fprintf(t, "%.5g\t%.5g\n", v, d.Mean[k])
		}
	}
	return t.Flush()
}
