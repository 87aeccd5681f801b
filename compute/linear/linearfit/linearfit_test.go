package linearfit

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/encode"
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

// TestQuantile holds that the share of targets below the fitted plane is the quantile asked for,
// while outliers do not move the median.
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
		"weight":    {Data{X: []float64{1}, Cols: 1, Y: []float64{0}, Weight: []float64{-1}}, Params{}},
		"weights":   {Data{X: []float64{1}, Cols: 1, Y: []float64{0}, Weight: []float64{0}}, Params{}},
		"penalty":   {Data{X: []float64{1}, Cols: 1, Y: []float64{0}}, Params{L1: math.NaN()}},
		"l1":        {Data{X: []float64{1}, Cols: 1, Y: []float64{0}}, Params{Objective: Quantile, L1: 1}},
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

// sparse has a target that depends on two of eight columns.
func sparse(rng *rand.Rand, rows, classes int) Data {
	d := Data{Cols: 8}
	for range rows {
		x := make([]float64, 8)
		for j := range x {
			x[j] = rng.NormFloat64()
		}
		y := 3 + 2*x[1] - x[5] + rng.NormFloat64()
		if classes > 0 {
			y = max(0, min(float64(classes-1), math.Round(y-2)))
		}
		d.X, d.Y, d.Weight = append(d.X, x...), append(d.Y, y), append(d.Weight, 0.5+rng.Float64())
	}
	return d
}

// TestStationary holds every penalised fit to the conditions of a minimum: the derivative of the
// loss balances the penalties, and no zero weight would gain from moving.
func TestStationary(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	for _, p := range []Params{
		{L1: 0.2, L2: 0.1}, {L1: 0.05, L2: 1e-6}, {L2: 0.1},
		{Objective: Logistic, L1: 0.02, L2: 0.01}, {Objective: Logistic, L2: 0.01}, {Objective: Softmax, Classes: 4, L1: 0.01, L2: 1e-3}, {Objective: Softmax, Classes: 4, L2: 1e-3},
	} {
		classes := p.Classes
		if p.Objective == Logistic {
			classes = 2
		}
		d := sparse(rng, 800, classes)
		m, err := Train(context.Background(), d, p)
		if err != nil {
			t.Fatal(err)
		}
		grad, bias, total := make([]float64, 8*m.Outputs()), make([]float64, m.Outputs()), 0.0
		out := make([]float64, m.Outputs())
		for i, y := range d.Y {
			x, w := d.X[8*i:8*i+8], d.Weight[i]
			if err := m.PredictInto(out, x); err != nil {
				t.Fatal(err)
			}
			if len(out) == 1 {
				out[0] -= y
			} else {
				out[int(y)]--
			}
			for k, g := range out {
				bias[k] += w * g
				for j, v := range x {
					grad[8*k+j] += w * g * v
				}
			}
			total += w
		}
		zeros, tol := 0, 2e-4
		if p.Objective == "" {
			tol = 1e-5
		}
		for k := range out {
			if math.Abs(bias[k]/total) > tol {
				t.Errorf("%+v: derivative by bias %d is %v", p, k, bias[k]/total)
			}
			for j, v := range m.Weights(k) {
				g := grad[8*k+j]/total + p.L2*v
				if v == 0 {
					zeros++
					g = max(math.Abs(g)-p.L1, 0)
				} else {
					g += math.Copysign(p.L1, v)
				}
				if math.Abs(g) > tol {
					t.Errorf("%+v: output %d, weight %d is %v and the derivative off by %v", p, k, j, v, g)
				}
			}
		}
		if (p.L1 >= 0.01) != (zeros > 0) {
			t.Errorf("%+v: %d weights are 0", p, zeros)
		}
	}
}

// TestWeightsCountRows holds that a weight of 2 says the same as the row given twice, and that
// threads change nothing.
func TestWeightsCountRows(t *testing.T) {
	d := sparse(rand.New(rand.NewPCG(5, 1)), 3000, 3)
	twice := Data{Cols: 8}
	for i, y := range d.Y {
		d.Weight[i] = float64(1 + i%2)
		for range 1 + i%2 {
			twice.X, twice.Y = append(twice.X, d.X[8*i:8*i+8]...), append(twice.Y, y)
		}
	}
	for _, p := range []Params{{}, {L1: 0.1}, {Objective: Quantile, Alpha: 0.3}, {Objective: Softmax, Classes: 3, L2: 0.01}} {
		a, b := fit(t, d, p)(1, 0, 1, 0, 0, 1, 0, 0), fit(t, twice, p)(1, 0, 1, 0, 0, 1, 0, 0)
		p.Threads = 3
		c := fit(t, d, p)(1, 0, 1, 0, 0, 1, 0, 0)
		for k := range a {
			if math.Abs(a[k]-b[k]) > 1e-4 || a[k] != c[k] {
				t.Errorf("%+v: %v with weights, %v with rows given twice, %v on three threads", p, a, b, c)
			}
		}
	}
}

// TestFit holds that the penalty grows with the noise, and that categories and gaps are encoded.
func TestFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	noisy := func(noise float64) encode.Data {
		d := encode.Data{Table: encode.Table{Cols: 13, Levels: append([]int{3}, make([]int, 12)...)}}
		for i := range 150 {
			c := float64(i % 3)
			d.X = append(d.X, c)
			for j := range 12 {
				v := rng.NormFloat64()
				if j == 0 && i%10 == 0 {
					v = math.NaN()
				}
				d.X = append(d.X, v)
			}
			d.Y = append(d.Y, 100*c+d.X[len(d.X)-1]+noise*rng.NormFloat64())
		}
		return d
	}
	quiet, err := Fit(context.Background(), noisy(0.01), Params{})
	if err != nil {
		t.Fatal(err)
	}
	loud, err := Fit(context.Background(), noisy(3000), Params{Mix: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	if !(quiet.L2 < loud.L2 && loud.L1 == loud.L2) {
		t.Errorf("penalties %v and %v without noise, %v and %v with much", quiet.L1, quiet.L2, loud.L1, loud.L2)
	}
	in, enc, dst := []float64{2, math.NaN(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5}, make([]float64, quiet.Encoder.Width()), []float64{0}
	quiet.Encoder.Into(enc, in)
	if err := quiet.Model.PredictInto(dst, enc); err != nil || math.Abs(dst[0]-205) > 1 {
		t.Errorf("predicts %v, %v, want 205", dst, err)
	}
	d := noisy(0.01)
	for i := range d.Y {
		d.Y[i] = float64(i % 3)
	}
	if m, err := Fit(context.Background(), d, Params{Objective: Softmax, Classes: 3}); err != nil || m.L2 > 0.1 {
		t.Errorf("Fit of a class that is given away = %+v, %v", m, err)
	}
	d.Valid, d.Train = []int32{1, 2, 3}, []int32{4, 5, 6, 7, 8, 9}
	if _, err := Fit(context.Background(), d, Params{Objective: Softmax, Classes: 3, Mix: 1}); err != nil {
		t.Error(err)
	}
	d.Y[2] = 7
	if _, err := Fit(context.Background(), d, Params{Objective: Softmax, Classes: 3}); err == nil {
		t.Error("Fit with a bad class among the validation rows gave no error")
	}
}
