package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/hub/replay"
)

func (r *remote) predictionCommand() *cobra.Command {
	var features int
	show := &cobra.Command{
		Use:   "show <device> <task> <time>",
		Short: "Recompute a published prediction and explain it",
		Long: "Recompute what a device predicted for the row at a time, bit for bit, and explain it: the row, what every expert said and weighed, the interval, and the shares of the\n" +
			"features of a model of trees (TreeSHAP). The hub replays the device's history up to the row; where it lacks something that follows into the prediction, it says what.\n" +
			"The time is that of the row, ts of the payload.",
		Example: "  skerry-hub prediction show station-1 pm25-next-hour 2026-11-23T10:00:00Z",
		Args:    cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			at, err := time.Parse(time.RFC3339Nano, args[2])
			if err != nil {
				return fmt.Errorf("time %q: must be that of a row, such as 2026-01-31T12:00:00Z", args[2])
			}
			defer r.watchReplay(c)()
			p, err := r.client().Prediction(c.Context(), args[0], args[1], at.UnixMicro())
			if err != nil {
				return err
			}
			return r.print(c, p, showPrediction(p, features))
		},
	}
	show.Flags().IntVar(&features, "features", 8, "most features to show, those with the largest shares")
	var n int
	var seed uint64
	var from, to string
	check := &cobra.Command{
		Use:   "check <device> <task>",
		Short: "Recompute predictions drawn at random and compare the bits",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			var bounds [2]int64
			for i, b := range []struct{ flag, value string }{{"from", from}, {"to", to}} {
				if b.value == "" {
					continue
				}
				t, err := time.Parse(time.RFC3339, b.value)
				if err != nil {
					return fmt.Errorf("--%s %q: must be a time such as 2026-01-31T12:00:00Z", b.flag, b.value)
				}
				bounds[i] = t.UnixMicro()
			}
			defer r.watchReplay(c)()
			out, err := r.client().CheckPredictions(c.Context(), args[0], args[1], bounds[0], bounds[1], n, seed)
			if err != nil {
				return err
			}
			if err := r.print(c, out, showChecked(out)); err != nil {
				return err
			}
			if out.Differs > 0 {
				return fmt.Errorf("%d predictions come to other bits", out.Differs)
			}
			return nil
		},
	}
	f := check.Flags()
	f.IntVarP(&n, "number", "n", 200, "how many to draw, 1 to 10000")
	f.Uint64Var(&seed, "seed", 1, "of the draw")
	f.StringVar(&from, "from", "", "first time of a row, RFC 3339")
	f.StringVar(&to, "to", "", "last time of a row, RFC 3339")
	return group("prediction", "What devices have predicted, computed again", show, check)
}

// watchReplay shows how far the hub's replay has come until the returned function is called.
func (r *remote) watchReplay(c *cobra.Command) (stop func()) {
	line := newProgress(c.ErrOrStderr())
	ctx, cancel := context.WithCancel(c.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				line.clear()
				return
			case <-tick.C:
			}
			if p, err := r.client().Replay(ctx); err == nil && p.Device != "" {
				line.show("replaying %s of %s: %d readings, %d rows, at %s", p.Task, p.Device, p.Readings, p.Rows, micros(p.At))
			}
		}
	}()
	return func() { cancel(); <-done }
}

func micros(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339) }

func number(v float64) string {
	if math.IsNaN(v) {
		return "none"
	}
	return fmt.Sprintf("%.6g", v)
}

func values(v *replay.Values) string {
	text := number(float64(v.Value))
	if !math.IsNaN(float64(v.Lower)) {
		text += fmt.Sprintf(" (%s to %s)", number(float64(v.Lower)), number(float64(v.Upper)))
	}
	if v.Model == "" {
		return text + " by the baselines"
	}
	return text + " with model " + v.Model[:min(12, len(v.Model))]
}

func showPrediction(p *replay.Prediction, features int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s %s: row %s, about %s", p.Device, p.Task, micros(p.Row), micros(p.For))
	line("computed    %s", values(&p.Computed))
	if p.Published != nil {
		line("published   %s", values(p.Published))
	}
	switch p.Status {
	case replay.Equal:
		line("equal, bit for bit")
	default:
		line("%s: %s", p.Status, p.Reason)
	}
	for _, m := range p.Missing {
		line("missing     %s", m)
	}
	e := &p.Explained
	line("\nrow")
	for _, in := range e.Inputs {
		text := number(float64(in.Value))
		if in.Category != "" {
			text = in.Category
		}
		line("  %-28s %s %s", in.Series, text, in.Unit)
	}
	if len(e.Experts) > 0 {
		line("\nexperts%*s weight", 29, "prediction")
		for _, x := range e.Experts {
			line("  %-20s %13s %6.1f%%", x.Name, number(float64(x.Value)), 100*x.Weight)
		}
		if !e.Adapts {
			line("  the task does not adapt: where there is a model, it alone is published")
		}
	}
	line("\n%d labels learned; newest intervals held %s of the truths, nominal %g; mean absolute error %s", e.Labels, number(float64(e.Coverage)), e.Level, number(float64(e.Error)))
	if e.Shares == nil {
		line("no shares of features: %s", e.NoShares)
		return strings.TrimSuffix(b.String(), "\n")
	}
	of := "the model's score"
	if e.Shares.Class != "" {
		of += " of " + e.Shares.Class
	}
	line("\nshares of %s (%s): expected %s, here %s", of, e.Shares.Method, number(e.Shares.Expected), number(e.Shares.Score))
	for _, s := range e.Shares.Features[:min(max(features, 0), len(e.Shares.Features))] {
		line("  %-40s %12s  %+.6g", s.Feature, number(float64(s.Value)), s.Share)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func showChecked(c *replay.Checked) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d predictions came to the hub, %d drawn: %d equal bit for bit, %d unknown, %d differ", c.Device, c.Task, c.Sent, c.Drawn, c.Equal, c.Unknown, c.Differs)
	for _, m := range c.Missing {
		fmt.Fprintf(&b, "\nmissing %s", m)
	}
	for _, r := range c.Rows {
		if r.Status == replay.Differs {
			fmt.Fprintf(&b, "\nrow %s differs: %s", micros(r.Row), r.Reason)
		}
	}
	return b.String()
}
