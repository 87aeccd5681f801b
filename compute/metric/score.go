package metric

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/internal/exact"
)

// The functions below score predictions of a whole table, as an evaluation does. y holds the
// truth, one number per row: a value, or a class from 0. w holds the rows' weights, not negative,
// and may be nil for 1. They agree with the functions of scikit-learn's sklearn.metrics of
// similar names. They panic when lengths do not match, and return NaN when nothing has weight.
// They do not change their arguments.

func check(y, p, w []float64, outputs int) {
	if outputs < 1 || len(p) != len(y)*outputs || (w != nil && len(w) != len(y)) {
		panic(fmt.Sprintf("metric: %d truths, %d predictions of %d and %d weights", len(y), len(p), outputs, len(w)))
	}
}

func weight(w []float64, i int) float64 {
	if w == nil {
		return 1
	}
	return w[i]
}

// mean is the weighted mean of a loss over the rows.
func mean(y, p, w []float64, loss func(y, p float64) float64) float64 {
	check(y, p, w, 1)
	sum, total := 0.0, 0.0
	for i := range y {
		sum += weight(w, i) * loss(y[i], p[i])
		total += weight(w, i)
	}
	return sum / total
}

// RMSE returns the root of the weighted mean squared error.
func RMSE(y, p, w []float64) float64 {
	return math.Sqrt(mean(y, p, w, func(y, p float64) float64 { return (y - p) * (y - p) }))
}

// MAE returns the weighted mean absolute error.
func MAE(y, p, w []float64) float64 {
	return mean(y, p, w, func(y, p float64) float64 { return math.Abs(y - p) })
}

// Pinball returns the weighted mean pinball loss of predictions of the alpha-quantile.
func Pinball(y, p, w []float64, alpha float64) float64 {
	return mean(y, p, w, func(y, p float64) float64 { return max(alpha*(y-p), (alpha-1)*(y-p)) })
}

// R2 returns the share of the variance of y that p explains, at most 1 and negative when the mean
// of y would have been better. When y does not vary it is 1 for perfect predictions and 0 for
// others.
func R2(y, p, w []float64) float64 {
	center := mean(y, y, w, func(y, _ float64) float64 { return y })
	total := mean(y, y, w, func(y, _ float64) float64 { return (y - center) * (y - center) })
	residual := mean(y, p, w, func(y, p float64) float64 { return (y - p) * (y - p) })
	switch {
	case total == 0 && residual == 0:
		return 1
	case total == 0:
		return 0
	}
	return 1 - residual/total
}

// Accuracy returns the weighted share of rows whose class p is that of y.
func Accuracy(y, p, w []float64) float64 {
	return mean(y, p, w, func(y, p float64) float64 {
		if y == p {
			return 1
		}
		return 0
	})
}

// Classes returns the most probable class of every row, the first of equals. p holds outputs
// probabilities per row; one output is the probability of class 1 of two.
func Classes(p []float64, outputs int) []float64 {
	out := make([]float64, len(p)/outputs)
	for i := range out {
		row := p[i*outputs : (i+1)*outputs]
		if outputs == 1 {
			if row[0] > 0.5 {
				out[i] = 1
			}
			continue
		}
		for k, v := range row {
			if v > row[int(out[i])] {
				out[i] = float64(k)
			}
		}
	}
	return out
}

// LogLoss returns the weighted mean negative logarithm of the probability of the true class. p is
// as for [Classes]. Probabilities below 2⁻⁵² count as that.
func LogLoss(y, p, w []float64, outputs int) float64 {
	check(y, p, w, outputs)
	own := make([]float64, len(y))
	for i, c := range y {
		own[i] = p[i*outputs]
		switch {
		case outputs > 1:
			own[i] = p[i*outputs+int(c)]
		case c == 0:
			own[i] = 1 - own[i]
		}
	}
	return mean(y, own, w, func(_, p float64) float64 { return -math.Log(max(p, 0x1p-52)) })
}

// LeastChance is the least probability that [LogLossOf] takes of a truth: a certainty that was wrong
// costs 9.2 nats.
const LeastChance = 1e-4

// LogLossOf returns the log loss in nats of a truth that was given probability p, the same bits on
// every machine: devices and hub score a stream by it. NaN stays NaN.
func LogLossOf(p float64) float64 { return -exact.Log(min(max(p, LeastChance), 1)) }

// MacroF1 returns the mean of the F1 scores of the classes that occur in y or p, each the
// harmonic mean of precision and recall.
func MacroF1(y, p, w []float64) float64 {
	check(y, p, w, 1)
	type counts struct{ hit, truth, said float64 }
	by := map[float64]*counts{}
	at := func(c float64) *counts {
		if by[c] == nil {
			by[c] = &counts{}
		}
		return by[c]
	}
	for i := range y {
		at(y[i]).truth += weight(w, i)
		at(p[i]).said += weight(w, i)
		if y[i] == p[i] {
			at(y[i]).hit += weight(w, i)
		}
	}
	classes := make([]float64, 0, len(by))
	for c := range by {
		classes = append(classes, c)
	}
	slices.Sort(classes) // so that the sum rounds the same every time
	sum := 0.0
	for _, c := range classes {
		if n := by[c]; n.truth+n.said > 0 {
			sum += 2 * n.hit / (n.truth + n.said)
		}
	}
	return sum / float64(len(classes))
}

// AUC returns the weighted probability that a row of class 1 has a higher score than one of class
// 0, equal scores counting half: the area under the ROC curve. It is NaN when a class has no
// weight. Its cost is that of sorting.
func AUC(y, score, w []float64) float64 {
	check(y, score, w, 1)
	return auc(len(y), func(i int) bool { return y[i] == 1 }, func(i int) float64 { return score[i] }, w)
}

func auc(n int, positive func(int) bool, score func(int) float64, w []float64) float64 {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(score(a), score(b)), cmp.Compare(a, b)) })
	var area, below, total float64 // weight of class 0 with a lower score; of class 1
	for from := 0; from < n; {
		var zero, one float64
		to := from
		for ; to < n && score(order[to]) == score(order[from]) || to == from; to++ {
			if positive(order[to]) {
				one += weight(w, order[to])
			} else {
				zero += weight(w, order[to])
			}
		}
		area += one * (below + zero/2)
		below, total, from = below+zero, total+one, to
	}
	return area / (below * total)
}

// MulticlassAUC returns the mean over the classes of the AUC of each against the rest. p holds
// one probability per class and row. Classes without weight in y, or with all of it, are left
// out.
func MulticlassAUC(y, p, w []float64, classes int) float64 {
	check(y, p, w, classes)
	sum, n := 0.0, 0.0
	for k := range classes {
		if a := auc(len(y), func(i int) bool { return int(y[i]) == k }, func(i int) float64 { return p[i*classes+k] }, w); !math.IsNaN(a) {
			sum, n = sum+a, n+1
		}
	}
	return sum / n
}
