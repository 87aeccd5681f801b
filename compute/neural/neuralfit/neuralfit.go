// Package neuralfit trains multilayer perceptrons by Adam with decoupled weight decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019) on
// minibatches, with a cosine schedule and early stopping.
//
// Inputs should be scaled and must not be missing. Matrix products are gonum's, which may use every processor; they give the same bits for any number
// of them, so the same data, parameters and seed give the same network on the same architecture.
package neuralfit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/neural"
)

// Objective is the loss that is minimised.
type Objective string

// The objectives.
const (
	Squared  Objective = "squared"
	Quantile Objective = "quantile" // pinball loss at Alpha; 0.5 is half the absolute error
	Logistic Objective = "logistic" // classes 0 and 1
	Softmax  Objective = "softmax"  // classes 0 to Classes-1
)

// Params of a training. The zero value of a field is its documented default.
type Params struct {
	Objective    Objective // default Squared
	Alpha        float64   // Quantile: which; default 0.5
	Classes      int       // Softmax
	Hidden       []int     // widths of the hidden layers; default 64, 32
	Epochs       int       // default 40
	Batch        int       // rows of a step; default 128
	LearningRate float64   // default 2e-3
	WeightDecay  float64   // default 1e-4
	Patience     int       // epochs without a better loss on Data.Valid after which training ends; default 6
	Seed         uint64

	// Progress is called after every epoch with the loss on Data.Valid, NaN without such rows. Returning false ends the training.
	Progress func(epoch int, loss float64) bool
}

// Data is what to train on: rows of X, one after the other, at the positions Train (nil: all), scored on those at Valid after each epoch.
type Data struct {
	X            []float64
	Cols         int
	Y            []float64
	Train, Valid []int32
}

// Model is a trained network.
type Model struct {
	Network *neural.Network
	Epochs  int       // epochs kept: the best one when there were validation rows
	Losses  []float64 // on Valid after each epoch run
}

func (p *Params) defaults() {
	if p.Objective == "" {
		p.Objective = Squared
	}
	if p.Alpha == 0 {
		p.Alpha = 0.5
	}
	if p.Hidden == nil {
		p.Hidden = []int{64, 32}
	}
	for _, v := range []struct {
		p  *int
		to int
	}{{&p.Epochs, 40}, {&p.Batch, 128}, {&p.Patience, 6}} {
		if *v.p == 0 {
			*v.p = v.to
		}
	}
	if p.LearningRate == 0 {
		p.LearningRate = 2e-3
	}
	if p.WeightDecay == 0 {
		p.WeightDecay = 1e-4
	}
}

func (p *Params) outputs() (outputs, classes int, err error) {
	switch p.Objective {
	case Squared, Quantile:
		return 1, 0, nil
	case Logistic:
		return 1, 2, nil
	case Softmax:
		if p.Classes >= 2 {
			return p.Classes, p.Classes, nil
		}
	}
	return 0, 0, fmt.Errorf("neuralfit: objective %q with %d classes", p.Objective, p.Classes)
}

func (d *Data) check(classes int) error {
	if d.Cols < 1 || len(d.X) != d.Cols*len(d.Y) {
		return fmt.Errorf("neuralfit: %d values in %d columns, %d targets", len(d.X), d.Cols, len(d.Y))
	}
	if d.Train == nil {
		d.Train = make([]int32, len(d.Y))
		for i := range d.Train {
			d.Train[i] = int32(i)
		}
	}
	if len(d.Train) == 0 {
		return errors.New("neuralfit: no rows to train on")
	}
	for _, rows := range [][]int32{d.Train, d.Valid} {
		for _, i := range rows {
			if i < 0 || int(i) >= len(d.Y) || math.IsNaN(d.Y[i]) || math.IsInf(d.Y[i], 0) {
				return fmt.Errorf("neuralfit: row %d of %d is not there or has no finite target", i, len(d.Y))
			}
			if y := d.Y[i]; classes > 0 && !(y >= 0 && y < float64(classes) && y == math.Trunc(y)) {
				return fmt.Errorf("neuralfit: row %d has class %v of %d", i, y, classes)
			}
			for _, v := range d.X[int(i)*d.Cols : (int(i)+1)*d.Cols] {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return fmt.Errorf("neuralfit: row %d has a value that is not finite", i)
				}
			}
		}
	}
	return nil
}

// layer is a slice of the parameters and the space for one batch.
type layer struct {
	in, out      int
	bias, weight []float64 // of trainer.params
	db, dw       []float64 // of trainer.grad
	act, delta   []float64 // Batch rows of out values; their gradient
}

type trainer struct {
	Params
	d                  Data
	widths             []int
	params, grad, m, v []float64
	decay              []bool // weights decay, biases do not
	layers             []layer
	input              []float64
	shift, scale       float64
	step               int
	rng                *rand.Rand
}

// Train fits a network. It returns ctx's error when ctx ends first.
func Train(ctx context.Context, d Data, p Params) (*Model, error) {
	p.defaults()
	outputs, classes, err := p.outputs()
	if err != nil {
		return nil, err
	}
	if !(p.Alpha > 0 && p.Alpha < 1) || p.Epochs < 1 || p.Batch < 1 || !(p.LearningRate > 0) || !(p.WeightDecay >= 0) || p.Patience < 1 {
		return nil, errors.New("neuralfit: a parameter is out of range")
	}
	if err := d.check(classes); err != nil {
		return nil, err
	}
	t := &trainer{Params: p, d: d, rng: rand.New(rand.NewPCG(p.Seed, 0x6d6c70)), shift: 0, scale: 1}
	t.widths = append(append([]int{d.Cols}, p.Hidden...), outputs)
	n := neural.Params(t.widths)
	if n == 0 {
		return nil, fmt.Errorf("neuralfit: widths %v", t.widths)
	}
	if classes == 0 {
		t.centre()
	}
	t.build(n)
	return t.run(ctx)
}

// centre finds the unit in which the network works: targets then have deviation 1.
func (t *trainer) centre() {
	n := float64(len(t.d.Train))
	var mean, ss float64
	for _, i := range t.d.Train {
		mean += t.d.Y[i] / n
	}
	for _, i := range t.d.Train {
		ss += (t.d.Y[i] - mean) * (t.d.Y[i] - mean) / n
	}
	t.shift = mean
	if s := math.Sqrt(ss); s > 0 {
		t.scale = s
	}
}

// build draws the first weights after He et al. (2015): variance 2/in for rectified units. The last layer starts small, near the mean target.
func (t *trainer) build(n int) {
	t.params, t.grad, t.m, t.v, t.decay = make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]bool, n)
	t.input = make([]float64, t.Batch*t.d.Cols)
	at := 0
	for l := 1; l < len(t.widths); l++ {
		y := layer{in: t.widths[l-1], out: t.widths[l]}
		b, w := at, at+y.out
		at = w + y.in*y.out
		y.bias, y.weight, y.db, y.dw = t.params[b:w], t.params[w:at], t.grad[b:w], t.grad[w:at]
		y.act, y.delta = make([]float64, t.Batch*y.out), make([]float64, t.Batch*y.out)
		dev := math.Sqrt(2 / float64(y.in))
		if l == len(t.widths)-1 {
			dev = 0.1 / math.Sqrt(float64(y.in))
		}
		for k := range y.weight {
			y.weight[k] = dev * t.rng.NormFloat64()
			t.decay[w+k] = true
		}
		t.layers = append(t.layers, y)
	}
}

func (t *trainer) run(ctx context.Context) (*Model, error) {
	m := &Model{}
	order, kept, best := slices.Clone(t.d.Train), slices.Clone(t.params), math.Inf(1)
	steps := float64(t.Epochs * ((len(order) + t.Batch - 1) / t.Batch))
	for epoch := 1; epoch <= t.Epochs; epoch++ {
		t.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for from := 0; from < len(order); from += t.Batch {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rows := order[from:min(from+t.Batch, len(order))]
			t.forward(rows)
			t.backward(rows)
			t.adam(t.LearningRate * 0.5 * (1 + math.Cos(math.Pi*float64(t.step)/steps)))
		}
		loss := math.NaN()
		if len(t.d.Valid) > 0 {
			loss = t.loss(t.d.Valid)
			m.Losses = append(m.Losses, loss)
			if loss < best {
				best, m.Epochs = loss, epoch
				copy(kept, t.params)
			}
		} else {
			m.Epochs = epoch
			copy(kept, t.params)
		}
		if (t.Progress != nil && !t.Progress(epoch, loss)) || (len(t.d.Valid) > 0 && epoch-m.Epochs >= t.Patience) {
			break
		}
	}
	link := ensemble.Identity
	switch t.Objective {
	case Logistic:
		link = ensemble.Logistic
	case Softmax:
		link = ensemble.Softmax
	}
	var err error
	if m.Network, err = neural.New(t.widths, link, t.scale, t.shift, kept); err != nil {
		return nil, fmt.Errorf("neuralfit: training diverged: %w", err)
	}
	return m, nil
}

func general(rows, cols int, data []float64) blas64.General {
	return blas64.General{Rows: rows, Cols: cols, Stride: cols, Data: data[:rows*cols]}
}

// forward fills the activations of every layer for rows; the last layer's are its sums.
func (t *trainer) forward(rows []int32) {
	n := len(rows)
	for k, i := range rows {
		copy(t.input[k*t.d.Cols:(k+1)*t.d.Cols], t.d.X[int(i)*t.d.Cols:])
	}
	in := t.input
	for l := range t.layers {
		y := &t.layers[l]
		for k := range n {
			copy(y.act[k*y.out:], y.bias)
		}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, general(n, y.in, in), general(y.out, y.in, y.weight), 1, general(n, y.out, y.act))
		if l < len(t.layers)-1 {
			for k, v := range y.act[:n*y.out] {
				y.act[k] = max(v, 0)
			}
		}
		in = y.act
	}
}

// backward fills the gradient of the mean loss over rows.
func (t *trainer) backward(rows []int32) {
	n := len(rows)
	t.outputDelta(rows)
	for l := len(t.layers) - 1; l >= 0; l-- {
		y, in := &t.layers[l], t.input
		if l > 0 {
			in = t.layers[l-1].act
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, 1, general(n, y.out, y.delta), general(n, y.in, in), 0, general(y.out, y.in, y.dw))
		clear(y.db)
		for k := range n {
			for u, g := range y.delta[k*y.out : (k+1)*y.out] {
				y.db[u] += g
			}
		}
		if l > 0 {
			below := &t.layers[l-1]
			blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, general(n, y.out, y.delta), general(y.out, y.in, y.weight), 0, general(n, y.in, below.delta))
			for k, v := range below.act[:n*below.out] {
				if v <= 0 {
					below.delta[k] = 0
				}
			}
		}
	}
}

// outputDelta is the gradient of the mean loss with respect to the last layer's sums.
func (t *trainer) outputDelta(rows []int32) {
	y := &t.layers[len(t.layers)-1]
	share := 1 / float64(len(rows))
	for k, i := range rows {
		s, g := y.act[k*y.out:(k+1)*y.out], y.delta[k*y.out:(k+1)*y.out]
		switch t.Objective {
		case Logistic:
			g[0] = ensemble.Sigmoid(s[0]) - t.d.Y[i]
		case Softmax:
			copy(g, s)
			ensemble.Softmax.Apply(g)
			g[int(t.d.Y[i])]--
		case Quantile:
			// The kink is rounded over a hundredth of the deviation, where its sign would only flicker.
			r := (t.d.Y[i]-t.shift)/t.scale - s[0]
			g[0] = 0.5 - t.Alpha - 0.5*min(max(r/0.01, -1), 1)
		default:
			g[0] = s[0] - (t.d.Y[i]-t.shift)/t.scale
		}
		for u := range g {
			g[u] *= share
		}
	}
}

func (t *trainer) adam(rate float64) {
	const b1, b2, eps = 0.9, 0.999, 1e-8
	t.step++
	c1, c2 := 1-math.Pow(b1, float64(t.step)), 1-math.Pow(b2, float64(t.step))
	for k, g := range t.grad {
		t.m[k] = float64(b1*t.m[k]) + float64((1-b1)*g)
		t.v[k] = float64(b2*t.v[k]) + float64((1-b2)*float64(g*g))
		d := t.m[k] / c1 / (math.Sqrt(t.v[k]/c2) + eps)
		if t.decay[k] {
			d += float64(t.WeightDecay * t.params[k])
		}
		t.params[k] -= float64(rate * d)
	}
}

// loss is the mean loss on rows in the unit of the network.
func (t *trainer) loss(rows []int32) float64 {
	y, sum := &t.layers[len(t.layers)-1], 0.0
	for from := 0; from < len(rows); from += t.Batch {
		part := rows[from:min(from+t.Batch, len(rows))]
		t.forward(part)
		for k, i := range part {
			sum += t.rowLoss(y.act[k*y.out:(k+1)*y.out], t.d.Y[i])
		}
	}
	return sum / float64(len(rows))
}

func (t *trainer) rowLoss(s []float64, y float64) float64 {
	switch t.Objective {
	case Logistic:
		p := ensemble.Sigmoid(s[0])
		if y == 0 {
			p = 1 - p
		}
		return -math.Log(max(p, 1e-15))
	case Softmax:
		ensemble.Softmax.Apply(s)
		return -math.Log(max(s[int(y)], 1e-15))
	}
	r := (y-t.shift)/t.scale - s[0]
	if t.Objective == Quantile {
		return max(t.Alpha*r, (t.Alpha-1)*r)
	}
	return r * r / 2
}
