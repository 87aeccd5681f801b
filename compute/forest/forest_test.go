package forest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/binned"
)

func data(t testing.TB, rows int) (Data, []float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	const cols = 5
	x, y := make([]float64, rows*cols), make([]float64, rows)
	for i := range rows {
		for j := range cols {
			if x[i*cols+j] = rng.NormFloat64(); rng.IntN(12) == 0 {
				x[i*cols+j] = math.NaN()
			}
		}
		if v := x[i*cols]; v == v {
			y[i] = 5 * math.Sin(v)
		} else {
			y[i] = 7
		}
		y[i] += 0.3 * rng.NormFloat64()
	}
	m, err := binned.Fit(binned.FromRows(x, cols), binned.MaxBins, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Apply(binned.FromRows(x, cols), 1)
	if err != nil {
		t.Fatal(err)
	}
	return Data{X: b, Y: y}, x
}

func TestForestLearnsAndRepeats(t *testing.T) {
	for _, p := range []Params{{Trees: 40, Seed: 1, Score: true}, {Trees: 40, Seed: 1, Extra: true}, {Trees: 30, Classes: 2, Seed: 1}, {Trees: 30, Classes: 3, Extra: true, MinRows: 3}} {
		d, x := data(t, 2000)
		if p.Classes > 0 {
			for i, y := range d.Y {
				d.Y[i] = float64(min(max(int(y+1), 0), p.Classes-1))
			}
		}
		var want []byte
		for _, p.Threads = range []int{1, 2, 3} {
			m, err := Train(context.Background(), d, p)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := m.Ensemble.AppendBinary(nil)
			if want == nil {
				want = b
			} else if !bytes.Equal(b, want) {
				t.Errorf("%+v: the forest of %d threads differs from that of 1", p, p.Threads)
			}
			if m.Importance[0] < 0.5 {
				t.Errorf("%+v: importance %v, the target depends on the first", p, m.Importance)
			}
			if !p.Extra && p.Classes == 0 && !(m.OutOfBag < 0.6) {
				t.Errorf("%+v: out of bag error %v, noise alone gives 0.3", p, m.OutOfBag)
			}
			dst, sum := make([]float64, m.Ensemble.Outputs()), 0.0
			if err := m.Ensemble.PredictInto(dst, x[:5]); err != nil {
				t.Fatal(err)
			}
			for _, v := range dst {
				sum += v
			}
			if p.Classes > 2 && math.Abs(sum-1) > 1e-9 {
				t.Errorf("%+v: class shares %v do not add up to 1", p, dst)
			}
		}
	}
}

func TestTrainRefuses(t *testing.T) {
	d, _ := data(t, 50)
	for name, p := range map[string]Params{"classes": {Classes: 1}, "class": {Classes: 2}, "features": {Features: 2}, "trees": {Trees: -1}} {
		if _, err := Train(context.Background(), d, p); err == nil {
			t.Errorf("Train with bad %s gave no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Train(ctx, d, Params{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Train under a cancelled context = %v", err)
	}
}
