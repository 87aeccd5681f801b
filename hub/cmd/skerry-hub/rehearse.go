package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/replay"
)

// percent is a change as a share of what it is a change of, with its half-width.
func percent(diff, half, of meta.Float) string {
	d, h := 100*float64(diff/of), 100*float64(half/of)
	switch {
	case math.IsNaN(d) || math.IsInf(d, 0):
		return "-"
	case math.IsNaN(h):
		return fmt.Sprintf("%+.1f %% ± ?", d)
	}
	return fmt.Sprintf("%+.1f %% ± %.1f", d, h)
}

// within is a length of time for people.
func within(seconds float64) string {
	if seconds <= 0 {
		return "not known"
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Minute).String()
}

// writeRehearsal shows what a rollout would come to.
func writeRehearsal(w io.Writer, model string, r *api.Rehearsed) error {
	fmt.Fprintf(w, "%s over the recorded rows of %d devices: by the models alone %s; %d would veto; the rollout takes about %s.\n",
		model, len(r.Devices), r.Expect, r.Vetoes, within(r.Takes))
	fmt.Fprintln(w, "Changes are those of the mean loss: below 0 the candidate is better. ± holds for all rows to come; NEXT for the next min_shadow rows, as devices will measure them in shadow.")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nDEVICE\tCOHORT\tROWS\tMODEL\tNEXT\tPUBLISHED\tINTERVAL SCORE\tCOVERAGE\tSHADOW TAKES\tVETO")
	line := func(name string, x *replay.Rehearsal) {
		i, coverage, veto := x.Interval, "-", "no"
		if i.Rows > 0 {
			coverage = fmt.Sprintf("%.1f %% → %.1f %%", 100*float64(i.Coverage), 100*float64(i.CandidateCoverage))
		}
		if x.Veto != "" {
			veto = "yes, " + micros(x.VetoAt)
		}
		next := percent(x.Model.Diff, x.Model.NextHalf, x.Model.Incumbent)
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, x.Cohort, x.Model.Rows,
			percent(x.Model.Diff, x.Model.Half, x.Model.Incumbent), next,
			percent(x.Published.Diff, x.Published.Half, x.Published.Incumbent),
			percentOnly(i.Candidate-i.Incumbent, i.Incumbent), coverage, within(x.ShadowS), veto)
	}
	for _, d := range r.Devices {
		line(d.Device, d)
	}
	if len(r.Cohorts) > 1 {
		for _, c := range r.Cohorts {
			line("(cohort)", c)
		}
	}
	line("(all)", r.All)
	if err := t.Flush(); err != nil {
		return err
	}
	for _, d := range r.Devices {
		if d.Veto != "" {
			fmt.Fprintf(w, "%s would veto: %s\n", d.Device, d.Veto)
		}
		if d.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", d.Device, d.Note)
		}
		if n := len(d.Missing); n > 0 {
			fmt.Fprintf(w, "%s: its state at the beginning is approximate: %s\n", d.Device, d.Missing[n-1])
		}
	}
	return nil
}

func percentOnly(diff, of meta.Float) string {
	v := 100 * float64(diff/of)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", v)
}
