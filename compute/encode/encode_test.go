package encode

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/feature"
)

func table(rng *rand.Rand, rows int) Table {
	t := Table{Cols: 5, Levels: []int{0, 0, 3, 200, 2}, Names: []string{"a", "b", "c", "d", "e"}}
	for i := range rows {
		a, c, e := 5+3*rng.NormFloat64(), float64(rng.IntN(3)), float64(rng.IntN(2))
		if i%20 == 0 {
			a = math.NaN()
		}
		if i%30 == 0 {
			c = math.NaN()
		}
		t.X = append(t.X, a, 7, c, float64(rng.IntN(1+rng.IntN(200))), e)
	}
	return t
}

// TestServing holds that a pipeline on a device computes the very bits that a training saw.
func TestServing(t *testing.T) {
	raw := table(rand.New(rand.NewPCG(1, 1)), 3000)
	for _, o := range []Options{{}, {Robust: true, Embed: 8}} {
		e, err := Fit(raw, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Pipeline(make([]feature.Input, 5))
		if err != nil {
			t.Fatal(err)
		}
		eval, err := feature.NewEvaluator(p)
		if err != nil {
			t.Fatal(err)
		}
		raw.X = append(raw.X[:0:0], raw.X...)
		raw.X[7], raw.X[3] = math.NaN(), 1e9
		x, err := e.Apply(raw.X, 2)
		if err != nil {
			t.Fatal(err)
		}
		h, dst := feature.NewHistory(5, 1), make([]float64, e.Width())
		for i := range len(raw.X) / 5 {
			h.Push(int64(i), raw.X[5*i:5*i+5])
			if err := eval.Into(dst, h); err != nil {
				t.Fatal(err)
			}
			for k, v := range dst {
				if math.Float64bits(v) != math.Float64bits(x[i*e.Width()+k]) {
					t.Fatalf("row %d, %s: the pipeline gives %v, Apply %v", i, e.Columns[k].Name, v, x[i*e.Width()+k])
				}
			}
		}
	}
}

func names(e *Encoder) []string {
	var out []string
	for _, c := range e.Columns {
		out = append(out, c.Name)
	}
	return out
}

func TestFitSteps(t *testing.T) {
	raw := table(rand.New(rand.NewPCG(1, 1)), 3000)
	e, err := Fit(raw, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := names(e)
	if want := []string{"a", "a=missing", "c=0", "c=1", "c=2", "c=missing", "d=0"}; !slices.Equal(got[:7], want) {
		t.Errorf("steps %v, want %v first", got, want)
	}
	if len(got) != 6+49+1 || !slices.Contains([]string{"e=0", "e=1"}, got[55]) {
		t.Errorf("%d steps ending with %s, want 49 for d and one for e", len(got), got[len(got)-1])
	}
	if slices.Max(e.Levels) != 0 {
		t.Errorf("codes are passed on where none were asked for: %v", e.Levels)
	}
	e, err = Fit(raw, nil, Options{Embed: 8})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(e); !slices.Equal(got[:7], []string{"a", "a=missing", "c=0", "c=1", "c=2", "c=missing", "d"}) || e.Levels[6] != 200 {
		t.Errorf("steps %v with levels %v, want d as a code", got, e.Levels)
	}
	x, _ := e.Apply(raw.X, 1)
	mean, ss := 0.0, 0.0
	for i := range 3000 {
		mean += x[i*e.Width()] / 3000
		ss += x[i*e.Width()] * x[i*e.Width()] / 3000
	}
	if math.Abs(mean) > 0.05 || math.Abs(ss-0.95) > 0.02 { // 5 % stand at the median
		t.Errorf("mean %v and square %v after scaling, want 0 and 0.95", mean, ss)
	}
}

func TestFitExtremes(t *testing.T) {
	for name, raw := range map[string]Table{
		"constant":    {X: []float64{1, 1, 1}, Cols: 1},
		"all missing": {X: []float64{math.NaN(), math.NaN()}, Cols: 1},
		"one row":     {X: []float64{1, 0}, Cols: 2, Levels: []int{0, 4}},
		"huge":        {X: []float64{-math.MaxFloat64, 0, math.MaxFloat64, math.Inf(1)}, Cols: 1},
		"tiny":        {X: []float64{0, 5e-324}, Cols: 1},
	} {
		e, err := Fit(raw, nil, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		x, _ := e.Apply(raw.X, 1)
		for _, v := range x {
			if math.IsNaN(v) || math.IsInf(v, 0) && name != "huge" {
				t.Errorf("%s: encoded as %v", name, x)
			}
		}
		if _, err := e.Pipeline(make([]feature.Input, raw.Cols)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, raw := range map[string]Table{"no rows": {Cols: 2}, "part of a row": {X: make([]float64, 3), Cols: 2}, "levels": {X: []float64{1}, Cols: 1, Levels: []int{1, 2}}} {
		if _, err := Fit(raw, nil, Options{}); err == nil {
			t.Errorf("Fit with %s gave no error", name)
		}
	}
	if _, err := Fit(Table{X: []float64{1}, Cols: 1}, []int32{1}, Options{}); err == nil {
		t.Error("Fit on a row that is not there gave no error")
	}
}

func TestBalanced(t *testing.T) {
	// class_weight="balanced" gives 4/(2·3) and 4/(2·1).
	if got := Balanced([]float64{0, 0, 0, 5}, nil); !slices.Equal(got, []float64{2.0 / 3, 2.0 / 3, 2.0 / 3, 2}) {
		t.Errorf("Balanced = %v", got)
	}
	got := Balanced([]float64{0, 1, 1, 2}, []float64{3, 1, 2, 0})
	if got[0] != 3 || math.Abs(got[1]+got[2]-3) > 1e-12 || got[3] != 0 {
		t.Errorf("Balanced with weights = %v, want totals of 3", got)
	}
}

// double is a model that adds up its inputs twice.
type double struct{ inputs int }

func (d double) Inputs() int  { return d.inputs }
func (d double) Outputs() int { return 1 }
func (d double) PredictInto(dst, x []float64) error {
	dst[0] = 0
	for _, v := range x {
		dst[0] += 2 * v
	}
	return nil
}

func TestPredictor(t *testing.T) {
	raw := table(rand.New(rand.NewPCG(1, 1)), 500)
	e, err := Fit(raw, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPredictor(e, double{e.Width()})
	if err != nil {
		t.Fatal(err)
	}
	x, _ := e.Apply(raw.X, 1)
	got, want := make([]float64, 1), make([]float64, 1)
	for i := range 20 {
		_ = double{e.Width()}.PredictInto(want, x[i*e.Width():(i+1)*e.Width()])
		if err := p.PredictInto(got, raw.X[5*i:5*i+5]); err != nil || got[0] != want[0] {
			t.Errorf("PredictInto(row %d) = %v, %v, want %v", i, got, err, want)
		}
	}
	if err := p.PredictInto(got, raw.X[:4]); err == nil {
		t.Error("a short row gave no error")
	}
	if _, err := NewPredictor(e, double{1}); err == nil {
		t.Error("a model of another width gave no error")
	}
}
