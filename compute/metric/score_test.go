package metric

import (
	"math"
	"slices"
	"testing"
)

// TestAgainstScikitLearn compares with what scikit-learn 1.9.1 gives for the same rows:
// accuracy_score, f1_score(average="macro"), log_loss, roc_auc_score (multi_class="ovr" for three
// classes), root of mean_squared_error, mean_absolute_error, r2_score and
// mean_pinball_loss(alpha=0.9), without and with sample_weight.
func TestAgainstScikitLearn(t *testing.T) {
	y := []float64{0, 1, 1, 0, 2, 2, 1, 0, 2, 1}
	p := []float64{.7, .2, .1, .2, .5, .3, .3, .3, .4, .5, .4, .1, .1, .1, .8, .2, .4, .4, .1, .8, .1, .3, .6, .1, .25, .25, .5, .6, .3, .1}
	truth := []float64{1.5, 2, -1, 0, 3, 2.5, 4, 1, 0.5, 2}
	said := []float64{1, 2.5, -.5, 1, 2, 2.5, 3, 1, 1, 1.5}
	one, score := make([]float64, 10), make([]float64, 10) // class 1 against the rest
	for i := range y {
		if y[i] == 1 {
			one[i] = 1
		}
		score[i] = p[3*i+1]
	}
	class := Classes(p, 3)
	for _, c := range []struct{ w, want []float64 }{
		{nil, []float64{0.6, 0.611111111111111, 0.7410612733098951, 0.8551587301587302, 0.7083333333333334, 0.587836445935598, 0.6519202405202649, 0.55, 0.7845373891001268, 0.29500000000000004}},
		{[]float64{1, 2, 0.5, 1, 3, 1, 1, 2, 0, 1.5}, []float64{0.6153846153846154, 0.6262626262626262, 0.6969902030810237, 0.8513888888888889, 0.7, 0.5700647177426117,
			0.6933752452815364, 0.5769230769230769, 0.6524064171122994, 0.3807692307692308}},
	} {
		got := []float64{Accuracy(y, class, c.w), MacroF1(y, class, c.w), LogLoss(y, p, c.w, 3), MulticlassAUC(y, p, c.w, 3), AUC(one, score, c.w), LogLoss(one, score, c.w, 1),
			RMSE(truth, said, c.w), MAE(truth, said, c.w), R2(truth, said, c.w), Pinball(truth, said, c.w, 0.9)}
		for k, want := range c.want {
			if math.Abs(got[k]-want) > 1e-12 {
				t.Errorf("weights %v: metric %d is %v, want %v", c.w, k, got[k], want)
			}
		}
	}
}

func TestEdges(t *testing.T) {
	zero := []float64{0, 0}
	for name, v := range map[string]float64{
		"AUC of one class": AUC(zero, []float64{1, 2}, nil), "MAE of nothing": MAE(nil, nil, nil), "RMSE without weight": RMSE(zero, zero, zero),
		"MulticlassAUC of one class": MulticlassAUC(zero, []float64{1, 0, 1, 0}, nil, 2),
	} {
		if !math.IsNaN(v) {
			t.Errorf("%s = %v, want NaN", name, v)
		}
	}
	if got := R2(zero, []float64{0, 1}, nil); got != 0 {
		t.Errorf("R2 of a constant = %v, want 0", got)
	}
	if got := LogLoss([]float64{1}, []float64{0}, nil, 1); math.Abs(got-52*math.Ln2) > 1e-12 {
		t.Errorf("LogLoss of a certain mistake = %v, want that of 2⁻⁵²", got)
	}
	if got := Classes([]float64{0.5, 0.6}, 1); !slices.Equal(got, []float64{0, 1}) {
		t.Errorf("Classes(0.5, 0.6) = %v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("lengths that do not match gave no panic")
		}
	}()
	MAE(zero, zero[:1], nil)
}
