package gbdt

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
)

// Boosting is how trees follow one another.
type Boosting string

// The ways to boost.
const (
	Gradient Boosting = "gbdt" // every tree corrects those before it
	// the same on the rows with the largest gradients and a weighted sample of the others (Ke et
	// al. 2017)
	GOSS Boosting = "goss"
	// a tree corrects those before it but some dropped ones, and is scaled down with them (Rashmi
	// and Gilad-Bachrach 2015); no early stopping
	DART Boosting = "dart"
)

// Params of a training. The zero value of a field is its documented default.
type Params struct {
	Objective Objective // default Squared
	Alpha     float64   // Quantile: which, in (0, 1); default 0.5
	Delta     float64   // Huber: where the loss becomes linear, in units of the target; default 1
	Classes   int       // Softmax: number of classes

	Rounds       int     // boosting rounds; default 200
	LearningRate float64 // default 0.1
	Leaves       int     // of a tree, at least 2; default 31
	MaxDepth     int     // default 0: no limit
	// rows of a leaf; default 20. With a weight or a hessian that differs between rows it is
	// estimated from the hessian's share.
	MinRows    int
	MinHessian float64 // sum of hessians (weights, for most objectives) of a leaf; default 1e-3
	L1         float64 // taken from the absolute sum of gradients; default 0
	L2         float64 // added to the sum of hessians; default 0
	MinGain    float64 // a split must lower the loss by more; default 0

	// up to so many categories in a leaf each is tried against the rest; default 4
	OneHotCategories int
	CategorySmooth   float64 // added to a category's rows when categories are sorted; default 10
	// categories with fewer rows in a leaf go right; default CategorySmooth
	CategoryRows float64
	// rows between two places where sorted categories are divided; default 100
	CategoryGroup      float64
	CategoryL2         float64 // added to L2 where sorted categories are divided; default 10
	CategoriesPerSplit int     // at most so many categories go left; default 32

	RowFraction     float64 // rows drawn for each tree without replacement; default 1
	FeatureFraction float64 // features drawn for each tree; default 1
	SplitFraction   float64 // of these, drawn for each split; default 1
	// by feature: 1 predictions must not fall with it, -1 must not rise, 0 either; nil: none. Not
	// for categories.
	Monotone []int8

	Boosting  Boosting // default Gradient
	GOSSTop   float64  // GOSS: share of the rows kept for their gradients; default 0.2
	GOSSOther float64  // GOSS: share of all rows drawn from the rest; default 0.1
	DropRate  float64  // DART: probability of a tree to be dropped; default 0.1
	DropMost  int      // DART: trees dropped at once; default 50
	DropSkip  float64  // DART: probability of a round without dropping; default 0.5

	// rounds without a better loss on Data.Valid after which training ends; default 0: never
	EarlyStop int
	Seed      uint64 // of the draws
	Threads   int    // default 1; does not change the result

	// Progress is called after every round with the loss on Data.Valid, NaN without such rows.
	// Returning false ends the training.
	Progress func(round int, loss float64) bool
}

// Data is what to train on. Train and Valid are rows of X; both may share X so that folds need no
// copies.
type Data struct {
	X      *binned.Matrix
	Y      []float64 // one per row of X; class indices for Logistic (0, 1) and Softmax
	Weight []float64 // one per row of X, positive; nil means 1
	Train  []int32   // in any order, each row once; nil means all rows
	Valid  []int32   // scored after each round, none of them in Train; nil means none
}

func (p *Params) defaults() {
	def := func(v *float64, to float64) {
		if *v == 0 {
			*v = to
		}
	}
	defInt := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	if p.Objective == "" {
		p.Objective = Squared
	}
	if p.Boosting == "" {
		p.Boosting = Gradient
	}
	def(&p.Alpha, 0.5)
	if p.Objective == Absolute {
		p.Alpha = 0.5
	}
	def(&p.Delta, 1)
	defInt(&p.Rounds, 200)
	def(&p.LearningRate, 0.1)
	defInt(&p.Leaves, 31)
	defInt(&p.MinRows, 20)
	def(&p.MinHessian, 1e-3)
	defInt(&p.OneHotCategories, 4)
	def(&p.CategorySmooth, 10)
	def(&p.CategoryRows, p.CategorySmooth)
	def(&p.CategoryGroup, 100)
	def(&p.CategoryL2, 10)
	defInt(&p.CategoriesPerSplit, 32)
	def(&p.RowFraction, 1)
	def(&p.FeatureFraction, 1)
	def(&p.SplitFraction, 1)
	def(&p.GOSSTop, 0.2)
	def(&p.GOSSOther, 0.1)
	def(&p.DropRate, 0.1)
	defInt(&p.DropMost, 50)
	def(&p.DropSkip, 0.5)
	p.Threads = max(p.Threads, 1)
}

// check reports the first parameter that is out of range, with what is allowed.
func (p *Params) check(x *binned.Matrix) error {
	for _, r := range []struct {
		name       string
		v          float64
		from, upTo float64
		open       bool // from itself is not allowed
	}{
		{"alpha", p.Alpha, 0, 1 - 1e-12, true}, {"delta", p.Delta, 0, math.MaxFloat64, true}, {"learning rate", p.LearningRate, 0, 1e3, true},
		{"rounds", float64(p.Rounds), 1, ensemble.MaxTrees, false}, {"leaves", float64(p.Leaves), 2, 1 << 15, false}, {"max depth", float64(p.MaxDepth), 0, 1 << 15, false},
		{"min rows", float64(p.MinRows), 1, math.MaxInt32, false}, {"min hessian", p.MinHessian, 0, math.MaxFloat64, false}, {"l1", p.L1, 0, math.MaxFloat64, false},
		{"l2", p.L2, 0, math.MaxFloat64, false}, {"min gain", p.MinGain, 0, math.MaxFloat64, false}, {"one-hot categories", float64(p.OneHotCategories), 1, 256, false},
		{"category smooth", p.CategorySmooth, 0, math.MaxFloat64, false}, {"category rows", p.CategoryRows, 0, math.MaxFloat64, false}, {"category group", p.CategoryGroup, 0, math.MaxFloat64, false},
		{"category l2", p.CategoryL2, 0, math.MaxFloat64, false}, {"categories per split", float64(p.CategoriesPerSplit), 1, 256, false},
		{"row fraction", p.RowFraction, 0, 1, true}, {"feature fraction", p.FeatureFraction, 0, 1, true}, {"split fraction", p.SplitFraction, 0, 1, true},
		{"goss top", p.GOSSTop, 0, 1, true}, {"goss other", p.GOSSOther, 0, 1 - p.GOSSTop, true}, {"drop rate", p.DropRate, 0, 1, true}, {"drop most", float64(p.DropMost), 1, math.MaxInt32, false},
		{"drop skip", p.DropSkip, 0, 1, false}, {"early stop", float64(p.EarlyStop), 0, math.MaxInt32, false},
	} {
		if !(r.v >= r.from && r.v <= r.upTo) || r.open && r.v == r.from {
			return fmt.Errorf("gbdt: %s is %v, must be in %v to %v", r.name, r.v, r.from, r.upTo)
		}
	}
	switch p.Boosting {
	case Gradient:
	case GOSS:
		if p.RowFraction != 1 {
			return errors.New("gbdt: goss draws rows by itself: leave the row fraction at 1")
		}
	case DART:
		if p.EarlyStop > 0 {
			return errors.New("gbdt: dart changes earlier trees, so training cannot stop early")
		}
	default:
		return fmt.Errorf("gbdt: boosting %q, must be %s, %s or %s", p.Boosting, Gradient, GOSS, DART)
	}
	if p.Objective == Softmax && (p.Classes < 2 || p.Classes > ensemble.MaxOutputs) {
		return fmt.Errorf("gbdt: %d classes, must be 2 to %d", p.Classes, ensemble.MaxOutputs)
	}
	if p.Monotone == nil {
		return nil
	}
	if len(p.Monotone) != x.Cols() {
		return fmt.Errorf("gbdt: %d monotone constraints for %d features", len(p.Monotone), x.Cols())
	}
	for j, m := range p.Monotone {
		if m < -1 || m > 1 || m != 0 && x.Categorical(j) {
			return fmt.Errorf("gbdt: monotone constraint %d of feature %d, must be -1, 0 or 1, and 0 for categories", m, j)
		}
	}
	return nil
}

func (d *Data) check(p *Params) error {
	n := d.X.N
	if len(d.Y) != n || (d.Weight != nil && len(d.Weight) != n) || n > math.MaxInt32 {
		return fmt.Errorf("gbdt: %d rows, %d targets, %d weights", n, len(d.Y), len(d.Weight))
	}
	if d.Train == nil {
		d.Train = make([]int32, n)
		for i := range d.Train {
			d.Train[i] = int32(i)
		}
	}
	if len(d.Train) == 0 {
		return errors.New("gbdt: no rows to train on")
	}
	// what follows reads rows that ascend without a gap as they stand
	if !slices.IsSorted(d.Train) {
		d.Train = slices.Sorted(slices.Values(d.Train))
	}
	// scores are kept by row: one that stood twice would learn every tree twice
	seen := make([]bool, n)
	for _, rows := range [][]int32{d.Train, d.Valid} {
		for _, i := range rows {
			if i < 0 || int(i) >= n {
				return fmt.Errorf("gbdt: row %d of %d", i, n)
			}
			if seen[i] {
				return fmt.Errorf("gbdt: row %d is listed twice, each may be in one of the training and validation rows once", i)
			}
			seen[i] = true
			y := d.Y[i]
			if math.IsNaN(y) || math.IsInf(y, 0) || (d.Weight != nil && !(d.Weight[i] > 0 && d.Weight[i] <= math.MaxFloat64)) {
				return fmt.Errorf("gbdt: row %d has target %v or a weight that is not positive", i, y)
			}
			if c := p.Objective.classes(p); c > 0 && !(y >= 0 && y < float64(c) && y == math.Trunc(y)) {
				return fmt.Errorf("gbdt: row %d has class %v of %d", i, y, c)
			}
			if p.Objective == Poisson && y < 0 {
				return fmt.Errorf("gbdt: row %d has count %v, must not be negative", i, y)
			}
		}
	}
	return nil
}
