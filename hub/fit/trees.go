package fit

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/binned"
	"skerry.dev/compute/gbdt"
)

func init() { trainers["gbdt"] = fitBoosting }

// fitBoosting trains gradient-boosted trees at their defaults and the settings. With early_stop a tenth of the rows only says when to stop.
func fitBoosting(ctx context.Context, w *work) (*trained, error) {
	p := gbdt.Params{Rounds: 100, Seed: w.seed, Threads: w.threads}
	objective, boosting, monotone, bins := "", "", "", binned.MaxBins
	if err := w.set.apply("gbdt", []setting{
		{"objective", &objective, "squared, absolute, quantile, huber or poisson"}, {"alpha", &p.Alpha, "quantile: which"}, {"delta", &p.Delta, "huber: where the loss becomes linear"},
		{"rounds", &p.Rounds, "trees per class"}, {"learning_rate", &p.LearningRate, "default 0.1"}, {"leaves", &p.Leaves, "of a tree; default 31"}, {"max_depth", &p.MaxDepth, "0: no limit"},
		{"min_rows", &p.MinRows, "of a leaf; default 20"}, {"min_hessian", &p.MinHessian, "of a leaf; default 0.001"}, {"l1", &p.L1, "default 0"}, {"l2", &p.L2, "default 0"}, {"min_gain", &p.MinGain, "default 0"},
		{"row_fraction", &p.RowFraction, "drawn for each tree"}, {"feature_fraction", &p.FeatureFraction, "drawn for each tree"}, {"split_fraction", &p.SplitFraction, "features drawn for each split"},
		{"boosting", &boosting, "gbdt, goss or dart"}, {"goss_top", &p.GOSSTop, "default 0.2"}, {"goss_other", &p.GOSSOther, "default 0.1"}, {"drop_rate", &p.DropRate, "dart; default 0.1"},
		{"drop_skip", &p.DropSkip, "dart; default 0.5"}, {"one_hot", &p.OneHotCategories, "categories tried one by one; default 4"}, {"category_smooth", &p.CategorySmooth, "default 10"}, {"category_l2", &p.CategoryL2, "default 10"},
		{"category_group", &p.CategoryGroup, "default 100"}, {"early_stop", &p.EarlyStop, "rounds without a better loss on a tenth of the rows"}, {"bins", &bins, "2 to 255"}, {"monotone", &monotone, "input:1 or input:-1, separated by semicolons"},
	}); err != nil {
		return nil, err
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
	if p.EarlyStop > 0 {
		d.Train, d.Valid = nil, nil
		for _, i := range w.rows {
			if hashFold10(int(i)) {
				d.Valid = append(d.Valid, i)
			} else {
				d.Train = append(d.Train, i)
			}
		}
	}
	p.Progress = func(round int, loss float64) bool {
		w.say(round, p.Rounds, loss)
		return true
	}
	m, err := gbdt.Train(ctx, d, p)
	if err != nil {
		return nil, err
	}
	params := map[string]string{"rounds": strconv.Itoa(m.Rounds)}
	for k, v := range w.set {
		params[k] = v
	}
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

// hashFold10 reports whether a row is of the tenth that early stopping looks at: independent of the test rows of the hash split.
func hashFold10(i int) bool { return (uint32(i)*2246822519>>16)%10 == 0 }
