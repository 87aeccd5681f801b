// Package forest trains random forests (Breiman 2001) and extremely randomised trees (Geurts et
// al. 2006) on binned data.
//
// Every tree has its own random stream, so the forest is the same for every number of threads.
// Numbers are predicted by the mean of the leaves, classes by the mean of their class shares;
// both split where the squared error, for classes the Gini impurity, falls most. Categories are
// sorted by their mean, or by their share of the most frequent class, and split like numbers.
// Missing values go to the side where they fit best.
package forest

import (
	"context"
	"fmt"
	"math"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
)

// Params of a training. The zero value of a field is its documented default.
type Params struct {
	Classes int  // 0 for numbers, else classes 0 to Classes-1
	Extra   bool // extremely randomised: one random threshold per feature, no bootstrap
	Trees   int  // default 100
	Leaves  int  // of a tree at most; default 32768
	MinRows int  // rows of a leaf; default 5 for numbers, 1 for classes
	// share of the features looked at per split; default a third for numbers, the square root of
	// their number for classes
	Features  float64
	MaxDepth  int     // default 64
	RowsShare float64 // rows drawn per tree as a share of the training rows; default 1
	// classes: a leaf's shares are those of its rows and of so many more like all rows; default 0
	Smooth   float64
	Balanced bool // classes: rows weigh as much as if all classes were equally frequent
	Score    bool // compute Model.OutOfBag
	Seed     uint64
	Threads  int // default 1; does not change the result

	// Progress is called as trees are done, from several goroutines.
	Progress func(done int)
}

// Data is what to train on: the rows of X at Train (nil: all).
type Data struct {
	X      *binned.Matrix
	Y      []float64
	Weight []float64 // one per row of X, positive; nil means 1
	Train  []int32
}

// Model is a trained forest.
type Model struct {
	// two classes: one output, the share of class 1; more: one per class
	Ensemble *ensemble.Ensemble
	// root mean squared error, or log loss of classes, of rows by the trees that did not see
	// them; NaN without Params.Score and for Extra
	OutOfBag   float64
	Importance []float64 // impurity decrease by feature, adds up to 1 (or is all 0)
}

func (p *Params) defaults(cols int) error {
	p.Threads = max(p.Threads, 1)
	for _, v := range []struct {
		p  *int
		to int
	}{{&p.Trees, 100}, {&p.Leaves, 1 << 15}, {&p.MaxDepth, 64}} {
		if *v.p == 0 {
			*v.p = v.to
		}
	}
	if p.MinRows == 0 {
		p.MinRows = 5
		if p.Classes > 0 {
			p.MinRows = 1
		}
	}
	if p.Features == 0 {
		p.Features = 1.0 / 3
		if p.Classes > 0 {
			p.Features = math.Sqrt(float64(cols)) / float64(cols)
		}
	}
	if p.RowsShare == 0 {
		p.RowsShare = 1
	}
	switch {
	case p.Trees < 1 || p.Trees > ensemble.MaxTrees:
		return fmt.Errorf("forest: %d trees, must be 1 to %d", p.Trees, ensemble.MaxTrees)
	case p.Leaves < 2 || p.MaxDepth < 1 || p.MinRows < 1:
		return fmt.Errorf("forest: %d leaves, depth %d, %d rows of a leaf: must be at least 2, 1 and 1", p.Leaves, p.MaxDepth, p.MinRows)
	case !(p.Features > 0 && p.Features <= 1) || !(p.RowsShare > 0 && p.RowsShare <= 1):
		return fmt.Errorf("forest: share of features %v or of rows %v, must be in (0, 1]", p.Features, p.RowsShare)
	case !(p.Smooth >= 0 && p.Smooth < math.Inf(1)):
		return fmt.Errorf("forest: smooth %v, must not be negative", p.Smooth)
	case p.Classes == 1 || p.Classes < 0 || p.Classes > ensemble.MaxOutputs:
		return fmt.Errorf("forest: %d classes, must be 0 or 2 to %d", p.Classes, ensemble.MaxOutputs)
	}
	return nil
}

func (d *Data) check(p *Params) error {
	if d.Train == nil {
		d.Train = make([]int32, d.X.N)
		for i := range d.Train {
			d.Train[i] = int32(i)
		}
	}
	if len(d.Train) == 0 || len(d.Y) != d.X.N || d.Weight != nil && len(d.Weight) != d.X.N {
		return fmt.Errorf("forest: %d rows, %d targets, %d weights, %d rows to train on", d.X.N, len(d.Y), len(d.Weight), len(d.Train))
	}
	for _, i := range d.Train {
		if i < 0 || int(i) >= d.X.N || math.IsNaN(d.Y[i]) || math.IsInf(d.Y[i], 0) ||
			(p.Classes > 0 && !(d.Y[i] >= 0 && d.Y[i] < float64(p.Classes) && d.Y[i] == math.Trunc(d.Y[i]))) {
			return fmt.Errorf("forest: row %d of %d is not there or has no usable target", i, d.X.N)
		}
		if d.Weight != nil && !(d.Weight[i] > 0 && d.Weight[i] <= math.MaxFloat64) {
			return fmt.Errorf("forest: row %d has weight %v, must be positive", i, d.Weight[i])
		}
	}
	return nil
}

// balance multiplies weights so that all classes have the same sum.
func (d *Data) balance(classes int) {
	sum, rows := make([]float64, classes), 0.0
	for _, i := range d.Train {
		sum[int(d.Y[i])] += d.weight(i)
		rows += d.weight(i)
	}
	w := make([]float64, d.X.N)
	for _, i := range d.Train {
		w[i] = d.weight(i) * rows / (float64(classes) * sum[int(d.Y[i])])
	}
	d.Weight = w
}

func (d *Data) weight(i int32) float64 {
	if d.Weight == nil {
		return 1
	}
	return d.Weight[i]
}

// Train fits a forest. It returns ctx's error when ctx ends first.
func Train(ctx context.Context, d Data, p Params) (*Model, error) {
	if err := p.defaults(d.X.Cols()); err != nil {
		return nil, err
	}
	if err := d.check(&p); err != nil {
		return nil, err
	}
	if p.Balanced && p.Classes > 0 {
		d.balance(p.Classes)
	}
	trees := make([]*tree, p.Trees)
	progress := counter(p.Progress)
	binned.Parallel(p.Threads, p.Trees, func(from, to int) {
		g := newGrower(&d, &p)
		for k := from; k < to && ctx.Err() == nil; k++ {
			trees[k] = g.grow(uint64(k))
			progress()
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return assemble(&d, &p, trees)
}

// assemble packs the trees, with leaves divided by their number, and scores the rows that trees
// left out.
func assemble(d *Data, p *Params, trees []*tree) (*Model, error) {
	m := &Model{Importance: make([]float64, d.X.Cols()), OutOfBag: math.NaN()}
	packed := make([]ensemble.Tree, len(trees))
	total, nodes := 0.0, 0
	for k, t := range trees {
		packed[k] = t.export(d.X.Mapper, 1/float64(len(trees)), p.Classes)
		nodes += len(t.nodes)
		for i := range t.nodes {
			if n := &t.nodes[i]; n.left != 0 {
				m.Importance[n.feature] += n.gain
				total += n.gain
			}
		}
	}
	if nodes > ensemble.MaxNodes {
		return nil, fmt.Errorf("forest: %d nodes, at most %d: fewer trees or leaves, or more rows of a leaf", nodes, ensemble.MaxNodes)
	}
	if total > 0 {
		for j := range m.Importance {
			m.Importance[j] /= total
		}
	}
	if p.Score && !p.Extra {
		m.OutOfBag = outOfBag(d, p, trees)
	}
	s := ensemble.Spec{
		Inputs: d.X.Cols(),
		Base:   make([]float64, width(p.Classes)),
		Vector: p.Classes > 2,
		Covers: true,
	}
	var err error
	m.Ensemble, err = ensemble.Build(s, packed)
	return m, err
}

// width is how many outputs so many classes have.
func width(classes int) int {
	if classes > 2 {
		return classes
	}
	return 1
}

// outOfBag scores every row by the trees that did not see it.
func outOfBag(d *Data, p *Params, trees []*tree) float64 {
	k := max(p.Classes, 1)
	losses := make([]float64, len(d.Train))
	binned.Parallel(p.Threads, len(d.Train), func(from, to int) {
		votes := make([]float64, k)
		for at := from; at < to; at++ {
			i, seen := d.Train[at], 0.0
			clear(votes)
			for _, t := range trees {
				if t.drew[at/64]>>(at%64)&1 == 0 {
					seen++
					for c, v := range t.leaf(d.X, int(i)) {
						votes[c] += v
					}
				}
			}
			switch y := d.Y[i]; {
			case seen == 0:
				losses[at] = -1
			case p.Classes > 0:
				losses[at] = -math.Log(max(votes[int(y)]/seen, 1e-15))
			default:
				losses[at] = (y - votes[0]/seen) * (y - votes[0]/seen)
			}
		}
	})
	sum, n := 0.0, 0.0
	for _, l := range losses {
		if l >= 0 {
			sum += l
			n++
		}
	}
	switch {
	case n == 0:
		return math.NaN()
	case p.Classes > 0:
		return sum / n
	}
	return math.Sqrt(sum / n)
}
