package neuralfit

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/neural"
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

// mixed is curve with a category that shifts the target, missing in some rows.
func mixed(rng *rand.Rand, rows int) Data {
	d := curve(rng, rows)
	e := Data{Cols: 3, Levels: []int{0, 6, 0}, Y: d.Y, Train: d.Train, Valid: d.Valid}
	for i := range d.Y {
		c := float64(rng.IntN(6))
		d.Y[i] += 8 * math.Mod(c*c, 5)
		if i%17 == 0 {
			c = math.NaN()
		}
		e.X = append(e.X, d.X[2*i], c, d.X[2*i+1])
	}
	return e
}

// TestGradient compares the gradient with finite differences of the loss, in float64.
func TestGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	base := mixed(rng, 40)
	for _, p := range []Params{
		{Objective: Squared}, {Objective: Huber, Delta: 0.7}, {Objective: Quantile, Alpha: 0.9}, {Objective: Quantile, Alphas: []float64{0.1, 0.5, 0.9}},
		{Objective: Absolute}, {Objective: Logistic}, {Objective: Softmax, Classes: 3},
		{Objective: Logistic, Norm: BatchNorm, Activation: neural.GELU}, {Objective: Squared, Norm: LayerNorm, Activation: neural.GELU, Clip: 2},
		{Objective: Softmax, Classes: 17, Norm: BatchNorm},
	} {
		p.Hidden, p.Batch = []int{17, 4}, 64
		d := base
		d.Y, d.Weight = append([]float64(nil), base.Y...), make([]float64, len(base.Y))
		for i := range d.Y {
			d.Weight[i] = 0.5 + rng.Float64()
			switch p.Objective {
			case Logistic:
				d.Y[i] = float64(rng.IntN(2))
			case Softmax:
				d.Y[i] = float64(rng.IntN(p.Classes))
			}
		}
		tr, err := newTrainer[float64](d, p)
		if err != nil {
			t.Fatal(err)
		}
		var params []*param[float64]
		for _, e := range tr.embeddings {
			params = append(params, &e.table)
		}
		for _, y := range tr.layers {
			params = append(params, &y.bias, &y.w, &y.gain, &y.offset)
		}
		for _, q := range params { // biases off 0, where a unit without input stands on its kink
			for k := range q.v {
				q.v[k] += 0.1 * rng.NormFloat64()
			}
		}
		// loss uses the running estimates of a batch normalisation; here the batch's own are wanted
		loss := func() float64 {
			tr.forward(d.Train, true)
			y, sum, total := tr.layers[len(tr.layers)-1], 0.0, 0.0
			for k, i := range d.Train {
				sum += d.Weight[i] * tr.rowLoss(append([]float64(nil), y.act[k*y.out:(k+1)*y.out]...), d.Y[i])
				total += d.Weight[i]
			}
			return sum / total
		}
		tr.forward(d.Train, true)
		tr.backward(d.Train)
		pinball := len(tr.Alphas) > 0
		for _, q := range params {
			grad := append([]float64(nil), q.grad...)
			for k := range q.v {
				const h = 1e-6
				old := q.v[k]
				q.v[k] = old + h
				up := loss()
				q.v[k] = old - h
				down := loss()
				q.v[k] = old
				// The rounded kink of the quantile loss makes its gradient differ where a
				// residual is tiny.
				if want := (up - down) / (2 * h); math.Abs(grad[k]-want) > 1e-5 && !pinball || math.Abs(grad[k]-want) > 0.05 {
					t.Fatalf("%s %q: gradient %d of %d is %v, differences give %v", p.Objective, p.Norm, k, len(q.v), grad[k], want)
				}
			}
		}
	}
}

// TestNetworkIsTrainer holds that the network predicts what the trainer's own forward pass says:
// layouts, folded norms, embeddings, clip.
func TestNetworkIsTrainer(t *testing.T) {
	d := mixed(rand.New(rand.NewPCG(8, 1)), 600)
	for _, p := range []Params{{}, {Norm: BatchNorm, Clip: 2}, {Norm: LayerNorm, Activation: neural.GELU, Dropout: 0.2}, {Objective: Quantile, Alphas: []float64{0.2, 0.8}}} {
		p.Hidden, p.Epochs = []int{20, 8}, 3
		tr, err := newTrainer[float64](d, p)
		if err != nil {
			t.Fatal(err)
		}
		m, err := tr.run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		rows := d.Train[:60]
		tr.forward(rows, false)
		y, dst := tr.layers[len(tr.layers)-1], make([]float64, tr.outputs)
		for k, i := range rows {
			if err := m.Network.PredictInto(dst, d.X[3*i:3*i+3]); err != nil {
				t.Fatal(err)
			}
			for u, v := range dst {
				if want := tr.shift + tr.scale*y.act[k*y.out+u]; math.Abs(v-want) > 1e-9 {
					t.Fatalf("%+v: the network predicts %v, the trainer %v", p, v, want)
				}
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
	if b, _ := train(t, d, Params{Seed: 3}).Network.AppendBinary(nil); !bytes.Equal(a, b) {
		t.Error("the same data and seed gave two networks")
	}
}

// TestThreads holds that the number of threads does not change a bit, for every part of a network
// and products larger than one piece.
func TestThreads(t *testing.T) {
	d := mixed(rand.New(rand.NewPCG(2, 2)), 700)
	for _, p := range []Params{{Hidden: []int{150, 40}, Batch: 100}, {Hidden: []int{140}, Norm: BatchNorm, Dropout: 0.1, Activation: neural.GELU}, {Norm: LayerNorm, Hold: 0.2}} {
		var want []byte
		p.Epochs, p.Seed = 3, 5
		for threads := 1; threads <= 4; threads++ {
			p.Threads = threads
			got, _ := train(t, d, p).Network.AppendBinary(nil)
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d threads gave another network than 1", threads)
			}
		}
	}
}

// TestEmbedding holds that a category is learned, and that one never seen is treated like an
// average one.
func TestEmbedding(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	d := Data{Cols: 1, Levels: []int{21}}
	mean := 0.0
	for range 3000 {
		c := float64(rng.IntN(20))
		d.X, d.Y = append(d.X, c), append(d.Y, 10*math.Mod(7*c, 20)+rng.NormFloat64())
		mean += d.Y[len(d.Y)-1] / 3000
	}
	for _, p := range []Params{{Epochs: 60}, {Epochs: 60, Norm: BatchNorm}} {
		m := train(t, d, p)
		dst := make([]float64, 1)
		for c := range 20 {
			if _ = m.Network.PredictInto(dst, []float64{float64(c)}); math.Abs(dst[0]-10*math.Mod(7*float64(c), 20)) > 8 {
				t.Errorf("%q: level %d is predicted as %v, want %v", p.Norm, c, dst[0], 10*math.Mod(7*float64(c), 20))
			}
		}
		for _, v := range []float64{20, 21, math.NaN(), 0.5} {
			if _ = m.Network.PredictInto(dst, []float64{v}); math.Abs(dst[0]-mean) > 60 {
				t.Errorf("%q: unknown level %v is predicted as %v, the mean is %v", p.Norm, v, dst[0], mean)
			}
		}
	}
}

// TestWeights holds that a row of weight 3 counts as three rows: the constant that a network
// without inputs that matter learns.
func TestWeights(t *testing.T) {
	d := Data{Cols: 1}
	for i := range 400 {
		y, w := 0.0, 1.0
		if i%2 == 0 {
			y, w = 1, 3
		}
		d.X, d.Y, d.Weight = append(d.X, 0), append(d.Y, y), append(d.Weight, w)
	}
	dst := make([]float64, 1)
	for _, o := range []Objective{Squared, Logistic} {
		m := train(t, d, Params{Objective: o, Epochs: 200})
		if _ = m.Network.PredictInto(dst, []float64{0}); math.Abs(dst[0]-0.75) > 0.02 {
			t.Errorf("%s: predicts %v, the weighted mean is 0.75", o, dst[0])
		}
	}
}

func TestStopsEarly(t *testing.T) {
	d := curve(rand.New(rand.NewPCG(9, 1)), 60)
	m := train(t, d, Params{Epochs: 400, Batch: 8, LearningRate: 1e-2})
	if len(m.Losses) > 200 {
		t.Errorf("ran %d epochs on sixty rows", len(m.Losses))
	}
	mse, dst := 0.0, make([]float64, 1)
	for _, i := range d.Valid {
		_ = m.Network.PredictInto(dst, d.X[2*i:2*i+2])
		mse += (dst[0] - d.Y[i]) * (dst[0] - d.Y[i]) / float64(len(d.Valid))
	}
	scale := m.Network.Spec().Scale
	if want := 2 * slices.Min(m.Losses) * scale * scale; math.Abs(mse-want) > 1e-3*want {
		t.Errorf("the network kept has the squared error %v, the best epoch %v", mse, want)
	}
	d.Valid = nil
	if m := train(t, d, Params{Epochs: 4, Hold: 0.1}); len(m.Losses) != 4 {
		t.Errorf("%d losses on the rows held back, want 4", len(m.Losses))
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
		"widths": {d, Params{Hidden: []int{0}}}, "alpha": {d, Params{Alpha: 3}}, "quantile": {d, Params{Objective: Quantile, Alphas: []float64{0.5, 1}}},
		"dropout": {d, Params{Dropout: 1}}, "norm": {d, Params{Norm: "group"}}, "rate": {d, Params{LearningRate: math.NaN()}},
		"weight": {Data{X: d.X, Cols: 2, Y: d.Y, Weight: make([]float64, len(d.Y))}, Params{}}, "level": {Data{X: d.X, Cols: 2, Levels: []int{3}, Y: d.Y}, Params{}},
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
