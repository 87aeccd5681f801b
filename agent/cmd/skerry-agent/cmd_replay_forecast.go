package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skerry.dev/compute/online/forecast"
	"skerry.dev/compute/prequential"
	"skerry.dev/configs/commands"
)

// forecastFlags are those of a forecast of a table's column; what it shares with a replay of a
// table is in tableFlags.
type forecastFlags struct {
	horizon int
	season  []int
}

func (f *forecastFlags) bind(c *cobra.Command) {
	fl := c.Flags()
	fl.IntVar(&f.horizon, "forecast", 0, fmt.Sprintf("forecast the --target so many rows ahead, 1 to %d, instead of predicting it from the other columns", forecast.MaxHorizon))
	fl.IntSliceVar(&f.season, "season", nil, "rows after which the --forecast's pattern repeats, up to two, such as 24,168; 0 for none (default: found in the first rows)")
	_ = c.RegisterFlagCompletionFunc("forecast", cobra.NoFileCompletions)
	_ = c.RegisterFlagCompletionFunc("season", cobra.FixedCompletions([]cobra.Completion{
		cobra.CompletionWithDesc("0", "none"), cobra.CompletionWithDesc("24", "hours of a day"), cobra.CompletionWithDesc("24,168", "hours of a day and of a week"), cobra.CompletionWithDesc("96,672", "quarters of an hour")}, cobra.ShellCompDirectiveNoFileComp))
}

// own lists the flags that belong to forecasts only.
func (f *forecastFlags) own() []string { return []string{"forecast", "season"} }

// asked reports whether a forecast is requested, and what does not go with it or without it.
func (f *forecastFlags) asked(cmd *cobra.Command) (bool, error) {
	if !cmd.Flags().Changed("forecast") {
		if cmd.Flags().Changed("season") {
			return false, errors.New("--season needs a --forecast")
		}
		return false, nil
	}
	for _, name := range []string{"time", "model", "kind", "set", "drop", "detector", "detector-set", "delay", "seed"} {
		if cmd.Flags().Changed(name) {
			return true, fmt.Errorf("--%s does not go with --forecast", name)
		}
	}
	return true, nil
}

// seasons returns what was given: nil for nothing, empty for none.
func (f *forecastFlags) seasons() ([]int, error) {
	if slices.Equal(f.season, []int{0}) {
		return []int{}, nil
	}
	for _, n := range f.season {
		if n < 2 || n > forecast.MaxSeason {
			return nil, fmt.Errorf("--season %d: must be 2 to %d rows, or 0 alone for none", n, forecast.MaxSeason)
		}
	}
	if len(f.season) > forecast.MaxSeasons {
		return nil, fmt.Errorf("--season: %d seasons, must be up to %d", len(f.season), forecast.MaxSeasons)
	}
	s := slices.Sorted(slices.Values(f.season))
	if len(s) == 2 && s[0] == s[1] {
		return nil, fmt.Errorf("--season: %d is given twice", s[0])
	}
	return s, nil
}

func (f *forecastFlags) run(cmd *cobra.Command, files *fileFlags, t *tableFlags, to, out string) error {
	if f.horizon < 1 || f.horizon > forecast.MaxHorizon {
		return fmt.Errorf("--forecast %d: must be 1 to %d rows", f.horizon, forecast.MaxHorizon)
	}
	if !(t.level >= 0.5 && t.level <= 0.999) {
		return fmt.Errorf("--interval %v: must be 0.5 to 0.999", t.level)
	}
	o := prequential.ForecastOptions{
		Name:    filepath.Base(files.data),
		Target:  t.target,
		Table:   files.opts.Table,
		Horizon: f.horizon,
		Level:   t.level,
	}
	switch {
	case len(t.learners) > 1:
		return fmt.Errorf("--learner %s: a forecast has one of %s", strings.Join(t.learners, ","), strings.Join(forecast.Names(), ", "))
	case len(t.learners) == 1:
		if o.Learner = t.learners[0]; !slices.Contains(forecast.Names(), o.Learner) {
			return fmt.Errorf("--learner %q: a forecast has one of %s", o.Learner, strings.Join(forecast.Names(), ", "))
		}
	}
	var err error
	if o.Seasons, err = f.seasons(); err != nil {
		return err
	}
	in, err := openData(cmd, files.data)
	if err != nil {
		return err
	}
	defer in.Close()
	p := newProgress(cmd.ErrOrStderr())
	defer p.clear()
	o.Progress = p.rows
	visit, done, err := rowsCSV(cmd, out, false)
	if err != nil {
		return err
	}
	o.Visit = visit
	r, err := prequential.Forecast(cmd.Context(), in, o)
	if err = errors.Join(err, done(err == nil)); err != nil {
		return err
	}
	p.clear()
	if t.plot != "" {
		if err := drawForecast(t.plot, r); err != nil {
			return err
		}
	}
	if quiet, err := commands.EmitJSON(cmd, to, r); quiet || err != nil || out == "-" {
		return err
	}
	return writeForecast(cmd.OutOrStdout(), r, t.level)
}

func drawForecast(path string, r *prequential.ForecastReport) error {
	var b bytes.Buffer
	if err := r.WritePlot(&b); err != nil {
		return err
	}
	return commands.WriteFile(path, b.Bytes())
}

func writeForecast(w io.Writer, r *prequential.ForecastReport, level float64) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "data\t%s, %d rows of %s, %d rows ahead\n", r.File, r.Rows, r.Target, r.Horizon)
	season := strings.Trim(strings.ReplaceAll(fmt.Sprint(r.Season), " ", " and "), "[]") + " rows"
	if len(r.Season) == 0 {
		season = "none"
	}
	switch {
	case r.Found && len(r.Season) == 0:
		season += " found in the first rows"
	case r.Found:
		season += ", found in the first rows"
	}
	fmt.Fprintf(t, "season\t%s\nlearner\t%s, %.0f rows a second, %d KiB of state\n", season, r.Learner, r.Speed, (r.Bytes+1023)/1024)
	all := []*prequential.ForecastMetrics{r.Metrics, r.Baselines["last"], r.Baselines["seasonal"]}
	fmt.Fprintf(t, "\n\t%s\tlast\tseasonal\n", r.Learner)
	for _, at := range []struct {
		when string
		of   func(*prequential.ForecastMetrics) *prequential.ForecastErrors
	}{{fmt.Sprintf("%d ahead", r.Horizon), func(m *prequential.ForecastMetrics) *prequential.ForecastErrors { return &m.ForecastErrors }}, {fmt.Sprintf("mean of 1 to %d", r.Horizon), func(m *prequential.ForecastMetrics) *prequential.ForecastErrors { return m.Mean }}} {
		for _, m := range []struct {
			name string
			of   func(*prequential.ForecastErrors) *float64
		}{{"MAE", func(e *prequential.ForecastErrors) *float64 { return e.MAE }}, {"RMSE", func(e *prequential.ForecastErrors) *float64 { return e.RMSE }},
			{"sMAPE", func(e *prequential.ForecastErrors) *float64 { return e.SMAPE }}, {"MASE", func(e *prequential.ForecastErrors) *float64 { return e.MASE }}} {
			fmt.Fprintf(t, "%s, %s", m.name, at.when)
			for _, x := range all {
				v := "-"
				if e := m.of(at.of(x)); e != nil {
					v = figure(*e)
				}
				fmt.Fprintf(t, "\t%s", v)
			}
			fmt.Fprintln(t)
		}
	}
	if m := r.Metrics; m.Coverage != nil {
		fmt.Fprintf(t, "interval, %d ahead\t%.1f %% of truths in a nominal %g %%, %s wide\n", r.Horizon, 100**m.Coverage, 100*level, figure(*m.Width))
	}
	if len(r.Experts) > 0 {
		fmt.Fprintln(t, "\nexpert\trecent loss\tweight")
		for _, e := range r.Experts {
			fmt.Fprintf(t, "%s\t%s\t%.3f\n", e.Name, figure(e.Loss), e.Weight)
		}
	}
	return t.Flush()
}
