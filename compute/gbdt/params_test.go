package gbdt

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestParamsSayWhatIsAllowed holds that a parameter out of range is named, with its range.
func TestParamsSayWhatIsAllowed(t *testing.T) {
	x, y := table(rand.New(rand.NewPCG(71, 1)), 60, 2)
	b := matrix(t, x, 2)
	inf, nan := math.Inf(1), math.NaN()
	for want, list := range map[string][]Params{
		"alpha is must be in 0 to 0.99":               {{Alpha: -0.1}, {Alpha: 1}, {Alpha: nan}},
		"delta is must be in 0 to":                    {{Delta: -1}, {Delta: inf}, {Delta: nan}},
		"learning rate is must be in 0 to 1000":       {{LearningRate: -0.1}, {LearningRate: 1001}, {LearningRate: nan}},
		"rounds is must be in 1 to 100000":            {{Rounds: -1}, {Rounds: 100_001}},
		"leaves is must be in 2 to 32768":             {{Leaves: 1}, {Leaves: -1}, {Leaves: 32769}},
		"max depth is must be in 0 to 32768":          {{MaxDepth: -1}, {MaxDepth: 32769}},
		"min rows is must be in 1 to 2.147483647e+09": {{MinRows: -1}},
		"min hessian is must be in 0 to":              {{MinHessian: -1}, {MinHessian: inf}, {MinHessian: nan}},
		"l1 is must be in 0 to":                       {{L1: -1}, {L1: nan}},
		"l2 is must be in 0 to":                       {{L2: -1}, {L2: inf}},
		"min gain is must be in 0 to":                 {{MinGain: -1}, {MinGain: nan}},
		"one-hot categories is must be in 1 to 256":   {{OneHotCategories: -1}, {OneHotCategories: 257}},
		"category smooth is must be in 0 to":          {{CategorySmooth: -1}, {CategorySmooth: nan}},
		"category rows is must be in 0 to":            {{CategoryRows: -1}},
		"category group is must be in 0 to":           {{CategoryGroup: -1}},
		"category l2 is must be in 0 to":              {{CategoryL2: -1}},
		"categories per split is must be in 1 to 256": {{CategoriesPerSplit: -1}, {CategoriesPerSplit: 257}},
		"row fraction is must be in 0 to 1":           {{RowFraction: -1}, {RowFraction: 1.1}, {RowFraction: nan}},
		"feature fraction is must be in 0 to 1":       {{FeatureFraction: -1}, {FeatureFraction: 1.1}},
		"split fraction is must be in 0 to 1":         {{SplitFraction: -1}, {SplitFraction: 1.1}},
		"goss top is must be in 0 to 1":               {{GOSSTop: -1}, {GOSSTop: 1.1}},
		"goss other is must be in 0 to 0.8":           {{GOSSOther: -1}, {GOSSOther: 0.9}},
		"drop rate is must be in 0 to 1":              {{DropRate: -1}, {DropRate: 1.1}},
		"drop most is must be in 1 to":                {{DropMost: -1}},
		"drop skip is must be in 0 to 1":              {{DropSkip: -1}, {DropSkip: 1.1}},
		"early stop is must be in 0 to":               {{EarlyStop: -1}},
		"classes must be 2 to 256":                    {{Objective: Softmax}, {Objective: Softmax, Classes: 257}, {Objective: Softmax, Classes: -1}},
		"boosting must be gbdt, goss or dart":         {{Boosting: "adaboost"}},
		"objective must be one of squared poisson":    {{Objective: "guess"}},
		"goss row fraction":                           {{Boosting: GOSS, RowFraction: 0.5}},
		"dart cannot stop early":                      {{Boosting: DART, EarlyStop: 3}},
		"1 monotone constraints for 2 features":       {{Monotone: []int8{1}}},
		"monotone constraint must be -1, 0 or 1":      {{Monotone: []int8{0, 2}}, {Monotone: []int8{-2, 0}}},
	} {
		for _, p := range list {
			_, err := Train(context.Background(), Data{X: b, Y: y}, p)
			if err == nil {
				t.Errorf("Train(%+v) gave no error, want one with %q", p, want)
				continue
			}
			for word := range strings.FieldsSeq(want) {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("Train(%+v) = %q, want %q in it", p, err, word)
				}
			}
		}
	}
	c := mixed(x, true, false)
	if _, err := Train(context.Background(), Data{X: binnedRows(t, c, c), Y: y}, Params{Monotone: []int8{1, 0}}); err == nil || !strings.Contains(err.Error(), "0 for categories") {
		t.Errorf("a monotone constraint on categories = %v", err)
	}
	for _, p := range []Params{{}, {Alpha: 0.999, Objective: Quantile, Rounds: 1}, {Leaves: 2, Rounds: 1}, {Leaves: 1 << 15, Rounds: 1}, {MaxDepth: 1, Rounds: 1}, {Classes: 3, Rounds: 1}, {RowFraction: 1e-9, FeatureFraction: 1e-9, SplitFraction: 1e-9, Rounds: 2}} {
		if _, err := Train(context.Background(), Data{X: b, Y: y}, p); err != nil {
			t.Errorf("Train(%+v) = %v", p, err)
		}
	}
}

// TestRowsAreChecked holds that data no loss is made for is refused by the number of the row.
func TestRowsAreChecked(t *testing.T) {
	x, _ := table(rand.New(rand.NewPCG(72, 1)), 30, 2)
	for want, c := range map[string]struct {
		o      Objective
		y, w   float64
		toTest bool
	}{
		"row 7 target": {Squared, math.Inf(1), 1, false}, "row 7 weight": {Squared, 1, 0, false}, "7 weight positive": {Squared, 1, math.NaN(), true}, "7 class 2 of 2": {Logistic, 2, 1, true}, "7 class 0.5": {Logistic, 0.5, 1, false},
		"7 class 3 of 3": {Softmax, 3, 1, false}, "7 count -1": {Poisson, -1, 1, true},
	} {
		d := Data{X: matrix(t, x, 2), Y: make([]float64, 30), Weight: make([]float64, 30)}
		for i := range d.Y {
			d.Weight[i] = 1
			if int32(i) != 7 || !c.toTest {
				d.Train = append(d.Train, int32(i))
			} else {
				d.Valid = []int32{7}
			}
		}
		d.Y[7], d.Weight[7] = c.y, c.w
		_, err := Train(context.Background(), d, Params{Objective: c.o, Classes: 3, Rounds: 1})
		if err == nil {
			t.Errorf("%s with target %v and weight %v gave no error", c.o, c.y, c.w)
			continue
		}
		for word := range strings.FieldsSeq(want) {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("error is %q, want %q in it", err, word)
			}
		}
	}
}
