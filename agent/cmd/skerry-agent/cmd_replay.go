package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"skerry.dev/agent/replay"
	"skerry.dev/agent/source"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/online/forecast"
	"skerry.dev/compute/online/learner"
	"skerry.dev/compute/tabular"
	"skerry.dev/configs/commands"
	"skerry.dev/sync/spec"
)

// fileFlags define how to read a file of readings; every command that takes --data has them.
type fileFlags struct {
	data    string
	opts    source.FileOptions
	columns []string
	table   commands.TableFlags
	notes   commands.Notes
}

func (f *fileFlags) bind(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVarP(&f.data, "data", "d", "", "table with a header line: CSV, also compressed with gzip, or Parquet (full build)")
	fl.StringVar(&f.opts.Time, "time", "", "column of the event time, or several: year,month,day,hour (default ts, time, timestamp, date or datetime, else year,month,day,hour)")
	bindTimeFormat(fl, &f.opts.Format)
	fl.StringArrayVar(&f.columns, "column-series", nil, "a column that holds a series of another name, as column=series")
	f.table.Bind(fl)
	_ = c.MarkFlagRequired("data") // the flag exists
}

// bindTimeFormat adds --time-format, which was called --format.
func bindTimeFormat(fl *pflag.FlagSet, to *string) {
	fl.StringVar(to, "time-format", "", "format of the time column: rfc3339, unix, unix_ms, unix_us, unix_ns or a layout such as \"%d/%m/%Y %H:%M\" or \"02/01/2006 15:04\" (default: the common forms, UTC where there is no zone, and counts since 1970 by their size)")
	fl.StringVar(to, "format", "", "as --time-format")
	_ = fl.MarkHidden("format") // the flag exists
}

// finish checks the flags, once they are known.
func (f *fileFlags) finish(c *cobra.Command) (err error) {
	if f.opts.Table, err = f.table.Options(c.ErrOrStderr(), &f.notes); err != nil {
		return err
	}
	if err := tabular.CheckTimeFormat(f.opts.Format); err != nil {
		return fmt.Errorf("--time-format: %w", err)
	}
	for _, s := range f.columns {
		col, series, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("--column-series %q: must be column=series", s)
		}
		if f.opts.Columns == nil {
			f.opts.Columns = map[string]string{}
		}
		f.opts.Columns[col] = series
	}
	return nil
}

// readModel reads an artifact file and runs its self-test.
func readModel(path string) (*artifact.Artifact, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	a, err := artifact.Decode(f, st.Size())
	if err == nil {
		err = a.SelfTest()
	}
	if err != nil {
		return nil, fmt.Errorf("read model %s: %w", path, err)
	}
	return a, nil
}

// readTask reads one task file.
func readTask(path string) (*spec.Task, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read task: %w", err)
	}
	defer f.Close()
	return spec.ParseTask(path, f)
}

func newReplayCommand() *cobra.Command {
	var files fileFlags
	var task, model, activate, out, to string
	var table tableFlags
	var ahead forecastFlags
	c := &cobra.Command{
		Use:   "replay",
		Short: "Run a task, or online learners, over a file as if it were live",
		Long: "With --task, run the task's engine over a file, one message per line: predict, score when the truth comes, then learn. Nothing is published or stored.\n\n" +
			"With --model the artifact becomes the champion at --activate-at (default: from the first line on); the summary reports how many of its labels lie in its training data.\n\n" +
			"With --target, run online learners over a table: each row is predicted, then scored, then learned, --delay rows later. The baselines are the newest known label, and the most frequent class or the mean. With --model the hub's model joins them, by itself and with a local corrector. Rows count from 0.\n\n" +
			"With --forecast, forecast the column --target that many rows ahead after each row, from its own past alone; rows are taken for equally far apart. Forecasts are scored when their row comes, at the horizon and as the mean over all horizons up to it, beside the last value and the value one season ago.\n\n" +
			"Learners of a --forecast:\n  " + strings.Join(forecast.Describe(), "\n  ") + "\n\n" +
			"Learners:\n  auto                   a committee of the best for most streams, which also sees the newest labels\n  " + strings.Join(learner.Describe(), "\n  "),
		Example: "  skerry-agent replay --task pm25.yaml --data station.csv.gz\n  skerry-agent replay --task pm25.yaml --data station.csv.gz --model pm25.skerry --activate-at 2015-01-01T00:00:00Z --json\n" +
			"  skerry-agent replay --task pm25.yaml --data station.csv.gz --out labels.csv\n" +
			"  skerry-agent replay --data elec2.csv.gz --target class --learner adaptive-forest --detector adwin --json report.json --plot error.svg\n" +
			"  skerry-agent replay --data etth1.csv.gz --target OT --forecast 24 --season 24,168 --plot error.svg",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := files.finish(cmd); err != nil {
				return err
			}
			outputs := []commands.Output{{Flag: "--out", Path: out}, {Flag: "--json", Path: to}, {Flag: "--plot", Path: table.plot}}
			if err := commands.CheckOutputs(outputs, files.data, model, task); err != nil {
				return err
			}
			if (task == "") == (table.target == "") {
				return errors.New("give a --task, or a --target of a table")
			}
			others := slices.Concat(table.own(), ahead.own())
			if task == "" {
				others = []string{"activate-at", "column-series", "arrival"}
			}
			for _, name := range others {
				if cmd.Flags().Changed(name) {
					return fmt.Errorf("--%s does not go with --%s", name, map[bool]string{
						true:  "target",
						false: "task",
					}[task == ""])
				}
			}
			if wanted, err := ahead.asked(cmd); wanted || err != nil {
				if err != nil {
					return err
				}
				return ahead.run(cmd, &files, &table, to, out)
			}
			if task == "" {
				return table.run(cmd, &files, model, to, out)
			}
			opts := replay.Options{}
			if opts.Task, err = readTask(task); err != nil {
				return err
			}
			if model != "" {
				if opts.Model, err = readModel(model); err != nil {
					return err
				}
			}
			if activate != "" {
				if model == "" {
					return errors.New("--activate-at needs a --model")
				}
				t, err := parseInstant(activate)
				if err != nil {
					return fmt.Errorf("--activate-at %q: must be a time such as 2015-01-01T00:00:00Z or 2015-01-01", activate)
				}
				opts.ActivateAt = t.UnixMicro()
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.clear()
			opts.Progress = func(n int, at int64) { p.show("%d messages, %s", n, time.UnixMicro(at).UTC().Format(time.DateTime)) }
			done := func(bool) error { return nil }
			if out != "" {
				w, closer, err := createCSV(cmd, out)
				if err != nil {
					return err
				}
				done = closer
				fmt.Fprintln(w, "row,at,truth,prediction,lower,upper,last_value,model,model_digest")
				opts.Label = func(l engine.Label) error {
					value := number
					if l.Classes > 2 { // whose numbers are those of classes
						value = func(v float64) string { return nameOf(opts.Task.Target.Categories, v) }
					}
					_, err := fmt.Fprintf(w, "%s,%s,%s,%s,%s,%s,%s,%s,%s\n", stampCSV(l.Row), stampCSV(l.At), value(l.Truth), value(l.Predicted), number(l.Lower), number(l.Upper), value(l.Persistence), value(l.Champion), l.ChampionID)
					return err
				}
			}
			s, err := replay.File(cmd.Context(), files.data, files.opts, opts)
			if err = errors.Join(err, done(err == nil)); err != nil {
				return err
			}
			p.clear()
			if quiet, err := commands.EmitJSON(cmd, to, s); quiet || err != nil || out == "-" {
				return err
			}
			return writeReplay(cmd.OutOrStdout(), s)
		},
	}
	files.bind(c)
	fl := c.Flags()
	fl.StringVarP(&task, "task", "t", "", "task file")
	fl.StringVarP(&model, "model", "m", "", "artifact (*.skerry) to run as the champion, or beside the learners of a table")
	fl.StringVar(&activate, "activate-at", "", "event time from which --model is the champion (default: the first line)")
	fl.StringVarP(&out, "out", "o", "", "write every label as CSV to this file, - for standard output")
	fl.StringVar(&files.opts.Arrival, "arrival", "", "column of the time at which the device received the line, for a day recorded live")
	table.bind(c)
	ahead.bind(c)
	commands.JSONFlag(c, &to)
	return c
}

func parseInstant(s string) (time.Time, error) {
	var err error
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		var t time.Time
		if t, err = time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, err
}

func writeReplay(w io.Writer, s *replay.Summary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "task\t%s\n", s.Task)
	fmt.Fprintf(t, "data\t%s, %s to %s\n", filepath.Base(s.File), s.From.Format(time.DateTime), s.To.Format(time.DateTime))
	fmt.Fprintf(t, "rows\t%d of %d messages, %d labels", s.Rows, s.Messages, s.Labels)
	for _, x := range []struct {
		n    int64
		what string
	}{{s.Late, "late"}, {s.Repeats, "repeated"}, {s.Conflicts, "in conflict"}, {s.OutOfRange, "out of range"}} {
		if x.n > 0 {
			fmt.Fprintf(t, ", %d readings %s", x.n, x.what)
		}
	}
	fmt.Fprintln(t)
	if s.Kind == string(spec.KindAnomaly) {
		return writeAnomalies(t, s)
	}
	if c := s.Classes; s.Labels == 0 {
		fmt.Fprintf(t, "error\tunknown: no truth has come for any row, so that there is nothing to judge by\n")
	} else if c != nil {
		fmt.Fprintf(t, "error\t%.1f %% wrong, log loss %s; baseline %.1f %%, %s\n", 100*c.ErrorRate, figure(c.LogLoss), 100*c.ErrorRateLast, figure(c.LogLossLast))
		fmt.Fprintf(t, "sets\t%.1f %% of truths in a nominal %.0f %%, %.2f classes in the mean\n", 100*s.Coverage, 100*s.Nominal, c.SetSize)
	} else {
		fmt.Fprintf(t, "error\t%s, last value %s, ratio %s\n", figure(s.MAE), figure(s.MAELast), figure(s.Ratio))
		fmt.Fprintf(t, "interval\t%.1f %% of truths in a nominal %.0f %%; score %s, of the last value's error quantiles %s\n", 100*s.Coverage, 100*s.Nominal, figure(s.IntervalScore), figure(s.IntervalLast))
	}
	names := make([]string, 0, len(s.Experts))
	for _, x := range s.Experts {
		names = append(names, fmt.Sprintf("%s %.2f (loss %s)", x.Name, x.Weight, figure(x.Loss)))
	}
	fmt.Fprintf(t, "experts\t%s\n", strings.Join(names, ", "))
	if m, c := s.Model, s.Classes; m != nil && c != nil {
		fmt.Fprintf(t, "model\t%s from %s on: log loss %s on %d labels\n", m.Digest[:12], m.ActivatedAt.Format(time.DateTime), figure(c.LogLossModel), m.Labels)
	} else if m != nil {
		fmt.Fprintf(t, "model\t%s from %s on: error %s, published %s, last value %s, ratio %s on %d labels\n", m.Digest[:12], m.ActivatedAt.Format(time.DateTime), figure(m.MAE), figure(m.Published), figure(m.Last), figure(m.Ratio), m.Labels)
	}
	if m := s.Model; m != nil && m.Seen > 0 {
		fmt.Fprintf(t, "\t%d of these labels lie before %s, in its training data: judge it from there on with --activate-at\n", m.Seen, m.TrainTo.Format(time.DateTime))
	}
	drifts := slices.DeleteFunc(slices.Clone(s.Events), func(e replay.Event) bool { return e.Kind == string(engine.EventGivenUp) })
	fmt.Fprintf(t, "drift\t%d events\n", len(drifts))
	for _, e := range drifts {
		what := e.Detector
		if e.Series != "" {
			what = strings.Join(append([]string{e.Series}, e.Others...), ", ")
		}
		if e.Kind != string(engine.EventInputBack) {
			what += "  " + figure(e.Value)
		}
		fmt.Fprintf(t, "\t%s  %s  %s\n", e.Time.Format(time.DateTime), e.Kind, what)
	}
	return t.Flush()
}

// createCSV opens a file to write, or standard output for "-"; close it with the function
// returned. What is written comes to the file as a whole when keep is true, and not at all else.
// That it is none of the files that are read, see [commands.CheckOutputs].
func createCSV(cmd *cobra.Command, path string) (w *bufio.Writer, done func(keep bool) error, err error) {
	if path == "-" {
		w := bufio.NewWriter(cmd.OutOrStdout())
		return w, func(bool) error { return w.Flush() }, nil
	}
	f, err := commands.CreateFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("create --out: %w", err)
	}
	w = bufio.NewWriter(f)
	return w, func(keep bool) error {
		if !keep {
			return f.Discard()
		}
		return errors.Join(w.Flush(), f.Commit())
	}, nil
}

// writeAnomalies lists when the rows of an anomaly task began to be unusual.
func writeAnomalies(t *tabwriter.Writer, s *replay.Summary) error {
	fmt.Fprintf(t, "anomalies\t%d\n", len(s.Events))
	for _, e := range s.Events {
		fmt.Fprintf(t, "\t%s  %s  %s\n", e.Time.Format(time.DateTime), e.Detector, figure(e.Value))
	}
	return t.Flush()
}

// number writes a value for CSV, empty when it is missing.
func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// nameOf is a class's name as a cell of a CSV, "" for none.
func nameOf(names []string, v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	name := names[int(v)]
	if strings.ContainsAny(name, ",\"\r\n") {
		name = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return name
}

func stampCSV(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }

// progress is a line on a terminal that is written over while work goes on. On anything else it
// writes nothing.
type progress struct {
	w     io.Writer
	on    bool
	shown time.Time
	width int
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		st, err := f.Stat()
		p.on = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// show prints a text, ten times a second at most.
func (p *progress) show(format string, args ...any) {
	if !p.on || time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = time.Now()
	text := fmt.Sprintf(format, args...)
	n := utf8.RuneCountInString(text)
	fmt.Fprintf(p.w, "\r%s%s", text, strings.Repeat(" ", max(p.width-n, 0)))
	p.width = n
}

func (p *progress) clear() {
	if p.on && p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}
