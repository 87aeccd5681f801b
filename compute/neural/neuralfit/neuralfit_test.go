package neuralfit

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func curve(rng *rand.Rand, rows int) Data {
	d := Data{Cols: 2}
	for i := range rows {
		a, b := rng.NormFloat64(), rng.NormFloat64()
		d.X, d.Y = append(d.X, a, b), append(d.Y, 50+10*(math.Sin(2*a)+a*b)+rng.NormFloat64())
		if i%4 == 0 {
			d.Valid = append(d.Valid, int32(i))
		} else {
			d.Train = append(d.Train, int32(i))
		}
	}
	return d
}

func train(t *testing.T, d Data, p Params) *Model {
	t.Helper()
	m, err := Train(context.Background(), d, p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGradient compares the gradient with finite differences of the loss.
func TestGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	d := curve(rng, 40)
	for _, p := range []Params{{Objective: Squared}, {Objective: Quantile, Alpha: 0.9}, {Objective: Logistic}, {Objective: Softmax, Classes: 3}} {
		e := d
		e.Y = append([]float64(nil), d.Y...)
		outputs, classes, err := p.outputs()
		if err != nil {
			t.Fatal(err)
		}
		for i := range e.Y {
			if classes > 0 {
				e.Y[i] = float64(rng.IntN(classes))
			}
		}
		p.Hidden, p.Batch = []int{5, 4}, 64
		p.defaults()
		tr := &trainer{Params: p, d: e, rng: rng, scale: 1}
		tr.widths = []int{2, 5, 4, outputs}
		n := 2*5 + 5 + 5*4 + 4 + 4*outputs + outputs
		if classes == 0 {
			tr.centre()
		}
		tr.build(n)
		for k := range tr.params { // biases off 0, where a unit without input stands on its kink
			tr.params[k] += 0.1 * rng.NormFloat64()
		}
		tr.forward(e.Train)
		tr.backward(e.Train)
		grad := append([]float64(nil), tr.grad...)
		for k := range tr.params {
			const h = 1e-6
			old := tr.params[k]
			tr.params[k] = old + h
			up := tr.loss(e.Train)
			tr.params[k] = old - h
			down := tr.loss(e.Train)
			tr.params[k] = old
			// The rounded kink of the quantile loss makes its gradient differ where a residual is tiny.
			if want := (up - down) / (2 * h); math.Abs(grad[k]-want) > 1e-5 && p.Objective != Quantile || math.Abs(grad[k]-want) > 0.05 {
				t.Fatalf("%s: gradient %d is %v, differences give %v", p.Objective, k, grad[k], want)
			}
		}
	}
}

func TestTrainLearnsAndRepeats(t *testing.T) {
	d := curve(rand.New(rand.NewPCG(2, 1)), 3000)
	m := train(t, d, Params{Seed: 3})
	var mae float64
	dst := make([]float64, 1)
	for _, i := range d.Valid {
		if err := m.Network.PredictInto(dst, d.X[2*i:2*i+2]); err != nil {
			t.Fatal(err)
		}
		mae += math.Abs(dst[0]-d.Y[i]) / float64(len(d.Valid))
	}
	if mae > 1.5 { // noise of deviation 1 alone gives 0.8, the mean target 8
		t.Errorf("mean absolute error %v on rows it did not see", mae)
	}
	a, _ := m.Network.AppendBinary(nil)
	b, _ := train(t, d, Params{Seed: 3}).Network.AppendBinary(nil)
	if !bytes.Equal(a, b) {
		t.Error("the same data and seed gave two networks")
	}
}

func TestQuantileCovers(t *testing.T) {
	d := curve(rand.New(rand.NewPCG(4, 1)), 4000)
	m := train(t, d, Params{Objective: Quantile, Alpha: 0.9, Seed: 1})
	below, dst := 0.0, make([]float64, 1)
	for _, i := range d.Valid {
		_ = m.Network.PredictInto(dst, d.X[2*i:2*i+2])
		if d.Y[i] <= dst[0] {
			below += 1 / float64(len(d.Valid))
		}
	}
	if math.Abs(below-0.9) > 0.05 {
		t.Errorf("%v of the targets lie below the 0.9-quantile", below)
	}
}

func TestClassification(t *testing.T) {
	d := curve(rand.New(rand.NewPCG(5, 1)), 3000)
	for i, y := range d.Y {
		d.Y[i] = 0
		if y > 50 {
			d.Y[i] = 1
		}
	}
	for _, p := range []Params{{Objective: Logistic}, {Objective: Softmax, Classes: 2}} {
		m := train(t, d, p)
		if best := m.Losses[m.Epochs-1]; best > 0.25 {
			t.Errorf("%s: log loss %v, a guess has 0.69", p.Objective, best)
		}
	}
}

func TestTrainRefuses(t *testing.T) {
	d := curve(rand.New(rand.NewPCG(6, 1)), 100)
	bad := d
	bad.X = append([]float64(nil), d.X...)
	bad.X[5] = math.NaN()
	for name, c := range map[string]struct {
		d Data
		p Params
	}{
		"value": {bad, Params{}}, "class": {d, Params{Objective: Logistic}}, "objective": {d, Params{Objective: "guess"}},
		"widths": {d, Params{Hidden: []int{0}}}, "alpha": {d, Params{Alpha: 3}},
	} {
		if _, err := Train(context.Background(), c.d, c.p); err == nil {
			t.Errorf("Train with a bad %s gave no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Train(ctx, d, Params{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Train under a cancelled context = %v", err)
	}
}
