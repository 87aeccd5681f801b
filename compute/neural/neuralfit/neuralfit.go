// Package neuralfit trains multilayer perceptrons by Adam with decoupled weight decay (Loshchilov
// and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019) on minibatches, with a warm-up,
// a cosine schedule and early stopping.
//
// [Fit] starts from a raw table and chooses encoding, size and length of the training by it;
// [Train] takes a matrix that is scaled and has no gaps, apart from the codes of categories that
// get an embedding.
//
// Training runs in float32 with gonum's kernels. Matrix products are cut into parts whose sizes
// do not depend on the number of threads, so the same data, parameters and seed give the same
// network on the same architecture, whatever Threads is. A step costs about six operations per
// weight and row; products skip inputs that are zero, so that indicator columns cost little.
package neuralfit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/neural"
)

// Objective is the loss that is minimised.
type Objective string

// The objectives. Errors of a regression are measured in the deviation of the target.
const (
	Squared  Objective = "squared"
	Absolute Objective = "absolute"
	// squared up to Delta, absolute beyond; Huber, Annals of Mathematical Statistics 35 (1964)
	Huber    Objective = "huber"
	Quantile Objective = "quantile" // pinball loss at Alpha, or at each of Alphas
	Logistic Objective = "logistic" // classes 0 and 1
	Softmax  Objective = "softmax"  // classes 0 to Classes-1
)

// Norm is what a hidden layer does to its sums.
type Norm string

// The normalisations.
const (
	NoNorm Norm = ""
	// Ioffe and Szegedy, ICML 2015; folded into the weights when the training ends
	BatchNorm Norm = "batch"
	LayerNorm Norm = "layer" // Ba, Kiros and Hinton, arXiv:1607.06450; remains in the network
)

// Params of a training. The zero value of a field is its documented default. Weigh classes by
// Data.Weight.
type Params struct {
	Objective Objective // default Squared
	Alpha     float64   // Quantile: which; default 0.5
	// Quantile: several, one output for each; they are fitted apart and may cross where data are
	// few
	Alphas  []float64
	Delta   float64 // Huber: in deviations of the target; default 1
	Classes int     // Softmax
	// widths of the hidden layers; default 64, 32; an empty slice that is not nil gives a linear
	// model
	Hidden     []int
	Activation neural.Activation
	Norm       Norm
	// share of hidden units left out in a step (Srivastava et al., JMLR 15, 2014); default 0
	Dropout      float64
	Clip         float64 // unless 0, numbers enter as neural.Clip(v, Clip)
	Epochs       int     // default 40
	Batch        int     // rows of a step at most; default 128
	LearningRate float64 // default 2e-3
	// share of the steps over which the rate rises to it; then it falls along a cosine to 0;
	// default 0.02
	Warmup float64
	// per step and rate, of weights, not of biases, norms or embeddings; default 1e-4
	WeightDecay float64
	// epochs without a better loss on the validation rows after which the best network is trained
	// on for a quarter of its epochs, with a rate that falls to 0; default 6
	Patience int
	// share of Data.Train, drawn by Seed, that becomes validation rows when Data.Valid is empty;
	// default 0: none, and every epoch is run
	Hold    float64
	Dim     int // numbers of an embedding; default min(16, 1.6·levels^0.56) after fast.ai
	Seed    uint64
	Threads int // default 1; does not change the result

	// Progress is called after every epoch with the loss on the validation rows, NaN without such
	// rows. Returning false ends the training.
	Progress func(epoch int, loss float64) bool

	stop   int  // unless 0, after how many epochs the rate goes to 0 ahead of its schedule
	steady bool // stay with the schedule to the end: the losses are what is needed
}

// Data is what to train on: rows of X, one after the other, at the positions Train (nil: all),
// scored on those at Valid after each epoch.
type Data struct {
	X    []float64
	Cols int
	// by column: K for codes 0 to K-1 that get an embedding, where NaN and other numbers are
	// allowed; 0 for numbers. nil when all are numbers.
	Levels       []int
	Y            []float64
	Weight       []float64 // not negative; nil means 1
	Train, Valid []int32
}

// Model is a trained network.
type Model struct {
	Network *neural.Network
	// epochs that the kept network has seen: those up to the best one when there were validation
	// rows
	Epochs int
	Losses []float64 // on the validation rows after each epoch run
	// smallest and largest input of the training rows by column, for Network.Quantise
	Low, High []float64
}

func (p *Params) defaults() {
	if p.Objective == "" {
		p.Objective = Squared
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
	for _, v := range []struct {
		p  *float64
		to float64
	}{{&p.Alpha, 0.5}, {&p.Delta, 1}, {&p.LearningRate, 2e-3}, {&p.WeightDecay, 1e-4}, {&p.Warmup, 0.02}} {
		if *v.p == 0 {
			*v.p = v.to
		}
	}
	switch {
	case p.Objective == Absolute:
		p.Alphas = []float64{0.5}
	case p.Objective == Quantile && len(p.Alphas) == 0:
		p.Alphas = []float64{p.Alpha}
	}
}

func (p *Params) check() error {
	for _, a := range p.Alphas {
		if !(a > 0 && a < 1) {
			return fmt.Errorf("neuralfit: quantile %v", a)
		}
	}
	between := func(v, low, high float64) bool { return v >= low && v < high }
	if p.Epochs < 1 || p.Batch < 1 || !(p.LearningRate > 0) || !between(p.WeightDecay, 0, math.Inf(1)) || p.Patience < 1 || !(p.Delta > 0) || !(p.Alpha > 0 && p.Alpha < 1) ||
		!between(p.Dropout, 0, 1) || !between(p.Clip, 0, math.Inf(1)) || !between(p.Warmup, 0, 1) || !between(p.Hold, 0, 1) || p.Dim < 0 || p.Dim > neural.MaxDim ||
		p.Activation > neural.Linear || (p.Norm != NoNorm && p.Norm != BatchNorm && p.Norm != LayerNorm) {
		return errors.New("neuralfit: a parameter is out of range")
	}
	return nil
}

func (p *Params) outputs() (outputs, classes int, err error) {
	switch p.Objective {
	case Squared, Huber:
		return 1, 0, nil
	case Quantile, Absolute:
		return len(p.Alphas), 0, nil
	case Logistic:
		return 1, 2, nil
	case Softmax:
		if p.Classes >= 2 {
			return p.Classes, p.Classes, nil
		}
	}
	return 0, 0, fmt.Errorf("neuralfit: objective %q with %d classes", p.Objective, p.Classes)
}

func (p *Params) link() ensemble.Link {
	switch p.Objective {
	case Logistic:
		return ensemble.Logistic
	case Softmax:
		return ensemble.Softmax
	}
	return ensemble.Identity
}

func (d *Data) level(j int) int {
	if d.Levels == nil {
		return 0
	}
	return d.Levels[j]
}

func (d *Data) weight(i int32) float64 {
	if d.Weight == nil {
		return 1
	}
	return d.Weight[i]
}

func (d *Data) check(classes int) error {
	if d.Cols < 1 || len(d.X) != d.Cols*len(d.Y) || (d.Levels != nil && len(d.Levels) != d.Cols) || (d.Weight != nil && len(d.Weight) != len(d.Y)) {
		return fmt.Errorf("neuralfit: %d values in %d columns, %d levels, %d targets, %d weights", len(d.X), d.Cols, len(d.Levels), len(d.Y), len(d.Weight))
	}
	if d.Train == nil {
		d.Train = make([]int32, len(d.Y))
		for i := range d.Train {
			d.Train[i] = int32(i)
		}
	}
	for k, rows := range [][]int32{d.Train, d.Valid} {
		total := 0.0
		for _, i := range rows {
			if i < 0 || int(i) >= len(d.Y) || math.IsNaN(d.Y[i]) || math.IsInf(d.Y[i], 0) {
				return fmt.Errorf("neuralfit: row %d of %d is not there or has no finite target", i, len(d.Y))
			}
			if y := d.Y[i]; classes > 0 && !(y >= 0 && y < float64(classes) && y == math.Trunc(y)) {
				return fmt.Errorf("neuralfit: row %d has class %v of %d", i, y, classes)
			}
			w := d.weight(i)
			if !(w >= 0) || math.IsInf(w, 0) {
				return fmt.Errorf("neuralfit: row %d has the weight %v", i, w)
			}
			total += w
			for j, v := range d.X[int(i)*d.Cols : (int(i)+1)*d.Cols] {
				if (math.IsNaN(v) || math.IsInf(v, 0)) && d.level(j) == 0 {
					return fmt.Errorf("neuralfit: row %d has a value that is not finite", i)
				}
			}
		}
		if !(total > 0) && (k == 0 || len(rows) > 0) {
			return errors.New("neuralfit: no rows to train on, or only rows without weight")
		}
	}
	return nil
}

// hold moves a share of the training rows to the validation rows.
func (d *Data) hold(share float64, seed uint64) {
	n := int(math.Round(share * float64(len(d.Train))))
	if share > 0 {
		n = max(n, 1)
	}
	if n == 0 || len(d.Valid) > 0 || n >= len(d.Train) {
		return
	}
	rows := append([]int32(nil), d.Train...)
	rng := rand.New(rand.NewPCG(seed, 0x686f6c64))
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	d.Valid, d.Train = rows[:n], rows[n:]
}

// span returns the smallest and largest value of every column in the training rows.
func (d *Data) span() (low, high []float64) {
	low, high = make([]float64, d.Cols), make([]float64, d.Cols)
	for j := range low {
		if d.level(j) == 0 {
			low[j], high[j] = math.Inf(1), math.Inf(-1)
		}
	}
	for _, i := range d.Train {
		for j, v := range d.X[int(i)*d.Cols : (int(i)+1)*d.Cols] {
			if d.level(j) == 0 {
				low[j], high[j] = min(low[j], v), max(high[j], v)
			}
		}
	}
	return low, high
}

// Train fits a network. It returns ctx's error when ctx ends first, and an error when the loss
// stops being a number before a first epoch was good.
func Train(ctx context.Context, d Data, p Params) (*Model, error) {
	t, err := newTrainer[float32](d, p)
	if err != nil {
		return nil, err
	}
	return t.run(ctx)
}

// newTrainer checks everything and draws the first weights. Tests use float64.
func newTrainer[F float](d Data, p Params) (*trainer[F], error) {
	p.defaults()
	outputs, classes, err := p.outputs()
	if err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := d.check(classes); err != nil {
		return nil, err
	}
	d.hold(p.Hold, p.Seed)
	p.Batch = min(p.Batch, len(d.Train))
	t := &trainer[F]{
		Params:  p,
		d:       d,
		rng:     rand.New(rand.NewPCG(p.Seed, 0x6d6c70)),
		scale:   1,
		outputs: outputs,
	}
	for _, i := range d.Train {
		t.meanWeight += d.weight(i) / float64(len(d.Train))
	}
	if classes == 0 {
		t.centre()
	}
	return t, t.build()
}
