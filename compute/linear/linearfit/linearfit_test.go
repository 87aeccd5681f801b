package linearfit

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func fit(t *testing.T, d Data, p Params) func(x ...float64) []float64 {
	t.Helper()
	m, err := Train(context.Background(), d, p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Train(context.Background(), d, p)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := m.AppendBinary(nil)
	if b, _ := again.AppendBinary(nil); !bytes.Equal(a, b) {
		t.Error("the same data gave two models")
	}
	return func(x ...float64) []float64 {
		dst := make([]float64, m.Outputs())
		if err := m.PredictInto(dst, x); err != nil {
			t.Fatal(err)
		}
		return dst
	}
}

func TestRidgeFindsTheLine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	d := Data{Cols: 3}
	for range 500 {
		a, b := rng.NormFloat64(), rng.NormFloat64()
		d.X = append(d.X, a, b, a) // the third column repeats the first
		d.Y = append(d.Y, 4+2*a-3*b)
	}
	predict := fit(t, d, Params{})
	if got := predict(1, 1, 1)[0]; math.Abs(got-3) > 1e-3 {
		t.Errorf("predict(1, 1) = %v, want 3", got)
	}
}

// TestQuantile holds that the share of targets below the fitted plane is the quantile asked for, while outliers do not move the median.
func TestQuantile(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	d := Data{Cols: 1}
	for range 4000 {
		a := rng.NormFloat64()
		d.X, d.Y = append(d.X, a), append(d.Y, 10+a+rng.NormFloat64()*math.Exp(rng.NormFloat64()))
	}
	for _, alpha := range []float64{0.05, 0.5, 0.95} {
		predict := fit(t, d, Params{Objective: Quantile, Alpha: alpha})
		below := 0.0
		for i, y := range d.Y {
			if y <= predict(d.X[i])[0] {
				below += 1.0 / 4000
			}
		}
		if math.Abs(below-alpha) > 0.01 {
			t.Errorf("%v of the targets lie below the %v-quantile", below, alpha)
		}
	}
}

func TestClassify(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	d := Data{Cols: 2}
	for range 6000 {
		a, b := rng.NormFloat64(), rng.NormFloat64()
		d.X, d.Y = append(d.X, a, b), append(d.Y, 0)
		if rng.Float64() < 1/(1+math.Exp(-(1+2*a-b))) {
			d.Y[len(d.Y)-1] = 1
		}
	}
	want := 1 / (1 + math.Exp(-(1 + 2*0.5 + 0.5)))
	if got := fit(t, d, Params{Objective: Logistic})(0.5, -0.5)[0]; math.Abs(got-want) > 0.03 {
		t.Errorf("logistic probability %v, want %v", got, want)
	}
	if got := fit(t, d, Params{Objective: Softmax, Classes: 2, L2: 1e-4})(0.5, -0.5)[0]; math.Abs(got-want) > 0.03 {
		t.Errorf("two-class probability %v, want %v", got, want)
	}
	for i := range d.Y {
		d.Y[i] = 0
		if d.X[2*i] > 0.3 {
			d.Y[i] = 1
		} else if d.X[2*i+1] > 0 {
			d.Y[i] = 2
		}
	}
	got := fit(t, d, Params{Objective: Softmax, Classes: 3, L2: 1e-4})
	for i := range d.Y {
		p := got(d.X[2*i], d.X[2*i+1])
		if math.Abs(p[0]+p[1]+p[2]-1) > 1e-12 {
			t.Fatalf("probabilities %v do not add up to 1", p)
		}
	}
	if p := got(2, 0); p[1] < 0.95 {
		t.Errorf("class probabilities at (2, 0) are %v, want class 1", p)
	}
}

func TestTrainRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		d Data
		p Params
	}{
		"value":     {Data{X: []float64{math.NaN()}, Cols: 1, Y: []float64{1}}, Params{}},
		"target":    {Data{X: []float64{1}, Cols: 1, Y: []float64{math.Inf(1)}}, Params{}},
		"class":     {Data{X: []float64{1}, Cols: 1, Y: []float64{2}}, Params{Objective: Logistic}},
		"classes":   {Data{X: []float64{1}, Cols: 1, Y: []float64{0}}, Params{Objective: Softmax}},
		"objective": {Data{X: []float64{1}, Cols: 1, Y: []float64{0}}, Params{Objective: "guess"}},
		"rows":      {Data{X: []float64{1}, Cols: 1, Y: []float64{0}, Rows: []int32{1}}, Params{}},
	} {
		if _, err := Train(context.Background(), c.d, c.p); err == nil {
			t.Errorf("Train with a bad %s gave no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d := Data{X: []float64{1, 2}, Cols: 1, Y: []float64{0, 1}}
	for _, o := range []Objective{Quantile, Logistic} {
		if _, err := Train(ctx, d, Params{Objective: o}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s under a cancelled context = %v", o, err)
		}
	}
}
