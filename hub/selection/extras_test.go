package selection

import (
	"context"
	"math"
	"slices"
	"testing"

	"skerry.dev/compute/feature"
)

// TestClearlyLess asks for a share of the loss and for more than chance makes of the rows.
func TestClearlyLess(t *testing.T) {
	row := func(n int, f func(i int) float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = f(i)
		}
		return v
	}
	others := row(100, func(int) float64 { return 1 })
	for _, tt := range []struct {
		name   string
		losses []float64
		want   bool
	}{
		{"the same", others, false},
		{"half a per cent less everywhere", row(100, func(int) float64 { return 0.995 }), false},
		{"2 per cent less everywhere", row(100, func(int) float64 { return 0.98 }), true},
		{"2 per cent less, by one row", row(100, func(i int) float64 { return 1 - 2*float64(max(0, 1-i)) }), false},
		{"more", row(100, func(int) float64 { return 1.5 }), false},
		{"not a number", row(100, func(int) float64 { return math.NaN() }), false},
		{"overflowing", row(100, func(int) float64 { return math.Inf(1) }), false},
	} {
		if got := clearlyLess(tt.losses, others); got != tt.want {
			t.Errorf("%s: clearlyLess = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestExtras holds what a quick linear model decides: a product and the place of a column with a
// heavy tail where the target is made of them, nothing where it is linear, and no product of
// heavy tails themselves.
func TestExtras(t *testing.T) {
	p := coded(3000, 3, 0)
	for _, linear := range []bool{false, true} {
		if linear {
			for i, row := range p.Devices[0].Values {
				p.Devices[0].Target[i] = row[1] - 2*row[2]
			}
		}
		rows, dist := p.places(), int64(hourUS)
		at, holdout := p.split(rows, 0.18)
		tb, err := newTable(&p, candidates(&p, dist), rows, at, holdout, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := tb.chooseExtras(context.Background()); err != nil {
			t.Fatal(err)
		}
		v, err := tb.view(true)
		if err != nil {
			t.Fatal(err)
		}
		extra := v.pipe.Names()[tb.raw.width():]
		if linear && len(extra) > 0 {
			t.Errorf("extras %v of a linear target, want none", extra)
		}
		if linear {
			continue
		}
		if !slices.Contains(extra, "a*b") || !slices.Contains(extra, "tail_place") || slices.Contains(extra, "tail*tail") {
			t.Errorf("extras %v, want a*b and tail_place among them, and no product of the tail itself", extra)
		}
		// What the table holds is what a device computes, bit for bit.
		eval, err := feature.NewEvaluator(v.pipe)
		if err != nil {
			t.Fatal(err)
		}
		h, got := feature.NewHistory(len(p.Inputs), v.pipe.Rows), make([]float64, v.width())
		for i, r := range rows {
			h.Push(r.time, p.Devices[0].Values[r.row])
			if err := eval.Into(got, h); err != nil {
				t.Fatal(err)
			}
			if want := v.x[i*v.width() : (i+1)*v.width()]; !slices.EqualFunc(got, want, sameBits) {
				t.Fatalf("row %d: a device computes %v, the table holds %v", i, got, want)
			}
		}
	}
}

// TestOwnFeaturesStayFirst keeps the user's columns where they are and looks back as far as one
// of them does. Those of other columns are refused.
func TestOwnFeaturesStayFirst(t *testing.T) {
	if underRace {
		t.Skip("takes long under the race detector: run without -race")
	}
	p := synthetic(1, 600)
	p.Features = []feature.Column{
		{Name: "twice", Op: feature.OpExpr, Expr: []feature.Token{{Do: feature.TokenSeries, I: 1}, {Do: feature.TokenNumber, X: 2}, {Do: feature.TokenMul}}},
		{Name: "useless", Op: feature.OpMean, Series: 1, Rows: 90},
	}
	for _, learner := range []string{"gbdt", "linear"} {
		r := run(t, p, Options{Trials: 1, Learners: []string{learner}})
		if len(r.Features) < 2 || !slices.Equal(r.Features[:2], []string{"twice", "useless"}) {
			t.Errorf("%s: features %v, want the user-defined first", learner, r.Features)
		}
		if rows := r.Artifact.Pipeline.Rows; rows < 91 {
			t.Errorf("%s: the pipeline looks back %d rows, want at least 91", learner, rows)
		}
	}
	for _, c := range []feature.Column{{Name: "square", Op: feature.OpCross}, {Name: "sum", Op: feature.OpExpr, Expr: []feature.Token{{Do: feature.TokenColumn}}}} {
		p.Features = append(p.Features[:2:2], c)
		if _, err := Run(context.Background(), p, Options{Trials: 1}); err == nil {
			t.Errorf("feature %q of another feature gave no error", c.Name)
		}
	}
}
