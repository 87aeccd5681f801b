package fit

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/binned"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/forest"
	"skerry.dev/compute/gbdt"
)

func init() {
	trainers["gbdt"] = fitBoosting
	trainers["forest"] = func(ctx context.Context, w *work) (*trained, error) { return fitForest(ctx, w, "forest", false) }
	trainers["extra-trees"] = func(ctx context.Context, w *work) (*trained, error) { return fitForest(ctx, w, "extra-trees", true) }
}

// boostingRounds and boostingLeaves are the defaults of gbdt.
const (
	boostingRounds = 100
	boostingLeaves = 31
)

// fitBoosting trains gradient-boosted trees at their defaults and the settings. With early_stop a
// tenth of the rows only decides when to stop.
func fitBoosting(ctx context.Context, w *work) (*trained, error) {
	p := gbdt.Params{
		Rounds:           boostingRounds,
		Leaves:           boostingLeaves,
		Seed:             w.seed,
		Threads:          w.threads,
		OneHotCategories: 1,
		CategorySmooth:   1,
		CategoryL2:       0.1,
		CategoryGroup:    1,
	}
	objective, boosting, monotone, bins, tune := "", "", "", binned.MaxBins, tuneAuto
	if err := w.set.apply("gbdt", []setting{
		{"objective", &objective, "squared, absolute, quantile, huber or poisson"}, {"alpha", &p.Alpha, "quantile: which"}, {"delta", &p.Delta, "huber: where the loss becomes linear"},
		{"rounds", &p.Rounds, "trees per class, with tune at most; default 100"}, {"learning_rate", &p.LearningRate, "default 0.1"}, {"leaves", &p.Leaves, "of a tree; default 31"}, {"max_depth", &p.MaxDepth, "0: no limit"},
		{"min_rows", &p.MinRows, "of a leaf; default 20"}, {"min_hessian", &p.MinHessian, "of a leaf; default 0.001"}, {"l1", &p.L1, "default 0"}, {"l2", &p.L2, "default 1"}, {"min_gain", &p.MinGain, "default 0"},
		{"row_fraction", &p.RowFraction, "drawn for each tree"}, {"feature_fraction", &p.FeatureFraction, "drawn for each tree"}, {"split_fraction", &p.SplitFraction, "features drawn for each split"},
		{"boosting", &boosting, "gbdt, goss or dart"}, {"goss_top", &p.GOSSTop, "default 0.2"}, {"goss_other", &p.GOSSOther, "default 0.1"}, {"drop_rate", &p.DropRate, "dart; default 0.1"},
		{"drop_skip", &p.DropSkip, "dart; default 0.5"}, {"one_hot", &p.OneHotCategories, "up to so many categories are tried one by one; default 1"}, {"category_smooth", &p.CategorySmooth, "default 1"},
		{"category_rows", &p.CategoryRows, "of a category that may go left; default category_smooth"}, {"category_l2", &p.CategoryL2, "default 0.1"}, {"category_group", &p.CategoryGroup, "default 1"},
		{"early_stop", &p.EarlyStop, "rounds without a better loss on a tenth of the rows"}, {"bins", &bins, "2 to 255"}, {"monotone", &monotone, "input:1 or input:-1, separated by semicolons"},
		{"tune", &tune, "auto, on or off: choose learning rate, regularisation and rounds by cross-validation; auto: up to " + strconv.Itoa(tuneRows) + " rows times classes, unless these are given"},
	}); err != nil {
		return nil, err
	}
	if p.Rounds == 0 {
		p.Rounds = boostingRounds
	}
	p.Boosting = gbdt.Boosting(boosting)
	var err error
	if p.Monotone, err = w.monotone(monotone); err != nil {
		return nil, err
	}
	switch classes := len(w.shape.classes); {
	case w.shape.kind != artifact.KindClassification:
		p.Objective = gbdt.Objective(objective)
	case objective != "":
		return nil, fmt.Errorf("setting objective=%q: a classification has log loss", objective)
	case classes == 2:
		p.Objective = gbdt.Logistic
	default:
		p.Objective, p.Classes = gbdt.Softmax, classes
	}
	x, err := w.binned(bins)
	if err != nil {
		return nil, err
	}
	d := gbdt.Data{X: x, Y: w.y, Weight: w.w, Train: w.rows}
	params := map[string]string{}
	tuned, err := w.tunes(tune, &p)
	switch {
	case err != nil:
		return nil, err
	case tuned:
		if bins, err = tuneBoosting(ctx, w, &d, &p); err != nil {
			return nil, err
		}
		for k, v := range map[string]float64{"learning_rate": p.LearningRate, "min_rows": float64(p.MinRows), "l2": p.L2, "row_fraction": p.RowFraction, "feature_fraction": p.FeatureFraction, "bins": float64(bins)} {
			params[k] = strconv.FormatFloat(v, 'g', -1, 64)
		}
	case w.set["l2"] == "":
		p.L2 = 1
	}
	if p.EarlyStop > 0 {
		d.Train = nil
		for _, i := range w.rows {
			if hashOther(int(i))%10 == 0 {
				d.Valid = append(d.Valid, i)
			} else {
				d.Train = append(d.Train, i)
			}
		}
	}
	p.Progress = func(round int, loss float64) bool {
		w.report("training", round, p.Rounds, loss)
		return true
	}
	m, err := gbdt.Train(ctx, d, p)
	if err != nil {
		return nil, err
	}
	maps.Copy(params, w.set)
	params["rounds"] = strconv.Itoa(m.Rounds)
	return &trained{model: m.Ensemble, columns: w.plain(), gains: m.Importance, params: params}, nil
}

// monotone reads constraints such as "age:1;price:-1".
func (w *work) monotone(s string) ([]int8, error) {
	if s == "" {
		return nil, nil
	}
	out := make([]int8, len(w.cols))
	for part := range strings.SplitSeq(s, ";") {
		name, sign, _ := strings.Cut(part, ":")
		at := -1
		for j, in := range w.shape.inputs {
			if in.Name == name {
				at = j
			}
		}
		if at < 0 || sign != "1" && sign != "-1" {
			return nil, fmt.Errorf("setting monotone=%q: %q must be input:1 or input:-1 with the name of an input", s, part)
		}
		out[at] = 1
		if sign == "-1" {
			out[at] = -1
		}
	}
	return out, nil
}

// hashOther scatters rows independently of the hash split.
func hashOther(i int) uint32 { return uint32(i) * 2246822519 >> 16 }

// forestBytes is how large the trees of a forest may become together; a model section holds no
// more than 32 MiB.
const forestBytes = 30 << 20

// fitForest trains a forest at its defaults and the settings. Leaves are as many as fit an
// artifact.
func fitForest(ctx context.Context, w *work, name string, extra bool) (*trained, error) {
	p := forest.Params{
		Classes: len(w.shape.classes),
		Extra:   extra,
		Trees:   200,
		Score:   !extra,
		Seed:    w.seed,
		Threads: w.threads,
	}
	bins := binned.MaxBins
	if p.Classes == 0 {
		p.MinRows, p.Features = 1, 0.6
	} else {
		p.MinRows, p.Smooth = 1, 0.1
	}
	if err := w.set.apply(name, []setting{
		{"trees", &p.Trees, "default 200"}, {"leaves", &p.Leaves, "of a tree; default: as many as fit"}, {"min_rows", &p.MinRows, "of a leaf"}, {"features", &p.Features, "share looked at per split"},
		{"max_depth", &p.MaxDepth, "default 64"}, {"rows", &p.RowsShare, "share drawn per tree"}, {"smooth", &p.Smooth, "rows like all rows that a leaf's class shares are mixed with; default 0.1"}, {"balanced", &p.Balanced, "true or false"},
		{"bins", &bins, "2 to 255"},
	}); err != nil {
		return nil, err
	}
	if p.Leaves == 0 {
		perLeaf := 40 // two nodes of 16 bytes and their covers
		if p.Classes > 2 {
			perLeaf += 8 * p.Classes
		}
		if slices.ContainsFunc(w.shape.inputs, func(in feature.Input) bool { return in.Categories != nil }) {
			perLeaf += 32 // the set of a split of categories
		}
		p.Leaves = max(2, min(1<<15, forestBytes/perLeaf/max(p.Trees, 1)))
	}
	p.Progress = func(done int) { w.report("training", done, p.Trees, math.NaN()) }
	x, err := w.binned(bins)
	if err != nil {
		return nil, err
	}
	m, err := forest.Train(ctx, forest.Data{X: x, Y: w.y, Weight: w.w, Train: w.rows}, p)
	if err != nil {
		return nil, err
	}
	t := &trained{
		model:   m.Ensemble,
		columns: w.plain(),
		gains:   m.Importance,
		params:  map[string]string{"trees": strconv.Itoa(p.Trees)},
	}
	maps.Copy(t.params, w.set)
	if !math.IsNaN(m.OutOfBag) {
		t.params["out_of_bag"] = strconv.FormatFloat(m.OutOfBag, 'g', 6, 64)
	}
	return t, nil
}
