package fit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/gbdt"
)

// When gbdt tunes itself.
const (
	tuneAuto  = "auto"
	tuneRows  = 500_000 // auto: up to so many rows times classes
	tuneAll   = 100_000 // beyond so many only the recipes marked few are tried, on one fold
	tuneFolds = 4       // of cross-validation; only the first is used beyond tuneWhole rows
	tuneWhole = 20_000
	tuneBest  = 4 // settings that are tried on all folds
)

// recipe is what tuning chooses between: how fast to learn and how much to hold back.
type recipe struct {
	rate, l2       float64
	minRows        int
	rows, features float64
	bins           int
	few            bool // tried also where each trial is long
}

// coarse is a number of bins that hides detail: on skewed columns it generalises better.
const coarse = 64

// recipes go from the one for most tables to those for exact rules and for mere noise.
var recipes = []recipe{
	{rate: 0.1, l2: 1, minRows: 20, rows: 1, features: 1, bins: binned.MaxBins, few: true},
	{rate: 0.2, l2: 1, minRows: 20, rows: 1, features: 1, bins: binned.MaxBins},
	{rate: 0.2, l2: 0.001, minRows: 20, rows: 1, features: 1, bins: binned.MaxBins},
	{rate: 0.1, l2: 0.1, minRows: 5, rows: 1, features: 1, bins: binned.MaxBins, few: true},
	{rate: 0.3, l2: 0.1, minRows: 2, rows: 1, features: 1, bins: binned.MaxBins},
	{rate: 0.15, l2: 1, minRows: 10, rows: 0.8, features: 0.7, bins: binned.MaxBins, few: true},
	{rate: 0.2, l2: 1, minRows: 1, rows: 1, features: 1, bins: coarse},
	{rate: 0.15, l2: 1, minRows: 5, rows: 0.8, features: 0.7, bins: coarse},
	{rate: 0.1, l2: 10, minRows: 20, rows: 0.7, features: 0.5, bins: binned.MaxBins},
	{rate: 0.05, l2: 5, minRows: 10, rows: 0.6, features: 0.4, bins: coarse},
}

// tunes decides whether to tune. Settings that tuning would choose are used as given.
func (w *work) tunes(mode string, p *gbdt.Params) (bool, error) {
	own := p.EarlyStop > 0 || p.Boosting == gbdt.DART || p.Boosting == gbdt.GOSS
	for _, name := range []string{"learning_rate", "min_rows", "l2", "row_fraction", "feature_fraction"} {
		own = own || w.set[name] != ""
	}
	switch mode {
	case tuneAuto:
		own = own || w.set["bins"] != ""
		return !own && w.work() <= tuneRows && len(w.rows) >= 10*tuneFolds, nil
	case "off":
		return false, nil
	case "on":
		if own {
			return false, fmt.Errorf("setting tune=on: learning rate, min_rows, l2, row and feature fraction are what it chooses, by plain boosting: leave them out")
		}
		return true, nil
	}
	return false, fmt.Errorf("setting tune=%q: must be auto, on or off", mode)
}

// work is what a trial costs: rows times classes.
func (w *work) work() int { return len(w.rows) * max(1, len(w.shape.classes)-1) }

// trial is a recipe with the sum of its loss curves over folds.
type trial struct {
	recipe
	curve []float64
	loss  float64
	round int
}

func (t *trial) add(losses []float64) {
	for len(losses) < len(t.curve) { // it ended early: nothing was left to learn
		losses = append(losses, losses[len(losses)-1])
	}
	t.loss = math.Inf(1)
	for k, l := range losses {
		if t.curve[k] += l; t.curve[k] < t.loss {
			t.loss, t.round = t.curve[k], k+1
		}
	}
}

// tuneBoosting chooses a recipe and the number of rounds by cross-validation, the recipes on the
// first fold and the best of them on the others, and sets d and p to them. It returns the number
// of bins.
func tuneBoosting(ctx context.Context, w *work, d *gbdt.Data, p *gbdt.Params) (bins int, err error) {
	fine := d.X
	rough, err := w.binned(coarse)
	if err != nil {
		return 0, err
	}
	matrix := func(r *recipe) *binned.Matrix {
		if r.bins == coarse {
			return rough
		}
		return fine
	}
	folds, chosen := tuneFolds, recipes
	if len(w.rows) > tuneWhole {
		folds = 1
	}
	if w.work() > tuneAll {
		folds, chosen = 1, slices.DeleteFunc(slices.Clone(recipes), func(r recipe) bool { return !r.few })
	}
	trials := make([]*trial, len(chosen))
	total, done := len(chosen)+tuneBest*(folds-1), 0
	run := func(t *trial, fold int) error {
		var train, valid []int32
		for _, i := range w.rows {
			if int(hashOther(int(i))%tuneFolds) == fold {
				valid = append(valid, i)
			} else {
				train = append(train, i)
			}
		}
		q, e := *p, *d
		e.X, e.Train, e.Valid = matrix(&t.recipe), train, valid
		t.apply(&q)
		m, err := gbdt.Train(ctx, e, q)
		if err != nil {
			return err
		}
		if t.curve == nil { // not before: Train has checked the number of rounds
			t.curve = make([]float64, p.Rounds)
		}
		t.add(m.Losses)
		done++
		w.report("tuning", done, total, t.loss/float64(fold+1))
		return nil
	}
	for k, r := range chosen {
		trials[k] = &trial{recipe: r}
		if err := run(trials[k], 0); err != nil {
			return 0, err
		}
	}
	slices.SortStableFunc(trials, func(a, b *trial) int { return cmp.Compare(a.loss, b.loss) })
	trials = trials[:min(tuneBest, len(trials))]
	for fold := 1; fold < folds; fold++ {
		for _, t := range trials {
			if err := run(t, fold); err != nil {
				return 0, err
			}
		}
	}
	best := slices.MinFunc(trials, func(a, b *trial) int { return cmp.Compare(a.loss, b.loss) })
	best.apply(p)
	p.Rounds, d.X = best.round, matrix(&best.recipe)
	return best.bins, nil
}

func (r *recipe) apply(p *gbdt.Params) {
	p.LearningRate, p.L2, p.MinRows, p.RowFraction, p.FeatureFraction = r.rate, r.l2, r.minRows, r.rows, r.features
}
