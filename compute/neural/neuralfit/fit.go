package neuralfit

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/encode"
)

// Fitted is a network with the steps that make its inputs from a raw row.
type Fitted struct {
	*Model
	Encoder *encode.Encoder
}

// Fit trains a network on a raw table. Numbers are scaled by their quartiles and clipped,
// categories of up to 10 levels become indicator columns and larger ones get an embedding. Fields
// of p that are zero are chosen by the number of rows; the choices did best on the mean of some
// fifty public tables (see docs/performance/neural.md).
//
// Without rows in d.Valid the length of the training is found on rows held back: a tenth of them
// where there are many, else three or five folds in turn, after which a network is trained on all
// rows for the number of epochs that did best.
func Fit(ctx context.Context, d encode.Data, p Params) (*Fitted, error) {
	e, m, err := prepare(d, &p)
	if err != nil {
		return nil, err
	}
	if len(m.Valid) > 0 || len(m.Train) > foldRows || p.Hold > 0 {
		if p.Hold == 0 {
			p.Hold = 0.1
		}
		model, err := Train(ctx, m, p)
		if err != nil {
			return nil, err
		}
		return &Fitted{model, e}, nil
	}
	if p.stop, err = length(ctx, m, p); err != nil {
		return nil, err
	}
	model, err := Train(ctx, m, p)
	if err != nil {
		return nil, err
	}
	return &Fitted{model, e}, nil
}

// foldRows is up to how many rows the length is found by folds, and manyRows up to how many by
// five of them instead of three.
const (
	foldRows = 3000
	manyRows = 1000
)

// prepare encodes the table and fills in the defaults.
func prepare(d encode.Data, p *Params) (*encode.Encoder, Data, error) {
	rows := d.Train
	n := len(rows)
	if rows == nil {
		n = len(d.Y)
	}
	p.choose(n)
	e, err := encode.Fit(d.Table, rows, encode.Options{Robust: p.Clip > 0, Embed: embedAbove})
	if err != nil {
		return nil, Data{}, err
	}
	x, err := e.Apply(d.X, p.Threads)
	if err != nil {
		return nil, Data{}, err
	}
	m := Data{
		X:      x,
		Cols:   e.Width(),
		Levels: e.Levels,
		Y:      d.Y,
		Weight: d.Weight,
		Train:  d.Train,
		Valid:  d.Valid,
	}
	if m.Train == nil {
		m.Train = make([]int32, len(d.Y))
		for i := range m.Train {
			m.Train[i] = int32(i)
		}
	}
	return e, m, nil
}

// embedAbove is up to how many levels a category becomes indicator columns.
const embedAbove = 10

// choose fills in what is zero, for n rows.
func (p *Params) choose(n int) {
	if p.Hidden == nil {
		p.Hidden = []int{128, 64}
	}
	decay, dropout := 0.3, 0.0
	if n <= foldRows {
		dropout = 0.1
	}
	if n >= 10_000 {
		decay = 0.1 // more rows need less of it
	}
	for _, v := range []struct {
		p  *float64
		to float64
	}{{&p.Clip, 3}, {&p.WeightDecay, decay}, {&p.Dropout, dropout}, {&p.LearningRate, 4e-3}} {
		if *v.p == 0 {
			*v.p = v.to
		}
		*v.p = max(*v.p, 0)
	}
	if p.Batch == 0 {
		p.Batch = 32
		for p.Batch < 256 && p.Batch*64 < n {
			p.Batch *= 2
		}
	}
	if p.Epochs == 0 {
		p.Epochs = int(min(max(5000*float64(p.Batch)/float64(max(n, 1)), 30), 150))
	}
	if p.Patience == 0 {
		p.Patience = max(8, p.Epochs/4)
	}
}

// length is the mean over the folds of the loss of each epoch, at its minimum.
func length(ctx context.Context, d Data, p Params) (int, error) {
	rows := slices.Clone(d.Train)
	rng := rand.New(rand.NewPCG(p.Seed, 0x666f6c64))
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	parts := min(5, len(rows)/2)
	if len(rows) > manyRows {
		parts = 3
	}
	if parts < 2 {
		return p.Epochs, nil
	}
	sum := make([]float64, p.Epochs)
	p.Progress, p.steady = nil, true
	for k := range parts {
		from, to := k*len(rows)/parts, (k+1)*len(rows)/parts
		d.Valid = rows[from:to]
		d.Train = slices.Concat(rows[:from], rows[to:])
		m, err := Train(ctx, d, p)
		if err != nil {
			return 0, err
		}
		for e := range sum { // a fold that stopped stays where it was
			sum[e] += m.Losses[min(e, len(m.Losses)-1)] * float64(to-from)
		}
	}
	best := 0
	for e, l := range sum {
		if l < sum[best] || math.IsNaN(sum[best]) {
			best = e
		}
	}
	return best + 1, nil
}
