package neuralfit

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/encode"
)

// raw is a table with a skewed number, a category of three levels and one of forty, and gaps.
func raw(rng *rand.Rand, rows int) encode.Data {
	d := encode.Data{Table: encode.Table{Cols: 3, Levels: []int{0, 3, 40}}}
	for range rows {
		a, b, c := math.Exp(2*rng.NormFloat64()), float64(rng.IntN(3)), float64(rng.IntN(40))
		d.Y = append(d.Y, math.Log(a)+3*math.Mod(b*b, 3)+2*math.Mod(c*7, 5)+0.2*rng.NormFloat64())
		if rng.IntN(20) == 0 {
			a = math.NaN()
		}
		d.X = append(d.X, a, b, c)
	}
	return d
}

// TestFit holds that both ways to find the length learn, the one by folds and the one by rows
// held back, and that either repeats for any number of threads.
func TestFit(t *testing.T) {
	d := raw(rand.New(rand.NewPCG(1, 1)), 3600)
	test := d.X[3*3200:]
	for _, rows := range []int{500, 3200} {
		part := d
		part.Train = make([]int32, rows)
		for i := range part.Train {
			part.Train[i] = int32(i)
		}
		var want []byte
		for threads := 1; threads <= 2; threads++ {
			m, err := Fit(context.Background(), part, Params{Hidden: []int{32}, Epochs: 40, Seed: 1, Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := m.Network.AppendBinary(nil)
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d rows: %d threads gave another network", rows, threads)
			}
			if threads > 1 {
				continue
			}
			mse, x, dst := 0.0, make([]float64, m.Encoder.Width()), make([]float64, 1)
			for i := range 400 {
				m.Encoder.Into(x, test[3*i:3*i+3])
				if err := m.Network.PredictInto(dst, x); err != nil {
					t.Fatal(err)
				}
				mse += math.Pow(dst[0]-d.Y[3200+i], 2) / 400
			}
			// the target's variance is 14, that of what gaps hide 0.2
			if limit := map[int]float64{500: 4.5, 3200: 1.5}[rows]; mse > limit {
				t.Errorf("%d rows: squared error %v, want at most %v", rows, mse, limit)
			}
			if len(m.Network.Spec().Embeddings) != 1 {
				t.Errorf("%d embeddings, want one for the category of forty levels", len(m.Network.Spec().Embeddings))
			}
			if (rows < foldRows) != (m.Losses == nil) {
				t.Errorf("%d rows: %d losses, want some only where rows are held back", rows, len(m.Losses))
			}
		}
	}
}

func TestFitRefuses(t *testing.T) {
	d := raw(rand.New(rand.NewPCG(2, 1)), 50)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, f := range map[string]func() (*Fitted, error){
		"a cancelled context":      func() (*Fitted, error) { return Fit(ctx, d, Params{}) },
		"classes that are numbers": func() (*Fitted, error) { return Fit(context.Background(), d, Params{Objective: Logistic}) },
		"no rows": func() (*Fitted, error) {
			return Fit(context.Background(), encode.Data{Table: encode.Table{Cols: 1}}, Params{})
		},
		"too few targets": func() (*Fitted, error) {
			return Fit(context.Background(), encode.Data{Table: d.Table, Y: d.Y[:20]}, Params{})
		},
	} {
		if _, err := f(); err == nil {
			t.Errorf("Fit of %s gave no error", name)
		}
	}
	one := encode.Data{Table: encode.Table{X: []float64{1, 2}, Cols: 1}, Y: []float64{1, 2}}
	if _, err := Fit(context.Background(), one, Params{}); err != nil {
		t.Errorf("Fit of two rows: %v", err)
	}
}

// TestFitLinear holds that an empty list of hidden layers is a linear model, and that settings
// given are kept.
func TestFitLinear(t *testing.T) {
	d := raw(rand.New(rand.NewPCG(3, 1)), 200)
	m, err := Fit(context.Background(), d, Params{Hidden: []int{}, Clip: -1, Epochs: 5, Objective: Absolute})
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Network.Spec(); len(s.Layers) != 1 || s.Clip != 0 {
		t.Errorf("%d layers and clip %v, want one and none", len(s.Layers), s.Clip)
	}
	var calls []int
	if _, err := Train(context.Background(), Data{X: []float64{1, 2, 3}, Cols: 1, Y: []float64{1, 2, 3}}, Params{Epochs: 3, Progress: func(epoch int, _ float64) bool {
		calls = append(calls, epoch)
		return true
	}}); err != nil || !slices.Equal(calls, []int{1, 2, 3}) {
		t.Errorf("Progress was called for epochs %v, %v, want 1 to 3", calls, err)
	}
	stopped := 0
	if _, err := Fit(context.Background(), d, Params{Hold: 0.2, Progress: func(epoch int, loss float64) bool {
		stopped = epoch
		return epoch < 3 && !math.IsNaN(loss)
	}}); err != nil || stopped != 3 {
		t.Errorf("Progress was last called for epoch %d, %v, want 3", stopped, err)
	}
}
