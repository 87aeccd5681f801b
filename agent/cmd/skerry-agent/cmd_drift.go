package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/compute/drift"
)

// alarm is a place where a detector found a drift.
type alarm struct {
	Index int     `json:"index"` // of the value among the present ones, from 0
	Line  int     `json:"line"`  // of the file, the header is line 1
	Time  string  `json:"time,omitempty"`
	Value float64 `json:"value"` // at the alarm; for ks the distance
}

type driftReport struct {
	File     string             `json:"file"`
	Column   string             `json:"column"`
	Detector string             `json:"detector"`
	Params   map[string]float64 `json:"params"`
	Values   int                `json:"values"`
	Missing  int                `json:"missing"`
	Alarms   []alarm            `json:"alarms"`
}

// driftFlags are the settings of all detectors; which of them apply depends on the detector.
type driftFlags struct {
	data, column, timeColumn, detector  string
	where                               string
	delta, threshold, alpha             float64
	clock, minWindow, grace, minSamples int64
	reference, window, every            int
}

// own are the flags of each detector; any other of them is an error, not a setting without effect.
var own = map[string][]string{
	"adwin":        {"delta", "clock", "min-window", "grace"},
	"page-hinkley": {"min-samples", "delta", "threshold", "alpha"},
	"ks":           {"reference", "window", "every", "alpha"},
}

func newDriftCommand() *cobra.Command {
	var f driftFlags
	asJSON := false
	c := &cobra.Command{
		Use:   "drift",
		Short: "Run a drift detector over a column of a file",
		Long: "Feed the numbers of a column to a detector, line by line, and print where it alarms. Empty cells are left out.\n\n" +
			"adwin         the mean changed; --delta 0.002 --clock 32 --min-window 5 --grace 10\n" +
			"page-hinkley  the mean rose; --min-samples 30 --delta 0.005 --threshold 50 --alpha 0.9999. Threshold and delta are in units of the column\n" +
			"ks            the distribution left that of the first --reference 1000 values; --window 128 --every 64 --alpha 0.001. It alarms again only after the distance has halved",
		Example: "  skerry-agent drift --data errors.csv --column error --detector adwin\n  skerry-agent drift --data station.csv.gz --column PM2.5 --detector ks --reference 8760 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			params, feed, err := f.build(cmd)
			if err != nil {
				return err
			}
			rep := driftReport{File: f.data, Column: f.column, Detector: f.detector, Params: params, Alarms: []alarm{}}
			p := newProgress(cmd.ErrOrStderr())
			defer p.clear()
			err = f.each(cmd, func(line int, at string, v float64) {
				if v != v {
					rep.Missing++
					return
				}
				if x, hit := feed(v); hit {
					rep.Alarms = append(rep.Alarms, alarm{rep.Values, line, at, x})
				}
				if rep.Values++; rep.Values%4096 == 0 {
					p.say("%d values, %d alarms", rep.Values, len(rep.Alarms))
				}
			})
			if err != nil {
				return fmt.Errorf("read %s: %w", f.data, err)
			}
			p.clear()
			if rep.Values == 0 {
				return fmt.Errorf("read %s: column %q holds no number", f.data, f.column)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), rep)
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "%s over %d values of %s: %d alarms\n", f.detector, rep.Values, f.column, len(rep.Alarms))
			for _, a := range rep.Alarms {
				fmt.Fprintf(w, "%d  line %d  %s  %.5g\n", a.Index, a.Line, a.Time, a.Value)
			}
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVarP(&f.data, "data", "d", "", "CSV file with a header line, also compressed with gzip, - for standard input")
	fl.StringVarP(&f.column, "column", "c", "", "column to watch")
	fl.StringVar(&f.detector, "detector", "adwin", "adwin, page-hinkley or ks")
	fl.StringVar(&f.timeColumn, "time", "", "column to print with an alarm (default ts, time, timestamp, date or datetime, when there is one)")
	fl.StringVar(&f.where, "where", "", "only lines whose column has this value, as column=value, for files that hold several streams")
	fl.Float64Var(&f.delta, "delta", 0, "adwin: confidence; page-hinkley: tolerated rise")
	fl.Int64Var(&f.clock, "clock", 0, "adwin: values between checks")
	fl.Int64Var(&f.minWindow, "min-window", 0, "adwin: smallest part compared")
	fl.Int64Var(&f.grace, "grace", 0, "adwin: window below which nothing is checked")
	fl.Int64Var(&f.minSamples, "min-samples", 0, "page-hinkley: values before the first alarm")
	fl.Float64Var(&f.threshold, "threshold", 0, "page-hinkley: cumulative rise that alarms")
	fl.Float64Var(&f.alpha, "alpha", 0, "page-hinkley: forgetting factor; ks: probability of a false alarm at one look")
	fl.IntVar(&f.reference, "reference", 1000, "ks: first values, which the others are compared with")
	fl.IntVar(&f.window, "window", 128, "ks: newest values compared")
	fl.IntVar(&f.every, "every", 64, "ks: values between comparisons")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	_, _ = c.MarkFlagRequired("data"), c.MarkFlagRequired("column") // the flags exist
	_ = c.RegisterFlagCompletionFunc("detector", cobra.FixedCompletions([]cobra.Completion{"adwin", "page-hinkley", "ks"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// build makes the detector: a function that takes a value and tells whether it alarms, and with which figure.
func (f *driftFlags) build(cmd *cobra.Command) (map[string]float64, func(float64) (float64, bool), error) {
	mine, ok := own[f.detector]
	if !ok {
		return nil, nil, fmt.Errorf("--detector %q: must be adwin, page-hinkley or ks", f.detector)
	}
	set := cmd.Flags().Changed
	for _, names := range own {
		for _, n := range names {
			if set(n) && !slices.Contains(mine, n) {
				return nil, nil, fmt.Errorf("--%s is no setting of %s: it has --%s", n, f.detector, strings.Join(mine, ", --"))
			}
		}
	}
	positive := func(name string, v float64) error {
		if set(name) && !(v > 0) {
			return fmt.Errorf("--%s %v: must be above 0", name, v)
		}
		return nil
	}
	if err := errors.Join(positive("delta", f.delta), positive("threshold", f.threshold), positive("alpha", f.alpha), positive("clock", float64(f.clock)), positive("min-window", float64(f.minWindow)),
		positive("grace", float64(f.grace)), positive("min-samples", float64(f.minSamples)), positive("every", float64(f.every))); err != nil {
		return nil, nil, err
	}
	over := func(name string, p *float64, v float64) {
		if set(name) {
			*p = v
		}
	}
	overInt := func(name string, p *int64, v int64) {
		if set(name) {
			*p = v
		}
	}
	plain := func(d drift.Detector) func(float64) (float64, bool) {
		return func(v float64) (float64, bool) { return v, d.Update(v) }
	}
	switch f.detector {
	case "adwin":
		d := drift.NewADWIN()
		over("delta", &d.Delta, f.delta)
		overInt("clock", &d.Clock, f.clock)
		overInt("min-window", &d.MinWindow, f.minWindow)
		overInt("grace", &d.Grace, f.grace)
		return map[string]float64{"delta": d.Delta, "clock": float64(d.Clock), "min_window": float64(d.MinWindow), "grace": float64(d.Grace)}, plain(d), nil
	case "page-hinkley":
		d := drift.NewPageHinkley()
		over("delta", &d.Delta, f.delta)
		over("threshold", &d.Threshold, f.threshold)
		over("alpha", &d.Alpha, f.alpha)
		overInt("min-samples", &d.MinSamples, f.minSamples)
		return map[string]float64{"delta": d.Delta, "threshold": d.Threshold, "alpha": d.Alpha, "min_samples": float64(d.MinSamples)}, plain(d), nil
	}
	alpha := 0.001
	over("alpha", &alpha, f.alpha)
	if f.reference < 10 || f.window < 10 || alpha >= 1 {
		return nil, nil, fmt.Errorf("--reference %d, --window %d, --alpha %v: at least 10 values each, and a probability below 1", f.reference, f.window, alpha)
	}
	return map[string]float64{"reference": float64(f.reference), "window": float64(f.window), "every": float64(f.every), "alpha": alpha}, f.ks(alpha), nil
}

func (f *driftFlags) ks(alpha float64) func(float64) (float64, bool) {
	var ref, ring, sample []float64
	n, alarmed := 0, false
	limit := drift.CriticalDistance(f.reference, f.window, alpha)
	return func(v float64) (float64, bool) {
		if len(ref) < f.reference {
			if ref = append(ref, v); len(ref) == f.reference {
				slices.Sort(ref)
			}
			return 0, false
		}
		if len(ring) < f.window {
			ring = append(ring, v)
		} else {
			ring[n%f.window] = v
		}
		if n++; len(ring) < f.window || n%f.every != 0 {
			return 0, false
		}
		sample = append(sample[:0], ring...)
		d := drift.KolmogorovSmirnov(ref, sample)
		switch {
		case d > limit && !alarmed:
			alarmed = true
			return d, true
		case d < limit/2:
			alarmed = false
		}
		return d, false
	}
}

// each reads the column.
func (f *driftFlags) each(cmd *cobra.Command, visit func(line int, at string, v float64)) error {
	in, err := openData(cmd, f.data)
	if err != nil {
		return err
	}
	defer in.Close()
	r, err := unpack(in)
	if err != nil {
		return err
	}
	cr := csv.NewReader(r)
	cr.ReuseRecord = true
	header, err := cr.Read()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	header = slices.Clone(header)
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	col := slices.Index(header, f.column)
	if col < 0 {
		return fmt.Errorf("no column %q: there are %s", f.column, strings.Join(header, ", "))
	}
	at := slices.IndexFunc(header, func(h string) bool {
		return f.timeColumn != "" && h == f.timeColumn || f.timeColumn == "" && slices.Contains(timeNames, strings.ToLower(h))
	})
	if f.timeColumn != "" && at < 0 {
		return fmt.Errorf("no column %q: there are %s", f.timeColumn, strings.Join(header, ", "))
	}
	key, value, filtered := strings.Cut(f.where, "=")
	only := slices.Index(header, key)
	if f.where != "" && (!filtered || only < 0) {
		return fmt.Errorf("--where %q: must be column=value with one of the columns %s", f.where, strings.Join(header, ", "))
	}
	for {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if filtered && rec[only] != value {
			continue
		}
		line, _ := cr.FieldPos(0)
		cell, when, v := strings.TrimSpace(rec[col]), "", math.NaN()
		if cell != "" && cell != "NA" && !strings.EqualFold(cell, "nan") {
			if v, err = strconv.ParseFloat(cell, 64); err != nil || math.IsInf(v, 0) {
				return fmt.Errorf("line %d: column %q: %q is not a finite number", line, f.column, cell)
			}
		}
		if at >= 0 {
			when = strings.Clone(rec[at])
		}
		visit(line, when, v)
	}
}
